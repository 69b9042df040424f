"""A private PostgreSQL cluster: start it, kill it, start it again on the same data.

Run by hand (``python -m esb.testing.servers.postgresql``) it prints the URL of a fresh database and keeps it until
Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from esb.testing.servers import PATIENCE, free_port, wait_until

_DEBIAN = Path("/usr/lib/postgresql")  # Debian keeps all but the clients out of PATH, one directory a version
_UNSAFE = ("fsync=off", "full_page_writes=off")  # only a crash of the whole machine could tell
_SETTINGS = (
    "unix_socket_directories=",
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "log_min_messages=warning",
)


def programs() -> Path | None:
    """Where the newest PostgreSQL's own programs lie on this machine, or None when it is not installed."""
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists() and path.parent.name.isdigit()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class _Databases:
    """What a private and an external server have in common: databases made for one test each."""

    url: str

    def database(self, template: str = "template0") -> str:
        """The URL of a database that nobody used before: one test's own.

        Args:
            template: name of the database to copy; nobody may be connected to it. ``template0`` is empty.
        """
        name = f"esb_test_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def drop(self, url: str) -> None:
        """Delete a database made by :meth:`database`, whoever is connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')

    def drop_connections(self) -> None:
        """Close every other connection from the server's side, and wait for their ends."""
        self.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname LIKE 'esb_test_%' AND pid <> pg_backend_pid()"
        )

    def execute(self, sql: str) -> None:
        """Run one statement on the server's first database, outside a transaction."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(sql)


class PostgresServer(_Databases):
    """One cluster of its own: port, data, user and password.

    PostgreSQL refuses to run as root; started by root it runs as the user ``postgres``. Not for threads: whoever
    starts it also stops it.
    """

    private = True

    def __init__(self, durable: bool = False) -> None:
        """Args: ``durable`` keeps fsync on, which only measurements need: kill -9 loses nothing without."""
        found = programs()
        if found is None:
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = found
        self.directory = Path(tempfile.mkdtemp(prefix="esb-postgresql-"))
        self.port = free_port()
        self.password = secrets.token_hex(12)
        self.url = f"postgresql://esb:{self.password}@127.0.0.1:{self.port}/postgres"
        self._settings = _SETTINGS if durable else (*_SETTINGS, *_UNSAFE)
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise()

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> PostgresServer:
        """Start the server, if it does not run, and return when a client can log in.

        Raises ``RuntimeError`` with the end of the log when it cannot be started.
        """
        if self._process is None or self._process.poll() is not None:
            settings = [part for setting in self._settings for part in ("-c", setting)]
            command = self._command("postgres", "-D", str(self._data), "-p", str(self.port), *settings)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
                )
            wait_until(self._ready, PATIENCE, f"PostgreSQL to accept a login on port {self.port}")
        return self

    def stop(self) -> None:
        """Stop the server in order, closing what is connected; its data stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(60)

    def kill(self) -> None:
        """SIGKILL all of its processes."""
        if self._process is None or self._process.poll() is not None:
            return
        children = _children(self._process.pid)
        self._process.kill()
        self._process.wait()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        wait_until(lambda: not any(map(_alive, children)), 10, "the processes of PostgreSQL to end")

    def restart(self) -> None:
        """Start again on the same port and data, after ``stop`` or ``kill`` (or stopping it first)."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: the end of :meth:`suspend`."""
        self._signal_all(signal.SIGCONT)

    def remove(self) -> None:
        """Kill what runs and delete the data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.remove()

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _initialise(self) -> None:
        password = self.directory / "password"
        password.write_text(self.password)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (self.directory, password):
                os.chown(path, user.pw_uid, user.pw_gid)
        done = subprocess.run(
            self._command(
                "initdb", "-D", str(self._data), "-U", "esb", "-A", "scram-sha-256", "--pwfile", str(password),
                "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8",
            ),
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.strip()}")

    def _command(self, program: str, *arguments: str) -> list[str]:
        """``setpriv`` changes the user, and has the kernel stop the server when whoever started it is gone."""
        user = ["--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig=QUIT", str(self._programs / program), *arguments]

    def _ready(self) -> bool:
        import psycopg

        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}")
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _signal_all(self, number: int) -> None:
        assert self._process is not None
        for pid in (self._process.pid, *_children(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


class ExternalPostgres(_Databases):
    """A server that somebody else runs (``ESB_TEST_DATABASE``): databases are made and dropped, nothing is killed."""

    private = False

    def __init__(self, url: str) -> None:
        self.url = url
        self._made: list[str] = []

    def database(self, template: str = "template0") -> str:
        """As :meth:`PostgresServer.database`; dropped in the end."""
        self._made.append(super().database(template))
        return self._made[-1]

    def __enter__(self) -> ExternalPostgres:
        return self

    def __exit__(self, *error: object) -> None:
        for url in self._made:
            self.drop(url)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _alive(pid: int) -> bool:
    """Running; a process that ended and waits to be collected does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _main(arguments: list[str]) -> None:
    with PostgresServer(durable="--durable" in arguments) as server:
        print(server.database(), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _main(sys.argv[1:])
