"""The bus under fire, as a directory: files, rows and moments in, HTTP and tables out; a saga, and calls."""

from __future__ import annotations

import json
from pathlib import Path

CONCURRENCY = 4

FILES = {
    "esb.yaml": """
bus: ledger
broker: "{broker}"
database: "{database}"
admin: {{enabled: false}}
worker: {{batch: 50, prefetch: 150, lease: 3s}}
recovery: {{retries: 1, delays: [500ms, 1s, 2s], breaker: {{failures: 5, reset: 500ms}}}}
""",
    "endpoints/feed.yaml": """
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
""",
    "endpoints/recorder.yaml": """
endpoint: recorder
adapter: http
settings: {{url: "{url}"}}
concurrency: {concurrency}
timeout: 10s
operations:
  keyed: {{post: /keyed, contract: counted/v1, effect: keyed}}
  event: {{post: /event, contract: counted/v1, effect: keyed}}
  ask: {{post: /ask, contract: sale/v1, reply: sale/v1, effect: keyed}}
  answered: {{post: /answered, contract: sale/v1, effect: keyed}}
  tick: {{post: /tick, contract: sale/v1, effect: keyed}}
  reserve: {{post: /reserve, contract: sale/v1, effect: keyed}}
  release: {{post: /release, contract: sale/v1, effect: keyed}}
  charge: {{post: /charge, contract: sale/v1, effect: keyed}}
  refund: {{post: /refund, contract: sale/v1, effect: keyed}}
  ship: {{post: /ship, contract: sale/v1, effect: keyed}}
---
endpoint: blunt
adapter: http
settings: {{url: "{url}"}}
concurrency: {concurrency}
timeout: 10s
operations:
  unkeyed: {{post: /unkeyed, contract: counted/v1, effect: unkeyed, idempotency_header: null}}
---
endpoint: oracle
adapter: http
settings: {{url: "{url}"}}
concurrency: {concurrency}
timeout: 10s
operations:
  ask: {{post: /unkeyed/ask, contract: sale/v1, reply: sale/v1, effect: unkeyed, idempotency_header: null}}
""",
    "endpoints/books.yaml": """
endpoint: books
adapter: sql
settings: {{url: "secret:env:BOOKS_URL", inbox_table: esb_inbox, create_inbox: true}}
concurrency: {concurrency}
operations:
  book: {{insert: booked, columns: [n]}}
---
endpoint: notes
adapter: sql
settings: {{url: "secret:env:BOOKS_URL"}}
concurrency: {concurrency}
operations:
  note: {{insert: noted, columns: [n]}}
""",
    "flows/count.yaml": """
flow: count
from: feed
steps:
  - map: {{to: counted/v1, set: {{number: n, label: '"no " & $string(n)'}}}}
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
  - call: {{to: recorder.ask, as: answer}}
  - map: {{to: sale/v1, set: {{number: answer.number}}}}
  - call: {{to: oracle.ask, as: answer}}
  - map: {{to: sale/v1, set: {{number: answer.number}}}}
  - send: recorder.answered
---
flow: ticks
from: {{every: 1s}}
steps:
  - map: {{to: sale/v1, set: {{number: $toMillis(scheduled) / 1000}}}}
  - send: recorder.tick
""",
    "sagas/checkout.yaml": """
saga: checkout
from: sale/v1
key: $string(number)
steps:
  - {{name: reserve, call: recorder.reserve, compensate: recorder.release}}
  - {{name: charge, call: recorder.charge, compensate: recorder.refund}}
  - {{name: ship, call: recorder.ship, pivot: true}}
""",
    "contracts/sale/v1.json": json.dumps(
        {
            "type": "object",
            "properties": {"number": {"type": "integer"}},
            "required": ["number"],
            "x-subject": "$string(number)",
        }
    ).replace("{", "{{").replace("}", "}}"),
    "contracts/numbered/v1.json": json.dumps(
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "x-subject": "$string(n)"}
    ).replace("{", "{{").replace("}", "}}"),
    "contracts/counted/v1.json": json.dumps(
        {
            "type": "object",
            "properties": {"number": {"type": "integer"}, "label": {"type": "string"}},
            "required": ["number"],
            "x-subject": "$string(number)",
        }
    ).replace("{", "{{").replace("}", "}}"),
}  # fmt: skip


def write_bus(root: Path, broker: str, database: str, url: str) -> None:
    """The directory of the bus under fire."""
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(broker=broker, database=database, url=url, concurrency=CONCURRENCY))
    (root / "inbox").mkdir()
