"""One real mistake for each kind of finding, made in the directory of ``esb init``; the reference shows what comes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from esb.cli.scaffold import write
from esb.config import format_findings, inspect
from esb.discovery import discover
from esb.ports import Adapter, Features

ORDERS_IN, ORDERS_OUT = "endpoints/orders-in.yaml", "endpoints/orders-out.yaml"
FLOW, ARCHIVE, MAPPING = "flows/orders.yaml", "flows/archive.yaml", "mappings/row-to-order.yaml"
ORDER = "contracts/order/v1.json"
PARTNER = """endpoint: partner
adapter: http
settings:
  url: https://partner.example
  auth: {bearer: %s}
operations:
  order: {post: /orders, contract: order/v1}
"""


class PagerAdapter(Adapter):
    """An adapter with no way in: all of ours have one."""

    kind = "pager"
    features = Features(sends=True)


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """``edits`` are (file, old, new); ``writes`` are whole files by name."""

    kind: str
    about: str
    edits: tuple[tuple[str, str, str], ...] = ()
    writes: Mapping[str, str | bytes] = {}
    env: str | None = None

    def output(self) -> str:
        """What ``esb check`` prints about it."""
        with tempfile.TemporaryDirectory() as place:
            root = Path(place)
            write(root)
            for file, old, new in self.edits:
                path = root / file
                text = path.read_text(encoding="utf-8")
                assert old in text, (self.kind, old)
                path.write_text(text.replace(old, new, 1), encoding="utf-8")
            for file, content in self.writes.items():
                path = root / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            components = discover()
            components = msgspec.structs.replace(components, adapters={**components.adapters, "pager": PagerAdapter})
            checked = inspect(root, components, self.env, {})
        return format_findings(checked.findings, checked.sources)


ALL = (
    Mistake(
        kind="unreadable-file",
        about="A file that cannot be read: not UTF-8, too large, no permission, or with control characters.",
        writes={FLOW: "flow: orders\ntitle: Bestellungen für Köln\n".encode("cp1252")},
    ),
    Mistake(
        kind="yaml-syntax",
        about="Text that is no YAML. Nothing else is said about a file that cannot be read.",
        edits=((ORDERS_IN, "  poll: 1s", "\tpoll: 1s"),),
    ),
    Mistake(
        kind="yaml-trap",
        about=(
            "What YAML readers disagree about. Here YAML 1.2 holds: `no` and `on` are text, `012` is text. A warning "
            "where the value is still what it looks like, an error for tags and for a second document in `esb.yaml`."
        ),
        edits=((ORDERS_IN, "title: Incoming orders", "title: no"),),
    ),
    Mistake(
        kind="duplicate-key",
        about="A key that stands twice; YAML alone would quietly take the last.",
        edits=((ORDERS_IN, "adapter: file\n", "adapter: file\ntitle: Orders\n"),),
    ),
    Mistake(
        kind="missing-file",
        about="There is no `esb.yaml`, or none for the environment that was asked for.",
        env="prod",
    ),
    Mistake(
        kind="unknown-key",
        about="A key that nothing knows; the nearest that exists is named.",
        edits=((ORDERS_IN, "  pattern:", "  patern:"),),
    ),
    Mistake(
        kind="missing-key",
        about="A key that must be there. Also a field that a target contract requires and the mapping never sets.",
        edits=((MAPPING, "  total: $round(quantity * price, 2)\n", ""),),
    ),
    Mistake(
        kind="wrong-type",
        about="Text where a number belongs, a list where a mapping belongs, and the like.",
        edits=((ORDERS_IN, "adapter: file\n", "adapter: file\nconcurrency: four\n"),),
    ),
    Mistake(
        kind="bad-value",
        about="The right type, but not a value that means something there.",
        edits=((ORDERS_IN, "ready: stable 1s", "ready: soon"),),
    ),
    Mistake(
        kind="duplicate-name",
        about="Two endpoints, flows or mappings of one name, or two steps of one flow.",
        edits=((ARCHIVE, "flow: archive", "flow: orders"),),
    ),
    Mistake(
        kind="duplicate-path",
        about="Two endpoints listen at one path, or one where the bus itself answers (`/healthz`, `/readyz`).",
        writes={
            f"endpoints/{name}.yaml": f"endpoint: {name}\nadapter: http\nreceive: {{path: /orders}}\n"
            for name in ("partner", "webshop")
        },
    ),
    Mistake(
        kind="unknown-adapter",
        about="No installed adapter is called that; `esb endpoints --kinds` lists them.",
        edits=((ORDERS_OUT, "adapter: file", "adapter: files"),),
    ),
    Mistake(
        kind="unknown-format",
        about="No format is called that.",
        edits=((ORDERS_OUT, "format: {json:", "format: {jsn:"),),
    ),
    Mistake(
        kind="unknown-step",
        about="No step is called that.",
        edits=((FLOW, "- filter:", "- filtr:"),),
    ),
    Mistake(
        kind="unknown-endpoint",
        about="A flow starts at, or sends to, an endpoint that is not there.",
        edits=((ARCHIVE, "send: archive.keep", "send: archiv.keep"),),
    ),
    Mistake(
        kind="unknown-operation",
        about="The endpoint is there, but not that operation.",
        edits=((ARCHIVE, "send: archive.keep", "send: archive.kep"),),
    ),
    Mistake(
        kind="unknown-mapping",
        about="No mapping is called that.",
        edits=((FLOW, "- map: row-to-order", "- map: row-to-orders"),),
    ),
    Mistake(
        kind="unknown-contract",
        about="No file `contracts/<type>/v<number>.json` for what is referred to, be it by a `$ref` in a contract.",
        edits=((ORDERS_OUT, "contract: order/v1", "contract: order/v2"),),
    ),
    Mistake(
        kind="unknown-lookup",
        about="A mapping names a code list that is not in `lookups/`.",
        edits=((MAPPING, "set:\n", "lookups: {countries: lookups/countries.csv}\nset:\n"),),
    ),
    Mistake(
        kind="bad-contract",
        about="A contract that is no JSON, no JSON Schema, or not where contracts lie.",
        edits=((ORDER, '"minimum": 1', '"minimum": "one"'),),
    ),
    Mistake(
        kind="bad-lookup",
        about="A code list with a ragged row, a key that stands twice, or only one column.",
        edits=((MAPPING, "set:\n", "lookups: {countries: lookups/countries.csv}\nset:\n"),),
        writes={"lookups/countries.csv": "code,country\nD,DE\nA,AT\nD,DK\n"},
    ),
    Mistake(
        kind="unsupported",
        about=(
            "An adapter is asked for what it cannot do: to receive, to send, or to pass a key on. Here `pager` is an "
            "adapter of somebody's own that only sends."
        ),
        writes={"endpoints/duty.yaml": "endpoint: duty\nadapter: pager\nreceive: {poll: 5s}\n"},
    ),
    Mistake(
        kind="bad-expression",
        about="A JSONata expression that cannot be parsed, or uses what is refused. The caret stands inside it.",
        edits=((MAPPING, "$round(quantity * price, 2)", "$round(quantity * price, 2"),),
    ),
    Mistake(
        kind="unknown-path",
        about=(
            "An expression reads a field that the contract in force does not have, or a mapping sets one that the "
            "target does not have. An object that lists `properties` counts as closed unless it says "
            "`additionalProperties: true`, because a path it does not list is nearly always a slip."
        ),
        edits=((MAPPING, "sku: sku", "sku: item.sku"),),
    ),
    Mistake(
        kind="unknown-function",
        about="No function is called that: neither JSONata's own nor a lookup of the mapping.",
        edits=((MAPPING, "$round(", "$rond("),),
    ),
    Mistake(
        kind="bare-constant",
        about="A word that is no field: it would quietly give nothing where text was meant.",
        edits=((MAPPING, "currency: {const: EUR}", "currency: EUR"),),
    ),
    Mistake(
        kind="mangled-expression",
        about="YAML reads an expression as something else, or cuts it off. The remedy is single quotes around it.",
        edits=((MAPPING, """orderId: '"O-" & number'""", """orderId: "O-" & number"""),),
    ),
    Mistake(
        kind="missing-secret",
        about="A secret refers to a variable that is not set, to a file that cannot be read, or to one that is empty.",
        writes={"endpoints/partner.yaml": PARTNER % '"secret:env:PARTNER_TOKEN"'},
    ),
    Mistake(
        kind="missing-variable",
        about="`${NAME}` without a default, and the environment has no `NAME`.",
        edits=((ORDERS_OUT, "directory: outbox", 'directory: "${OUTBOX}"'),),
    ),
    Mistake(
        kind="inline-secret",
        about=(
            "A secret stands in the file itself, also as the password in the URL of the broker or the database. It is "
            "not repeated in the finding."
        ),
        writes={"endpoints/partner.yaml": PARTNER % "correct-horse-battery"},
    ),
    Mistake(
        kind="unmasked",
        about=(
            "What a contract masks would be seen: a mapping puts it into a field that is not masked, or a document "
            "goes on under a contract that masks less (warnings), or it would be the key of a saga (an error)."
        ),
        writes={
            "contracts/partner.order/v1.json": '{"type": "object", "properties": {"id": {}, "who": {}}, '
            '"x-mask": ["who"]}\n',
            "contracts/parcel/v1.json": '{"type": "object", "properties": {"id": {}, "name": {}}}\n',
            "mappings/order-to-parcel.yaml": "mapping: order-to-parcel\nfrom: partner.order/v1\nto: parcel/v1\nset:\n"
            "  id: id\n  name: who\n",
            "endpoints/partner.yaml": "endpoint: partner\nadapter: http\nreceive: {contract: partner.order/v1}\n",
            "flows/parcels.yaml": "flow: parcels\nfrom: partner\nsteps:\n  - map: order-to-parcel\n"
            "  - send: orders-out.order\n",
        },
    ),
    Mistake(
        kind="unencrypted",
        about=(
            "A contract masks fields, and what the store keeps of them would lie there readable: the library is not "
            "installed, or PostgreSQL has no key. An embedded database makes its own."
        ),
        edits=(
            ("esb.yaml", "database: embedded", "database: postgresql://esb@db.example/esb"),
            (ORDER, '"type": "object",', '"type": "object",\n  "x-mask": ["item.sku"],'),
        ),
    ),
    Mistake(
        kind="loop",
        about="A flow publishes the event that it starts from, itself or by way of others, without end.",
        edits=((ARCHIVE, "- send: archive.keep", "- publish: order.received/v1"),),
    ),
    Mistake(
        kind="unreachable-flow",
        about=(
            "A flow that starts at an endpoint without `receive` (an error), or at an event that no flow of this bus "
            "publishes (a warning: another program may)."
        ),
        edits=((ARCHIVE, "from: order.received/v1", "from: orders-out"),),
    ),
    Mistake(
        kind="retention",
        about="The bus would forget that it sent a message before the message can no longer come again.",
        edits=(("esb.yaml", "database: embedded", "database: embedded\nretention: {messages: 30d, inbox: 7d}"),),
    ),
    Mistake(
        kind="unused",
        about=(
            "A warning: a mapping, contract or lookup that nothing refers to, an endpoint with `receive` at which no "
            "flow and no saga starts (what comes in is taken and goes nowhere), or a `.yml` file, which nobody reads."
        ),
        writes={"lookups/countries.csv": "code,country\nD,DE\n"},
    ),
)
