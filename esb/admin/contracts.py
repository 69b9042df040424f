"""Contracts: what each document must look like, who uses it, and whether one that is pasted meets it."""

from __future__ import annotations

import re
from typing import Any

import flask
import msgspec
from werkzeug.exceptions import NotFound

from esb.admin.services import Services
from esb.admin.shape import fields_of
from esb.flow.usage import contract_uses
from esb.masking import KEYWORD
from esb.worker.trial import Laboratory, Trial


def blueprint(services: Services) -> flask.Blueprint:
    """``/contracts``."""
    area = flask.Blueprint("contracts", __name__, url_prefix="/contracts")
    laboratory = Laboratory()
    uses = contract_uses(services.definition)

    @area.get("")
    def index() -> Any:
        refs = sorted(services.definition.contracts, key=_in_order)
        types: dict[str, list[str]] = {}
        for ref in refs:
            types.setdefault(ref.partition("/v")[0], []).append(ref)
        return flask.render_template(
            "contracts/index.html", types=types, uses=uses, contracts=services.definition.contracts
        )

    @area.get("/<path:ref>")
    def show(ref: str) -> Any:
        return _page(services, ref, uses.get(ref, []))

    @area.post("/<path:ref>")
    def validate(ref: str) -> Any:
        _schema(services, ref)
        document = flask.request.form.get("document", "")
        trial = laboratory.contract(services.definition, ref, document.encode("utf-8", "replace"))
        return _page(services, ref, uses.get(ref, []), document, trial)

    return area


def _in_order(ref: str) -> tuple[str, int]:
    type, _, version = ref.partition("/v")
    return type, int(version)


def _schema(services: Services, ref: str) -> Any:
    schema = services.definition.contracts.get(ref)
    if schema is None:
        raise NotFound(f"There is no contract {ref}.")
    return schema


def _page(services: Services, ref: str, uses: Any, document: str = "", trial: Trial | None = None) -> str:
    schema = _schema(services, ref)
    masked = tuple(word for word in schema.get(KEYWORD, ()) if isinstance(word, str))
    raw = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    versions = sorted((one for one in services.definition.contracts if _type(one) == _type(ref)), key=_in_order)
    return flask.render_template(
        "contracts/show.html", ref=ref, schema=schema, fields=fields_of(schema, masked), masked=masked, raw=raw,
        uses=uses, versions=versions, document=document, trial=trial,
    )  # fmt: skip


def _type(ref: str) -> str:
    return re.sub(r"/v\d+$", "", ref)
