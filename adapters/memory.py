"""An outside that lives in the process: the reference for adapters, and what ``esb test`` runs on."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO, ClassVar

from esb.errors import Interrupted, Refused, Unreachable
from esb.ports import Adapter, Claim, Features, Reply, Request, Settings


class MemorySettings(Settings):
    """Nothing needs to be said."""


class MemoryClaim:
    """Something taken from a :class:`Box`. See :class:`esb.ports.Claim`."""

    def __init__(self, content: bytes, name: str) -> None:
        self.id = uuid.uuid4().hex
        self.key = hashlib.sha256(content).hexdigest()
        self.name = name
        self.time = time.time()
        self.position = 0
        self.content = content

    def open(self) -> BinaryIO:
        """The content."""
        return BytesIO(self.content)

    def advance(self, position: int) -> None:
        """The box outlives its adapters, so remembering is enough."""
        self.position = position


class Box:
    """The outside: what waits to be taken, what was sent here, and ways to misbehave. Safe to use from any thread."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[MemoryClaim] = deque()
        self.claimed: dict[str, MemoryClaim] = {}
        self.done: list[MemoryClaim] = []
        self.rejected: list[tuple[MemoryClaim, str]] = []
        self.sent: list[Request] = []
        self.keys: set[str] = set()
        self.broken = False
        self.hanging = False
        self.refused: dict[str, str] = {}  # by key: why a message is not taken
        self.answer: Callable[[Request], Reply] = lambda request: Reply(detail="kept")

    def offer(self, content: bytes, name: str = "") -> None:
        """Put something there to be taken."""
        with self.lock:
            self.waiting.append(MemoryClaim(content, name or f"{len(self.waiting) + 1}"))

    def receive(self, request: Request) -> None:
        """Take a message, once per key."""
        with self.lock:
            if request.key not in self.keys:
                self.keys.add(request.key)
                self.sent.append(request)


class MemoryAdapter(Adapter):
    """Takes from and sends to a :class:`Box`. Adapters that are given the same ``box`` share one outside."""

    kind: ClassVar[str] = "memory"
    summary: ClassVar[str] = "an outside within the process, for tests"
    features: ClassVar[Features] = Features(polls=True, sends=True, keyed=True, replies=True, batches=True, probes=True)
    Settings: ClassVar[Any] = MemorySettings

    def __init__(
        self,
        name: str,
        settings: MemorySettings | None = None,
        operations: Mapping[str, Any] | None = None,
        receive: Any = None,
        root: str = ".",
        box: Box | None = None,
    ) -> None:
        super().__init__(name, settings or MemorySettings(), operations, receive, root)
        self.box = box or Box()

    @property
    def inbox(self) -> list[bytes]:
        """What waits to be taken."""
        with self.box.lock:
            return [claim.content for claim in self.box.waiting]

    @property
    def sent(self) -> list[Request]:
        """What was sent, one for each key."""
        with self.box.lock:
            return list(self.box.sent)

    def check(self) -> str:
        """It is there unless it was broken on purpose."""
        if self.box.broken:
            raise Unreachable(f"{self.name}: the box is broken")
        return "the box is there"

    def claim(self, owner: str, limit: int) -> Sequence[MemoryClaim]:
        """See :meth:`esb.ports.Adapter.claim`."""
        self.check()
        box = self.box
        with box.lock:
            while box.waiting and len(box.claimed) < limit:
                claim = box.waiting.popleft()
                box.claimed[claim.id] = claim
            return list(box.claimed.values())[:limit]

    def done(self, claim: Claim) -> None:
        """Remember it as done."""
        with self.box.lock:
            mine = self.box.claimed.pop(claim.id, None)
            if mine:
                self.box.done.append(mine)

    def reject(self, claim: Claim, reason: str) -> None:
        """Set it aside with its reason."""
        with self.box.lock:
            mine = self.box.claimed.pop(claim.id, None)
            if mine:
                self.box.rejected.append((mine, reason))

    def release(self, claim: Claim) -> None:
        """Put it back in front."""
        with self.box.lock:
            mine = self.box.claimed.pop(claim.id, None)
            if mine:
                mine.position = 0
                self.box.waiting.appendleft(mine)

    def send(self, request: Request) -> Reply:
        """Put the request into the box, once per key, and give the box's answer."""
        self.check()
        if self.box.hanging:
            threading.Event().wait(request.timeout)
            raise Interrupted(f"{self.name}: no answer within {request.timeout:g} s")
        if request.key in self.box.refused:
            raise Refused(f"{self.name}: {self.box.refused[request.key]}")
        self.box.receive(request)
        return self.box.answer(request)

    def took_place(self, request: Request) -> Reply | None:
        """Whether the box has it, and its answer."""
        self.check()
        with self.box.lock:
            there = request.key in self.box.keys
        return self.box.answer(request) if there else None
