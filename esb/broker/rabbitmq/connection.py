"""One connection to RabbitMQ with one channel, owned by one thread, opened again whenever it is needed.

kombu and py-amqp connect, log in and speak every rare method; ``frames`` says how the frequent ones are spoken.
"""

from __future__ import annotations

import re
import select
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from socket import TCP_USER_TIMEOUT
from types import MethodType
from typing import Any

import kombu
from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed

from esb.broker.rabbitmq.frames import Frames
from esb.broker.rabbitmq.wire import Write
from esb.broker_url import Settings
from esb.errors import BrokerDown, EsbError, LoginRefused
from esb.wake import Wake

# py-amqp raises AttributeError and TypeError from the pieces of a connection that fell apart under its hands.
DRIVER_ERRORS = (AMQPError, OSError, struct.error, AttributeError, TypeError, KeyError)

# Said in these words since RabbitMQ 3.8, with the size of the body and the server's limit.
_TOO_LARGE = re.compile(r"message size \d+ is larger than \D*(\d+)")
_REFUSALS = (AccessRefused, NotAllowed)  # of a login, of a virtual host
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_CLOSING = 2.0  # seconds that a polite goodbye may take


class Link:
    """The connection and its channel. All but :meth:`beat` belongs to the owner's thread.

    Args:
        name: shown in RabbitMQ's list of connections.
        setup: makes a fresh channel ready (QoS, consumers, confirm mode). A method is held weakly: its
            object, which holds this link, goes with its last user, and not when the collector comes by.
        frames: how the frequent frames are spoken.
        listens: whether to take in what comes, at the moment.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        setup: Callable[[Any], None],
        frames: Frames,
        listens: Callable[[], bool] = lambda: True,
    ) -> None:
        self.settings = settings
        self.generation = 0  # counts the channels this link has had
        self.blocked = ""  # why the server takes no publishes at the moment
        self.channel: Any = None
        self._name = name
        self._setup = weakref.WeakMethod(setup) if isinstance(setup, MethodType) else lambda: setup
        self._frames = frames
        self._listens = listens
        self._listening = True
        self._connection: Any = None
        self._poll = select.poll()
        self._lock = threading.RLock()
        self._pause = 0.0
        self._retry_at = 0.0
        self._heard = self._attended = self._sent = 0.0

    # --- life -------------------------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def open(self, wait: float = _LONGEST_PAUSE) -> None:
        """Connect if we are not. After failures it first waits a growing pause, ``wait`` seconds at most.

        Raises ``BrokerDown`` when there is no connection at the end of it.
        """
        if self._connection is not None:
            return
        pause = self._retry_at - time.monotonic()
        if pause > 0:
            time.sleep(min(pause, max(wait, 0.0)))
        try:
            with self.failures("connect to"):
                self._connect()
        except BrokerDown:
            self._pause = min(max(self._pause * 2, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            self._retry_at = time.monotonic() + self._pause
            raise
        self._pause = 0.0

    def refresh(self) -> None:
        """Find out, while nothing is under way, whether the connection still stands; drop it if not."""
        if self._connection is not None:
            try:
                with self.failures("reach"):
                    self.read()
            except BrokerDown:
                pass  # dropped; who needs it opens it again

    def exclusive(self) -> AbstractContextManager[Any]:
        """For a dialogue through py-amqp: the keeper stays out meanwhile."""
        return self._lock

    def drop(self) -> None:
        """Let the connection go without a word: nothing here can wait."""
        with self._lock:
            connection, self._connection, self.channel = self._connection, None, None
            self._frames.detach()
            self.blocked = ""
            self._poll = select.poll()
            if connection is not None:
                try:
                    connection.collect()
                except DRIVER_ERRORS:
                    pass  # it fell apart before; there is nothing left to let go

    def close(self) -> None:
        """Say goodbye, for two seconds at most, and let go."""
        connection = self._connection
        if connection is None:
            return
        try:
            with self._lock:
                connection.sock.settimeout(_CLOSING)
                connection.close()
        except DRIVER_ERRORS:
            pass  # the server finds the closed socket
        self.drop()

    @contextmanager
    def failures(self, attempt: str) -> Iterator[None]:
        """Whatever the driver raises inside drops the connection and comes out as ``BrokerDown``."""
        try:
            yield
        except EsbError:
            raise  # ours, said while the connection was in order
        except DRIVER_ERRORS as error:
            self.drop()
            kind = LoginRefused if isinstance(error, _REFUSALS) else BrokerDown
            raise kind(f"cannot {attempt} RabbitMQ at {self.settings}: {_reason(error)}") from error
        except BaseException:
            self.drop()  # an interrupt in the middle of a frame leaves the stream unreadable
            raise

    @property
    def server(self) -> dict[str, Any]:
        """What the server says of itself: product, version, capabilities."""
        return dict(self._connection.server_properties) if self._connection is not None else {}

    # --- traffic ----------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Handle what has come, if we are listening, without waiting. Raises driver errors."""
        if self._listen():
            self._handle()
        if self._socket in self._poll_now(0):  # the wake-up is polled too, and has nothing to receive
            self._receive()
        self._attended = time.monotonic()

    def wait(self, timeout: float, wake: Wake | None = None) -> bool:
        """Wait for something to come and handle it; True when ``wake`` was set.

        Raises driver errors, among them that of a peer that has been silent for two heartbeats while we listened.
        """
        self._notice_absence()
        listening = self._listen()
        if wake is not None:
            self._poll.register(wake.fileno(), select.POLLIN)
        if listening and self._handle():
            timeout = 0
        ready = self._poll_now(min(timeout, self.settings.heartbeat / 2))
        if self._socket in ready:
            self._receive()
        self._attended = time.monotonic()
        if not listening:
            self._heard = self._attended
        if self._attended - self._heard > 2 * self.settings.heartbeat:
            raise TimeoutError(f"the server has been silent for {2 * self.settings.heartbeat} s")
        return wake is not None and wake.fileno() in ready and wake.clear()

    def send(self, writes: Iterable[Write]) -> None:
        """Say all this; in between what came in is handled, so that no side waits for the other."""
        for number, write in enumerate(writes):
            if number:
                self.read()
            with self._lock:
                write()
                self._sent = time.monotonic()

    def beat(self) -> None:
        """Send a heartbeat if none of our bytes went out for a while. Called from the keeper's thread.

        An owner who is busy with the connection needs no help, so this never waits for one.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            connection = self._connection
            if connection is None or time.monotonic() - self._sent < self.settings.heartbeat / 3:
                return
            writable = select.poll()  # a full socket would make us wait, and needs no heartbeat
            writable.register(connection.sock, select.POLLOUT)
            if writable.poll(0):
                connection.send_heartbeat()
                self._sent = time.monotonic()
        except (*DRIVER_ERRORS, ValueError):
            pass  # the owner finds out at its next use
        finally:
            self._lock.release()

    # --- inside -----------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        settings = self.settings
        client = kombu.Connection(
            hostname=settings.host, port=settings.port, userid=settings.user, password=settings.password,
            virtual_host=settings.vhost, login_method="PLAIN", ssl=settings.ssl_options(),
            transport=self._frames.transport, connect_timeout=settings.connect_timeout, heartbeat=settings.heartbeat,
            transport_options=self._options(),
        )  # fmt: skip
        with self._lock:
            self._connection = client.transport.establish_connection()
            self.generation += 1
            self.blocked = ""
            self._socket = self._connection.sock.fileno()
            self._poll.register(self._socket, select.POLLIN)
            self._listening = True
            self._heard = self._attended = self._sent = time.monotonic()
            self.channel = self._connection.channel()
            self._frames.attach(self._connection, self.channel)
            if setup := self._setup():
                setup(self.channel)

    def _options(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "read_timeout": settings.read_timeout,
            "write_timeout": settings.write_timeout,
            # py-amqp's default of one second ends connections over any stall of the network.
            "socket_settings": {TCP_USER_TIMEOUT: int(settings.write_timeout * 1000)},
            "client_properties": {"connection_name": self._name, "product": "esb"},
            "on_blocked": self._on_blocked,
            "on_unblocked": self._on_unblocked,
            "frame_handler": self._frames.handler,
        }

    def _on_blocked(self, reason: str) -> None:
        self.blocked = "the server has a memory or disk alarm and takes no messages"

    def _on_unblocked(self) -> None:
        self.blocked = ""

    def _listen(self) -> bool:
        """If we are not to, the poll tells nothing but the end of the connection, and the socket fills up."""
        wanted = self._listens()
        if wanted is not self._listening:
            self._poll.modify(self._socket, select.POLLIN if wanted else 0)
            self._listening = wanted
        return wanted

    def _receive(self) -> None:
        with self._lock:
            if self._frames.receive():
                self._heard = time.monotonic()

    def _handle(self) -> bool:
        with self._lock:
            return self._frames.handle()

    def _poll_now(self, timeout: float) -> set[int]:
        return {descriptor for descriptor, _ in self._poll.poll(timeout * 1000)}

    def _notice_absence(self) -> None:
        """Time in which we did not look is no silence of the peer."""
        now = time.monotonic()
        if now - self._attended > 1:
            self._heard += now - self._attended


class Keeper:
    """A thread that sends heartbeats for links whose owners are busy elsewhere (a long commit, a slow batch).

    Without it the server closes such a connection and hands its messages to somebody else, to be done twice.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._links: weakref.WeakSet[Link] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, link: Link) -> Link:
        """Look after a link for as long as it lives."""
        with self._guard:
            self._links.add(link)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="esb-heartbeat", daemon=True)
                self._thread.start()
        return link

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._interval + 1)

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            with self._guard:
                links = list(self._links)
            for link in links:
                link.beat()


def limit_of(error: BaseException | None) -> int | None:
    """The most bytes that a body may have, where the server closed a channel because one has more."""
    if not isinstance(error, PreconditionFailed):
        return None
    found = _TOO_LARGE.search(error.reply_text or "")
    return int(found[1]) if found else None


def _reason(error: BaseException) -> str:
    """What went wrong in words; the driver's own text never holds the password."""
    if isinstance(error, AccessRefused):
        return f"{error.reply_text or 'login refused'}: check user, password and rights"
    if isinstance(error, NotAllowed):
        return f"{error.reply_text}: check the virtual host"
    return str(error) or type(error).__name__
