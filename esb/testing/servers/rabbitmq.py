"""A private RabbitMQ node: start it, kill it, start it again on the same data.

Run by hand (``python -m esb.testing.servers.rabbitmq``) it prints the URL of a fresh node and keeps it until Ctrl-C.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import amqp

from esb.testing.servers import PATIENCE, free_port, wait_until

# Debian's packages put wrappers that change the user into PATH; the programs themselves lie here.
_PROGRAMS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"))
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
default_user = {user}
default_pass = {password}
disk_free_limit.absolute = 10MB
vm_memory_high_watermark.absolute = {memory}
log.file.level = warning
max_message_size = 134217728
"""
_ADD_VHOST = """\
ok = rabbit_vhost:add(<<"{name}">>, <<"test">>),
rabbit_auth_backend_internal:set_permissions(<<"{user}">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>)"""
# Every queue has its leader, and every leader its dead-letter worker, before a queue goes: a worker that still begins
# then crashes until the supervisor of all of them gives up, and no delay queue can be made on the node any more (seen
# on 3.10 and 4.0 right after a start of the node; rabbitmq-server issue 16652 is of that kind). A queue may have no
# leader for ever: the last one made in the second before the node was killed.
_DELETE_VHOSTS = """\
[catch ra:members(amqqueue:get_pid(Queue), 5000)
 || Name <- [{names}], Queue <- rabbit_amqqueue:list(Name), is_tuple(amqqueue:get_pid(Queue))],
[catch sys:get_state(Worker, 5000)
 || {{_, Worker, _, _}} <- supervisor:which_children(rabbit_fifo_dlx_sup), is_pid(Worker)],
[rabbit_vhost:delete(Name, <<"test">>) || Name <- [{names}]]"""
_SET_POLICY = (
    'ok = rabbit_policy:parse_set(<<"{vhost}">>, <<"test">>, <<{pattern}>>, <<{definition}>>, 0, <<"all">>, <<"test">>)'
)
_CLEAR_POLICY = 'rabbit_policy:delete(<<"{vhost}">>, <<"test">>, <<"test">>)'
_SUSPEND_QUEUE = """\
{{ok, Queue}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)),
ok = sys:suspend(amqqueue:get_pid(Queue))"""
_SET_MEMORY = "vm_memory_monitor:set_vm_memory_high_watermark({limit})"
# What was configured, and where RabbitMQ 4 keeps it once it has read that.
_SET_LARGEST = "application:set_env(rabbit, max_message_size, {size}), persistent_term:put(max_message_size, {size})"
_DROP = 'ok = rabbit_networking:close_connections(rabbit_networking:connections(), "dropped by a test")'


def programs() -> Path | None:
    """Where RabbitMQ's own programs lie on this machine, or None when it is not installed."""
    return next((path for path in _PROGRAMS if (path / "rabbitmq-server").exists()), None)


