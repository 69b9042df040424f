"""What the scenarios of the store start from."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from esb.message import Message, create
from esb.store import Hop, Parked, Status, new_owner


def hop(message_id: str, place: str = "flow:sales", status: Status = Status.COMPLETED, **fields: Any) -> Hop:
    """A hop whose other fields do not matter."""
    fields.setdefault("correlation_id", message_id)
    fields.setdefault("type", "pos.sale")
    return Hop(message_id=message_id, place=place, status=status, **fields)


def message(id: str = "m1", **fields: Any) -> Message:
    """A message whose other fields do not matter."""
    fields.setdefault("type", "pos.sale")
    return create(b'{"total": 5}', id=id, source="pos", time=1.0, **fields)


def parked(id: str = "m1", place: str = "flow:sales", **fields: Any) -> Parked:
    """A parked message whose other fields do not matter."""
    defaults: dict[str, Any] = {
        "queue": "esb.flow.sales",
        "kind": "contract",
        "error": "total is missing",
        "parked_at": 100.0,
    }
    return Parked(message=message(id), place=place, **defaults | fields)


def race(act: Callable[[str], Any], names: tuple[str, ...] = ("a", "b")) -> dict[str, Any]:
    """``act(name)`` in one thread each, all let go at once; what each gave. Raises what one of them raised."""
    barrier = threading.Barrier(len(names))
    results: dict[str, Any] = {}
    errors: list[BaseException] = []

    def run(name: str) -> None:
        barrier.wait(10)
        try:
            results[name] = act(name)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]
    return results


def owner_that_is_gone() -> str:
    """As a process of this machine was named that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return new_owner().replace(f"/{os.getpid()}/", f"/{process.pid}/")
