"""A private MariaDB server: start it, stop it, databases made for one test each."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from esb.testing.servers import PATIENCE, free_port, wait_until

_UNSAFE = ("--innodb-flush-log-at-trx-commit=0", "--skip-log-bin")  # only a crash of the whole machine could tell


def programs() -> tuple[str, str] | None:
    """The server and what makes its data directory, or None when MariaDB is not installed."""
    found = shutil.which("mariadbd", path=_path()), shutil.which("mariadb-install-db", path=_path())
    return (found[0], found[1]) if found[0] and found[1] else None


class MariaDbServer:
    """One server of its own: port, data and socket; its one user has no password and is reached on loopback only.

    Not for threads: whoever starts it also stops it.
    """

    def __init__(self) -> None:
        found = programs()
        if found is None:
            raise FileNotFoundError("MariaDB is not installed: apt-get install mariadb-server")
        self._server, self._install = found
        self.directory = Path(tempfile.mkdtemp(prefix="esb-mariadb-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            user = pwd.getpwnam("mysql")
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self._make_data()

    def start(self) -> MariaDbServer:
        """Start the server and return when a client can log in. Raises ``RuntimeError`` with the end of its log."""
        command = self._command(
            self._server, "--no-defaults", f"--datadir={self._data}", f"--socket={self.directory}/s",
            f"--port={self.port}", "--bind-address=127.0.0.1", f"--pid-file={self.directory}/pid",
            f"--tmpdir={self.directory}",
            f"--init-file={self._first}", "--skip-name-resolve", *_UNSAFE,
        )  # fmt: skip
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        wait_until(self._ready, PATIENCE, f"MariaDB to accept a login on port {self.port}")
        return self

    def kill(self) -> None:
        """SIGKILL it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)

    def database(self) -> str:
        """The URL of a database that nobody used before."""
        name = f"esb_test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return f"mariadb://bus@127.0.0.1:{self.port}/{name}"

    def execute(self, sql: str) -> None:
        """Run one statement as the owner of everything."""
        import pymysql

        # Without TLS, for which each connection would read all the authorities that this machine trusts.
        connection = pymysql.connect(host="127.0.0.1", port=self.port, user="bus", ssl_disabled=True)
        with contextlib.closing(connection):
            connection.cursor().execute(sql)

    def __enter__(self) -> MariaDbServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _first(self) -> Path:
        return self.directory / "first.sql"

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"

    def _make_data(self) -> None:
        self._first.write_text("CREATE USER IF NOT EXISTS bus@'%';\nGRANT ALL ON *.* TO bus@'%';\n")
        self._first.chmod(0o644)
        done = subprocess.run(
            self._command(
                self._install, "--no-defaults", f"--datadir={self._data}", f"--tmpdir={self.directory}",
                "--auth-root-authentication-method=normal", "--skip-test-db",
            ),
            capture_output=True, text=True, check=False, cwd="/",
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"mariadb-install-db failed: {done.stderr.strip() or done.stdout.strip()}")

    def _command(self, program: str, *arguments: str) -> list[str]:
        """``setpriv`` changes the user, and has the kernel stop the server when whoever started it is gone."""
        user = ["--reuid=mysql", "--regid=mysql", "--init-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig=TERM", program, *arguments]

    def _ready(self) -> bool:
        import pymysql

        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"MariaDB did not start: {self._log.read_text()[-2000:]}")
        try:
            self.execute("SELECT 1")
        except pymysql.Error:
            return False
        return True


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"))