class RabbitMqServer:
    """One node of its own: name, ports, data, user and password.

    Not for threads: whoever starts it also stops it.
    """

    private = True

    def __init__(self, memory: str = "1GB") -> None:
        """Args: ``memory`` is what the node may take before it raises its alarm."""
        found = programs()
        if found is None:
            raise FileNotFoundError("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._programs = found
        self.directory = Path(tempfile.mkdtemp(prefix="esb-rabbitmq-"))
        self.port = free_port()
        self.memory = memory
        self.user = "esb"
        self.password = secrets.token_hex(12)
        self._vhosts: list[str] = []
        self._environment = self._write_files()
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> RabbitMqServer:
        """Start the node, if it does not run, and return when a client can log in.

        Raises ``RuntimeError`` with the end of the log when it cannot be started.
        """
        if self._node is not None and self._node.poll() is None:
            return self
        self._epmd = self._epmd or _start_epmd(self._environment)
        output = (self.directory / "output.log").open("ab")
        # An Erlang shell on a pipe ends with its pipe, so the node never outlives the process that started it.
        self._node = subprocess.Popen(
            [self._programs / "rabbitmq-server"],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        output.close()
        wait_until(self._ready, PATIENCE, f"RabbitMQ to accept a login on port {self.port}")
        return self

    def stop(self) -> None:
        """Stop the node in order; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what the node had not written is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same port and data, after ``stop`` or ``kill`` (or stopping it first)."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: the end of :meth:`suspend`."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill what runs and delete the data."""
        self.kill()
        if self._epmd is not None:
            self._epmd.communicate()
            self._epmd = None
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> RabbitMqServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.remove()

    # --- use --------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The node's default virtual host."""
        return self._url("%2F")

    def vhost(self) -> str:
        """The URL of a virtual host that nobody used before: one test's own."""
        self._vhosts.append(f"t{len(self._vhosts) + 1}")
        self._run(_ADD_VHOST.format(user=self.user, name=self._vhosts[-1]))
        return self._url(self._vhosts[-1])

    @property
    def vhosts(self) -> int:
        """How many were made by :meth:`vhost`."""
        return len(self._vhosts)

    def drop_vhosts(self, kept: int) -> None:
        """Delete those made after the first so many, with all that is in them.

        Quorum queues that nobody uses cost a node a share of a core, and each start of it a multiple of the time.
        """
        names = ", ".join(f'<<"{name}">>' for name in self._vhosts[kept:])
        if names and self._node is not None and self._node.poll() is None:
            self._run(_DELETE_VHOSTS.format(names=names))

    def set_policy(self, vhost: str, pattern: str, **definition: object) -> None:
        """The only policy of a virtual host (its name, not its URL): what holds for queues whose names match."""
        quoted = json.dumps(json.dumps(definition))  # what both write alike: an Erlang string without odd characters
        self._run(_SET_POLICY.format(vhost=vhost, pattern=json.dumps(pattern), definition=quoted))

    def clear_policy(self, vhost: str) -> None:
        """The end of :meth:`set_policy`."""
        self._run(_CLEAR_POLICY.format(vhost=vhost))

    def suspend_queue(self, vhost: str, queue: str) -> None:
        """A quorum queue (in a virtual host, by its name) stands still: it takes messages, and confirms none."""
        self._run(_SUSPEND_QUEUE.format(vhost=vhost, queue=queue))

    def memory_alarm(self, on: bool) -> None:
        """Raise or clear the memory alarm: publishing connections are blocked, consuming ones go on."""
        self._run(_SET_MEMORY.format(limit="0" if on else f'{{absolute, "{self.memory}"}}'))

    def limit_messages(self, size: int = 128 * 1024**2) -> None:
        """The most bytes that a body may have, for channels opened from now on; without it the server's own default."""
        self._run(_SET_LARGEST.format(size=size))

    def drop_connections(self) -> None:
        """Close every client connection from the server's side."""
        self._run(_DROP)

    # --- inside -----------------------------------------------------------------------------------------------

    def _run(self, expressions: str) -> None:
        """Evaluate Erlang in the node's own shell: ``rabbitmqctl`` takes a second or two of a processor for each.

        Raises ``RuntimeError`` with what it said when it failed.
        """
        assert self._node is not None and self._node.stdin is not None
        log, mark = self.directory / "output.log", secrets.token_hex(8)
        before = log.stat().st_size
        self._node.stdin.write(f'io:format("~n~s ~0p~n", ["{mark}", catch begin {expressions} end]).\n'.encode())
        self._node.stdin.flush()

        def said() -> str:
            with log.open("rb") as file:
                file.seek(before)
                return file.read().decode(errors="replace").partition(f"\n{mark} ")[2]

        wait_until(lambda: "\n" in said(), PATIENCE, f"RabbitMQ to evaluate {expressions}")
        if said().startswith("{'EXIT'"):
            raise RuntimeError(f"{expressions} failed: {said().splitlines()[0]}")

    def _url(self, vhost: str) -> str:
        return f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}/{vhost}"

    def _configuration(self) -> str:
        return _CONFIG.format(port=self.port, user=self.user, password=self.password, memory=self.memory)

    def _write_files(self) -> dict[str, str]:
        place = self.directory
        (place / "rabbitmq.conf").write_text(self._configuration())
        (place / "enabled_plugins").write_text("[].\n")
        (place / "env.conf").write_text("")
        _link_needed(self._programs, place / "plugins")
        cookie = place / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(20))
        cookie.chmod(0o400)
        return _environment(place, epmd=free_port(), distribution=free_port())

    def _ready(self) -> bool:
        if self._node is not None and self._node.poll() is not None:
            raise RuntimeError(f"RabbitMQ did not start: {self._log_tail()}")
        client = amqp.Connection(
            f"127.0.0.1:{self.port}", userid=self.user, password=self.password, login_method="PLAIN", connect_timeout=2
        )
        try:
            client.connect()
            client.close()
        except (OSError, amqp.exceptions.AMQPError):
            client.collect()
            return False
        return True

    def _log_tail(self) -> str:
        return (self.directory / "output.log").read_text(errors="replace")[-2000:]

    def _signal(self, number: signal.Signals) -> None:
        if self._node is not None and self._node.poll() is None:
            os.killpg(self._node.pid, number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._node is not None:
            self._node.wait(30)
            if self._node.stdin:
                self._node.stdin.close()
            self._node = None


class ExternalRabbitMq:
    """A server that somebody else runs (``ESB_TEST_BROKER``): used, never killed, and its virtual host is shared."""

    private = False
    vhosts = 0  # made by us

    def __init__(self, url: str) -> None:
        self.url = url

    def vhost(self) -> str:
        """The one virtual host there is."""
        return self.url

    def drop_vhosts(self, kept: int) -> None:
        """It stays."""


def _link_needed(programs: Path, place: Path) -> None:
    """Without the plugins, which no test enables: a node that boots loads each of them to see what it can do."""
    place.mkdir()
    for plugins in (programs.parent / "plugins", *programs.parent.glob("lib/rabbitmq_server-*/plugins")):
        for entry in plugins.glob("*"):
            if not entry.name.startswith("rabbitmq_") or entry.name.startswith("rabbitmq_prelaunch"):
                (place / entry.name).symlink_to(entry)


def _environment(place: Path, epmd: int, distribution: int) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "LANG": "C.UTF-8",
        "HOME": str(place),
        "RABBITMQ_NODENAME": f"esb-{secrets.token_hex(4)}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(place / "data"),
        "RABBITMQ_LOG_BASE": str(place / "log"),
        "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
        "RABBITMQ_PLUGINS_DIR": str(place / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(place / "env.conf"),
        "RABBITMQ_ALLOW_INPUT": "1",
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Idle schedulers sleep at once: tests share few cores. The distribution listens on loopback only. What returns
        # from a delay to a full queue is offered again after seconds, not three minutes, as the guide has it.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1} "
            "-rabbit dead_letter_worker_publisher_confirm_timeout 5000"
        ),
    }


def _start_epmd(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Erlang's name server, under a shell that ends it when our end of the pipe closes (else it would stay)."""
    script = "epmd & child=$!; cat >/dev/null; kill $child; wait"
    return subprocess.Popen(["/bin/sh", "-c", script], env=environment, stdin=subprocess.PIPE, start_new_session=True)


def main() -> None:
    """Start a node, print its URL, keep it until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with RabbitMqServer() as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        sys.stderr.write("RabbitMQ runs; Ctrl-C ends it and deletes its data\n")
        try:
            signal.pause()
        except KeyboardInterrupt:
            sys.stderr.write("stopping\n")


if __name__ == "__main__":
    main()
