"""Values that come from outside the files: ``${NAME}`` from the environment, and secrets by reference.

A secret is written ``secret:env:NAME`` or ``secret:file:PATH`` (from the bus directory) and lives on as pydantic's
``SecretStr``, which no log, error or export shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pydantic import BaseModel, SecretStr

from esb.config.findings import Report, nearest
from esb.config.tree import Map, Place, Seq, Spot

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}")
_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)@")
_UNENCODED = re.compile(r"[@/?#\[\]\\\s]|%(?![0-9A-Fa-f]{2})")
_PASSWORD = re.compile(r"[^:/]+://[^:/?#]*:([^/?#]+)@")
_UNENCODED_PASSWORD = re.compile(r"[^:/]+://[^:]*:(.+)@", re.DOTALL)
_ASIDE = re.compile(r"[?&](?:ssl)?password=([^&#]+)")
_MAX_SECRET = 64 * 1024
SERVERS = ("broker", "database")  # keys of esb.yaml whose URLs may have a password
MASK = "***"


class Outside:
    """Resolves references in a document. Remembers every secret it handed out, so that texts can be redacted."""

    def __init__(self, root: Path, environ: Mapping[str, str], report: Report) -> None:
        self.root = root
        self.environ = environ
        self.report = report
        self.secrets: list[SecretStr] = []

    def address(self, value: Any) -> Any:
        """A resolved URL of a server as text, which may have been a secret as a whole; its passwords are known now."""
        url = value.get_secret_value() if isinstance(value, SecretStr) else value
        self.secrets.extend(passwords_of(url) if isinstance(url, str) else [])
        return url

    def resolve(self, value: Any, place: Place) -> Any:
        """The same document with references replaced; what is missing becomes a finding and an empty text."""
        if isinstance(value, Map | Seq):
            return value.copy_as(self.resolve)
        if not isinstance(value, str):
            return value
        if value.startswith("secret:"):
            return self._secret(value, place)
        return self._interpolate(value, place) if "${" in value else value

    def _interpolate(self, text: str, place: Place) -> str:
        login = _login(text)

        def replace(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            found = self.environ.get(match[1]) or match[3]
            if found is None and match[1] not in self.environ:
                self._missing_variable(match[1], place)
            return _encoded(found or "") if match.start() in login else found or ""

        return _REFERENCE.sub(replace, text)

    def _missing_variable(self, name: str, place: Place) -> None:
        text = f"The environment has no {name}: set it, or give a default as ${{{name}:-value}}."
        self.report.add(place, "missing-variable", text, value=name, hint=nearest(name, self.environ))

    def _secret(self, text: str, place: Place) -> SecretStr:
        _, scheme, name = (text + "::").split(":", 2)
        name = name.rstrip(":") if not text.endswith(":") else ""
        value = None
        if scheme == "env" and name:
            value = self._from_environment(name, place)
        elif scheme == "file" and name:
            value = self._from_file(name, place)
        else:
            advice = "A secret is written secret:env:NAME or secret:file:PATH."
            self.report.add(place, "bad-value", advice, hint=nearest(scheme, ("env", "file")))
        secret = SecretStr(value or "")
        if value:
            self.secrets.append(secret)
        return secret

    def _from_environment(self, name: str, place: Place) -> str | None:
        value = self.environ.get(name)
        if value is None:
            text = f"The environment has no {name}, which this secret refers to: set it before starting."
            self.report.add(place, "missing-secret", text, value=name, hint=nearest(name, self.environ))
            return None
        return self._said(value, f"The variable {name}, which this secret refers to,", name, place)

    def _from_file(self, name: str, place: Place) -> str | None:
        try:
            with open(self.root / name, encoding="utf-8") as file:
                value = file.read(_MAX_SECRET).rstrip("\r\n")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            text = f"The secret file {name} cannot be read ({reason}): create it, or correct the path."
            self.report.add(place, "missing-secret", text, value=name)
            return None
        return self._said(value, f"The secret file {name}", name, place)

    def _said(self, value: str, what: str, name: str, place: Place) -> str | None:
        """A secret that says nothing is one that everybody knows: it would open the door that it should close."""
        if value.strip():
            return value
        self.report.add(place, "missing-secret", f"{what} is empty: put the secret there before starting.", value=name)
        return None


def refuse_inline(model: BaseModel, spot: Spot, resolved: Any, report: Report) -> None:
    """A finding for each secret of a validated model that stands in the file itself.

    Args:
        model: what validation gave.
        spot: the document as written, for places.
        resolved: the same document with references resolved.
        report: takes the findings.
    """
    for path in _secret_paths(model, ()):
        if not isinstance(_follow(resolved, path), SecretStr):
            text = "A secret is a reference: write secret:env:NAME or secret:file:PATH, not the value."
            report.at(spot.at(*path), "inline-secret", text, value=MASK)


def refuse_passwords(written: Map, report: Report) -> None:
    """A finding for each password in the URL of a server, as a file has it: files are in Git, and in the store.

    Args:
        written: ``esb.yaml`` or what is laid on top, before references are resolved.
        report: takes the findings.
    """
    for key in SERVERS:
        url = written.get(key)
        literal = _REFERENCE.sub("", url) if isinstance(url, str) else ""
        if _PASSWORD.match(literal) or _ASIDE.search(literal):
            text = (
                "A password is a reference: write ${NAME} in its place, or the whole URL as secret:env:NAME or "
                "secret:file:PATH."
            )
            report.add(written.values_at[key], "inline-secret", text, value=MASK)


def _secret_paths(value: Any, path: tuple[str | int, ...]) -> Iterable[tuple[str | int, ...]]:
    if isinstance(value, SecretStr):
        yield path
    elif isinstance(value, BaseModel):
        for name in value.model_fields_set:
            alias = type(value).model_fields[name].alias or name
            yield from _secret_paths(getattr(value, name), (*path, alias))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _secret_paths(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _secret_paths(item, (*path, index))


def _follow(tree: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        if (isinstance(tree, Map) and part in tree) or (isinstance(tree, Seq) and isinstance(part, int)):
            tree = tree[part]  # type: ignore[index]
    return tree


def redact(text: str, secrets: Iterable[SecretStr]) -> str:
    """The text with every known secret value masked; secrets under four characters are left, as masking them
    would tell more than it hides."""
    values = {secret.get_secret_value() for secret in secrets}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, MASK)
    return text


def passwords_of(url: str) -> list[SecretStr]:
    """The passwords inside a broker or database URL, so that it can be redacted: as it stands there, and decoded.

    One goes to the last ``@`` of the authority; where a ``/`` in it was not encoded, to the last of all.
    """
    matches = (_PASSWORD.match(url), _UNENCODED_PASSWORD.match(url))
    found = [*(match[1] for match in matches if match), *_ASIDE.findall(url)]
    return [SecretStr(text) for text in dict.fromkeys([*found, *map(unquote, found)])]


def _login(text: str) -> range:
    """Where user and password of a URL stand in a text whose references are not resolved yet."""
    match = _LOGIN.match(_REFERENCE.sub(lambda reference: "x" * len(reference[0]), text))
    return range(*match.span(1)) if match else range(0)


def _encoded(value: str) -> str:
    """A user or password as a URL takes it. What could have been encoded by hand is taken to be, and left alone."""
    return quote(value, safe=":") if _UNENCODED.search(value) else value
