"""The bus under fire, as a directory: files, rows, requests, moments in; HTTP, tables, files out; sagas, calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from run to run: the addresses of all there is, and how quick the bus is to judge."""

    broker: str
    database: str
    url: str  # of the recorder
    port: int  # of the ingress
    concurrency: int = 4
    lease: str = "3s"
    delays: str = "500ms, 1s, 2s"
    timeout: str = "10s"
    later: str = "2h, 2h, 2h, 2h, 2h, 2h, 2h, 2h"  # delays behind an hour are timers in the database
    retention: str = "messages: 7d, inbox: 30d"


NUMBER = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}
FILES: dict[str, str | dict[str, Any]] = {
    "esb.yaml": """
bus: ledger
broker: "{broker}"
database: "{database}"
admin: {{enabled: false}}
probe: 1s
http: {{port: {port}}}
worker: {{batch: 50, prefetch: 150, lease: {lease}}}
recovery: {{retries: 1, delays: [{delays}], breaker: {{failures: 5, reset: 500ms}}}}
retention: {{{retention}}}
""",
    "endpoints/sources.yaml": """
endpoint: feed
adapter: file
settings: {{directory: inbox, pattern: "*.jsonl", ready: rename}}
format: {{json: {{records: lines}}}}
receive: {{contract: numbered/v1, poll: 100ms}}
---
endpoint: till
adapter: sql
settings: {{url: "secret:env:TILL_URL", table: sales, key: id, columns: [n], status: {{column: state, mark: taken_by}}}}
receive: {{contract: numbered/v1, poll: 100ms}}
---
endpoint: shop
adapter: http
receive: {{contract: numbered/v1}}
""",
    "endpoints/recorder.yaml": """
endpoint: recorder
title: Heeds keys; most of what there is goes here.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
operations:
  keyed: {{post: /keyed, contract: counted/v1, effect: keyed}}
  event: {{post: /event, contract: counted/v1, effect: keyed}}
---
endpoint: clerk
title: Heeds keys.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
operations:
  ask: {{post: /ask, contract: sale/v1, reply: sale/v1, effect: keyed}}
  answered: {{post: /answered, contract: sale/v1, effect: keyed}}
  tick: {{post: /tick, contract: sale/v1, effect: keyed}}
  order: {{post: /order, contract: sale/v1, effect: keyed}}
---
endpoint: partners
title: What the saga calls.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
operations:
  reserve: {{post: /reserve, contract: sale/v1, effect: keyed}}
  release: {{post: /release, contract: sale/v1, effect: keyed}}
  charge: {{post: /charge, contract: sale/v1, effect: keyed}}
  refund: {{post: /refund, contract: sale/v1, effect: keyed}}
  ship: {{post: /ship, contract: sale/v1, effect: keyed}}
---
endpoint: blunt
title: Knows no keys.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
operations:
  unkeyed: {{post: /unkeyed, contract: counted/v1, effect: unkeyed, idempotency_header: null}}
---
endpoint: oracle
title: Knows no keys, and answers.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
operations:
  ask: {{post: /unkeyed/ask, contract: sale/v1, reply: sale/v1, effect: unkeyed, idempotency_header: null}}
---
endpoint: later
title: Never ready at the first try, and then it waits in the database.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
recovery: {{retries: 0, delays: [{later}], breaker: {{failures: 1000000}}}}
operations:
  put: {{post: /later, contract: sale/v1, effect: keyed}}
---
endpoint: picky
title: Refuses for a while; then a person sends on what was parked.
adapter: http
settings: {{url: "{url}", check: /health}}
concurrency: {concurrency}
timeout: {timeout}
operations:
  put: {{post: /picky, contract: sale/v1, effect: keyed}}
""",
    "endpoints/books.yaml": """
endpoint: books
title: With an inbox table, exactly once.
adapter: sql
settings: {{url: "secret:env:BOOKS_URL", inbox_table: esb_inbox, create_inbox: true}}
concurrency: {concurrency}
operations:
  book: {{insert: booked, columns: [n]}}
---
endpoint: notes
title: Without one, at most once.
adapter: sql
settings: {{url: "secret:env:BOOKS_URL"}}
concurrency: {concurrency}
operations:
  note: {{insert: noted, columns: [n]}}
---
endpoint: stock
title: By a natural key.
adapter: sql
settings: {{url: "secret:env:BOOKS_URL"}}
concurrency: {concurrency}
operations:
  keep: {{upsert: kept, key: n, columns: {{n: number}}}}
---
endpoint: drawer
adapter: file
settings: {{directory: drawer}}
concurrency: {concurrency}
operations:
  put: {{path: "{{number}}.json"}}
""",
    "flows/count.yaml": """
flow: count
from: feed
steps:
  - map: {{to: counted/v1, set: {{number: n}}}}
  - send: recorder.keyed
  - send: blunt.unkeyed
  - publish: counted/v1
---
flow: told
from: counted/v1
steps:
  - send: recorder.event
---
flow: sold
from: till
steps:
  - send: books.book
  - send: notes.note
  - map: {{to: sale/v1, set: {{number: n}}}}
  - publish: sale/v1
---
flow: asked
from: till
steps:
  - map: {{to: sale/v1, set: {{number: n}}}}
  - call: {{to: clerk.ask, as: answer}}
  - map: {{to: sale/v1, set: {{number: answer.number}}}}
  - call: {{to: oracle.ask, as: answer}}
  - map: {{to: sale/v1, set: {{number: answer.number}}}}
  - send: clerk.answered
---
flow: ordered
from: shop
steps:
  - map: {{to: sale/v1, set: {{number: n}}}}
  - send: clerk.order
  - send: stock.keep
  - send: drawer.put
  - send: later.put
  - send: picky.put
---
flow: ticks
from: {{every: 1s}}
steps:
  - map: {{to: sale/v1, set: {{number: $toMillis(scheduled) / 1000}}}}
  - send: clerk.tick
""",
    "sagas/checkout.yaml": """
saga: checkout
from: sale/v1
key: $string(number)
steps:
  - {{name: reserve, call: partners.reserve, compensate: partners.release}}
  - {{name: charge, call: partners.charge, compensate: partners.refund}}
  - {{name: ship, call: partners.ship, pivot: true}}
""",
    "contracts/sale/v1.json": {**NUMBER, "x-subject": "$string(number)"},
    "contracts/counted/v1.json": {**NUMBER, "x-subject": "$string(number)"},
    "contracts/numbered/v1.json": {
        "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "x-subject": "$string(n)",
    },
}  # fmt: skip


def write_bus(root: Path, setup: Setup) -> None:
    """The directory of the bus under fire."""
    for name, content in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        text = content.format(**msgspec.structs.asdict(setup)) if isinstance(content, str) else json.dumps(content)
        file.write_text(text)
    (root / "inbox").mkdir()
