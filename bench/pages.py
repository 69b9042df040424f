"""How long the server works on each page of the admin interface, on a bus that has lived.

    python -m bench.pages --messages 50000

Every address that can be read, with real ids filled in, asked for by the application itself, without a network between.
Printed are medians in milliseconds, the slowest page first: by the clock, and of the CPU, which says more while
others use the machine. ``poll`` is the page as its own script asks for it again.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from bench.seed import CAUSES, WEEK, seed
from bench.standing import seed_standing
from esb.admin.access import LIVE
from esb.bus import Bus
from esb.config import load
from esb.discovery import discover
from esb.store import Chosen, Status, Transaction
from esb.store.credentials import token_hash

SHOP = Path(__file__).parent / "shop"
LIMIT = 150.0  # ms of the CPU that a page may take
TOKEN = "an-admin-who-measures"  # of a store that is thrown away
OUTSIDE = {"static", "signin.index", "signin.link"}  # files, and pages of strangers
LONG_AGO = {"from": "2020-01-01T00:00", "to": "2020-01-02T00:00"}


class Reading(msgspec.Struct, frozen=True):
    """Milliseconds that a page took, and its size in bytes."""

    path: str
    wall: float
    cpu: float
    poll: float
    size: int


@contextmanager
def shop(folder: Path, messages: int, span: float = WEEK) -> Iterator[Bus]:
    """A bus directory in a folder, its store filled, and an admin signed in; nothing of it runs."""
    bus = Bus(load(Path(shutil.copytree(SHOP, folder / "shop")), discover()), discover())
    bus.prepare()
    now, hash = bus.context.clock(), bus.definition.hash
    seed(bus.store, messages, now=now, definition=hash, span=span)
    seed_standing(bus.store, messages, now=now, definition=hash, span=span)
    with bus.store.transaction() as t:
        t.users.add("ada", "admin", "measuring")
        t.sessions.open(token_hash(TOKEN), "ada", now, 86400.0, "127.0.0.1", "measuring")
    with closing(bus):
        yield bus


def addresses(app: Any, t: Transaction) -> list[str]:
    """Each page with what it can be asked, pages far behind the first among them. Raises ``KeyError``: a new route."""
    asked = _asked(t)
    found: list[str] = []
    for rule in app.url_map.iter_rules():
        if "GET" in rule.methods and rule.endpoint not in OUTSIDE:
            found += asked[rule.endpoint]
    return found


def _asked(t: Transaction) -> dict[str, list[str]]:
    """Addresses by endpoint."""
    parked, done = t.parked.find(Chosen(), limit=1)[0], t.tracking.find(place="flow:sales", limit=3000)
    flow = next(hop for hop in done if hop.status is Status.COMPLETED)
    sagas, groups = t.sagas.search(limit=1000), t.groups.search(limit=1000)
    one, oldest = {"id": parked.message_id, "place": parked.place}, f"{sagas[-1].started_at!r}~{sagas[-1].id}"
    opened = f"{groups[-1].opened_at!r}~{groups[-1].id}"
    after = f"{parked.parked_at!r}~{parked.place} {parked.message_id}"
    causes = [{"kind": kind, "place": place} for kind, place, _ in CAUSES]
    acts = [{"who": "ada"}, {"who": "no"}, {"act": "retry"}, {"target": "flow:"}, {"before": "3000"}]
    return {
        "overview.index": ["/", "/?over=day", "/?over=week"],
        "messages.index": _each("/messages", *_filters(t)),
        "journey.index": _each("/journey", one, {"id": flow.message_id, "place": flow.place}),
        "journey.body": _each("/journey/body", one),
        "parked.index": ["/parked"],
        "parked.group": _each("/parked/group", {}, {"after": after}, *causes),
        "parked.message": _each("/parked/message", one),
        "parked.case": _each("/parked/case", one),
        "replays.index": ["/parked/replays"],
        "sagas.index": _each("/sagas", {}, {"status": "stuck"}, {"key": "SO-4100"}, {"name": "no"}, {"before": oldest}),
        "sagas.show": [f"/sagas/{sagas[0].id}", f"/sagas/{sagas[-1].id}"],
        "groups.index": _each("/groups", {}, {"ended": "yes"}, {"key": "C20"}, {"ended": "yes", "before": opened}),
        "groups.show": [f"/groups/{groups[0].id}"],
        "flows.index": ["/flows"],
        "flows.show": ["/flows/sales", "/flows/bundles"],
        "endpoints.index": ["/endpoints"],
        "endpoints.show": ["/endpoints/pos", "/endpoints/warehouse", "/endpoints/courier"],
        "contracts.index": ["/contracts"],
        "contracts.show": ["/contracts/order/v1"],
        "mappings.index": ["/mappings"],
        "mappings.show": _each("/mappings/sale-to-order", {}, {"message": parked.message_id}),
        "tables.index": ["/tables"],
        "tables.show": _each("/tables/roads", {}, {"key": "7"}, {"after": "C5"}),
        "audit.index": _each("/audit", {}, *acts, LONG_AGO),
        "users.index": ["/users"],
        "guide.index": ["/help"],
        "account.index": ["/account"],
        "health.alive": ["/healthz"],
        "health.ready": ["/readyz"],
    }  # fmt: skip


def _filters(t: Transaction) -> list[dict[str, str]]:
    """What messages are looked for by: what there is much of, little of and none of, and pages far behind."""
    far = t.tracking.find(limit=20_000)[-1]
    behind = f"{far.received_at!r}~{far.place}~{far.message_id}"
    words = [{"q": word} for word in (far.subject or "", far.message_id, "47*", "nobody")]
    words += [{"status": word} for word in ("completed", "parked", "retrying", "compensated")]
    words += [{"type": word} for word in ("pos.sale", "nothing")]
    words += [{"at": word} for word in ("out:", "out:courier", "saga:checkout")]
    return [
        {}, {"before": behind}, *words, LONG_AGO, {"last": "15m"}, {"at": "event:", "before": behind},
        {"at": "flow:sales", "status": "filtered"}, {"last": "7d", "at": "in:", "type": "order"},
    ]  # fmt: skip


def _each(path: str, *asked: Mapping[str, str]) -> list[str]:
    return [f"{path}?{urlencode(one)}" if one else path for one in asked]


def measure(client: Any, path: str, runs: int) -> Reading:
    """A page, after one look that nobody counts."""
    answer = client.get(path)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answers {answer.status_code}")
    poll = {LIVE: "1", "If-None-Match": answer.headers.get("ETag", "")}
    whole = [_timed(lambda: client.get(path)) for _ in range(runs)]
    again = [_timed(lambda: client.get(path, headers=poll)) for _ in range(runs)]
    return Reading(
        path, statistics.median(wall for wall, _ in whole), statistics.median(cpu for _, cpu in whole),
        statistics.median(cpu for _, cpu in again), len(answer.data),
    )  # fmt: skip


def _timed(ask: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    ask()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


def readings_of(bus: Bus, runs: int) -> list[Reading]:
    """All pages, the slowest first."""
    app = bus.admin()
    client = app.test_client()
    client.set_cookie("esb_session", TOKEN)
    with bus.store.reading() as t:
        paths = addresses(app, t)
    return sorted((measure(client, path, runs) for path in paths), key=lambda one: -one.cpu)


def main() -> int:
    """The command line; 1 when a page took longer than it may."""
    parser = argparse.ArgumentParser("python -m bench.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--hours", type=float, default=WEEK / 3600, help="over which they came (168)")
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, shop(Path(folder), given.messages, given.hours * 3600) as bus:
        readings = readings_of(bus, given.runs)
    print(f"{'clock':>8} {'cpu':>8} {'poll':>8} {'size':>8}  page")
    for one in readings:
        print(f"{one.wall:8.1f} {one.cpu:8.1f} {one.poll:8.1f} {one.size / 1000:7.1f}k  {one.path}")
    return 1 if any(one.cpu > LIMIT for one in readings) else 0


if __name__ == "__main__":
    sys.exit(main())
