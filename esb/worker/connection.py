"""Testing a connection at a person's wish: a sign of life from the other side, without an effect there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from esb.errors import EndpointError
from esb.ports import Adapter
from esb.store import Probe, Store

LIMIT = 10.0  # seconds that somebody waits for an answer
_Answer = tuple[bool, str]


def ask_connection(adapter: Adapter, clock: Callable[[], float] = time.time, limit: float = LIMIT) -> Probe:
    """Open a connection of its own and ask for a sign of life.

    On a thread of its own: a system that hangs holds up nobody for longer than ``limit`` (seconds). The thread ends
    with the adapter's own time-outs.

    Args:
        adapter: of the endpoint; only its settings are used, so that no connection in use is touched.
    """
    at, began = clock(), time.perf_counter()
    answers: SimpleQueue[_Answer] = SimpleQueue()
    threading.Thread(target=lambda: answers.put(_answer(adapter)), name=f"test {adapter.name}", daemon=True).start()
    try:
        ok, text = answers.get(timeout=limit)
    except Empty:
        ok, text = False, f"no answer within {limit:g} s"
    return Probe(adapter.name, at, ok, text, round((time.perf_counter() - began) * 1000, 1))


def try_connection(
    store: Store, adapter: Adapter, who: str, why: str, clock: Callable[[], float] = time.time, limit: float = LIMIT
) -> Probe:
    """:func:`ask_connection`, with the answer noted where probes are, and the act in the audit."""
    probe = ask_connection(adapter, clock, limit)
    with store.transaction() as t:
        t.probes.record([probe])
        t.audit.append(who, "test connection", f"endpoint:{adapter.name}", why, "ok" if probe.ok else probe.text)
    return probe


def _answer(given: Adapter) -> _Answer:
    adapter = type(given)(given.name, given.settings, given.operations, given.receive, root=given.root)
    try:
        adapter.open()
        return True, adapter.check()
    except EndpointError as error:
        return False, str(error)
    except Exception as error:  # an adapter of a third party: its fault is an answer, too
        return False, f"{type(error).__name__}: {error}"
    finally:
        adapter.close()
