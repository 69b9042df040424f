"""Answers that somebody gives at the command line, in place of the systems behind endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from esb.config import Definition
    from esb.flow import Call, Failure


class Replies:
    """What each operation answers, one document a call; the last one holds for all that follow."""

    def __init__(self, definition: Definition, given: Iterable[str]) -> None:
        """Args: the bus, and texts such as ``warehouse.stock={"left": 3}`` or ``warehouse.stock=stock.json``.

        Raises:
            click.BadParameter: a text is no such, or names no operation.
        """
        self._definition = definition
        self._documents: dict[str, list[Any]] = {}
        known = {f"{e.name}.{name}" for e in definition.endpoints.values() for name in e.operations}
        for text in given:
            name, separator, answer = text.partition("=")
            if not separator or name not in known:
                raise click.BadParameter(_wrong(name, known), param_hint="--reply")
            self._documents.setdefault(name, []).append(_document(answer))

    def to(self, call: Call) -> tuple[Any, Failure | None] | None:
        """The answer to a call, or how it fails because the answer breaks its contract; None: nobody gave any."""
        found = self._documents.get(f"{call.endpoint}.{call.operation}")
        if not found:
            return None
        document = found.pop(0) if len(found) > 1 else found[0]
        return document, self._failure(call, document)

    def _failure(self, call: Call, document: Any) -> Failure | None:
        from esb.contract import Contract
        from esb.errors import ContractError
        from esb.flow import Failure

        contracts: Mapping[str, Any] = self._definition.contracts
        ref = self._definition.endpoints[call.endpoint].operations[call.operation].common.reply
        if ref is None:
            return None
        try:
            Contract(ref, contracts[ref], contracts).check(document)
        except ContractError as error:
            return Failure(kind=error.kind, text=str(error), endpoint=call.endpoint)
        return None


def _document(text: str) -> Any:
    """A file's, or the text itself as JSON."""
    from esb.errors import DecodeError
    from esb.formats.numbers import decode_json

    path = Path(text)
    try:
        body = path.read_bytes() if not text.lstrip().startswith(("{", "[")) and path.is_file() else text.encode()
        return decode_json(body)
    except DecodeError as error:
        raise click.BadParameter(f"{text!r} is no file, and no JSON: {error}", param_hint="--reply") from None


def _wrong(name: str, known: set[str]) -> str:
    from esb.config.findings import nearest

    near = nearest(name, known)
    hint = f" did you mean {near!r}?" if near else ""
    return f"write it as endpoint.operation=JSON, or =FILE; there is no operation {name!r};{hint}"
