"""`esb run` as real processes: start, kill, stop, reload."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import Result
from processes import Esb, alive, until
from pydantic import SecretStr

from esb.cli import logs
from esb.cli.supervisor import LONGEST_PAUSE, Role, Supervisor, pause_after, report_ready

Run = Callable[..., Result]
Start = Callable[..., Esb]
HTTP = "endpoint: shop\nadapter: http\nreceive: {contract: order.row/v1}\n"


def serving(place: Path, port: int) -> None:
    """Let the bus listen for orders over HTTP, too."""
    (place / "endpoints" / "shop.yaml").write_text(HTTP)
    (place / "flows" / "online.yaml").write_text("flow: online\nfrom: shop\nsteps: [{filter: 'false'}]\n")
    with (place / "esb.yaml").open("a") as file:
        file.write(f"http: {{port: {port}}}\n")


@pytest.fixture
def taken() -> Any:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_roles_are_restarted_and_stop_in_order(shop: Path, start: Start) -> None:
    """A killed role comes back by itself, with a word on stderr; Ctrl-C ends all of it, with exit code 0."""
    with (shop / "esb.yaml").open("a") as file:
        file.write("worker: {lease: 3s}\n")  # after so long the second role may poll where the dead one did
    bus = start("run", "-C", shop)
    bus.wait_for("bus 'my-bus' is running: 2 flows, 3 endpoints; Ctrl-C stops it")
    [role] = bus.children("bus")
    os.kill(role, signal.SIGKILL)
    bus.wait_for('"event": "role died"')
    [second] = until(lambda: [pid for pid in bus.children("bus") if pid != role])
    shutil.copy(shop / "samples" / "orders.csv", shop / "inbox" / "orders.csv")
    until(lambda: len(list(shop.glob("outbox/*.json"))) == 2, "the second role's work")
    assert bus.stop() == 0
    assert not alive(second)
    assert bus.said.splitlines()[-1].count("role died") == 1  # nothing about the stop


def test_several_bus_processes_are_looked_after(shop: Path, start: Start) -> None:
    """As many as the setting says, each by its name; one that is killed comes back, and nothing is done twice."""
    with (shop / "esb.yaml").open("a") as file:
        file.write("worker: {lease: 3s, processes: 3}\n")
    bus = start("run", "-C", shop)
    bus.wait_for("bus 'my-bus' is running: 2 flows, 3 endpoints, 3 bus processes; Ctrl-C stops it")
    [second] = bus.children("bus 2")
    assert len(bus.children("bus 1") + bus.children("bus 3")) == 2
    shutil.copy(shop / "samples" / "orders.csv", shop / "inbox" / "orders.csv")
    os.kill(second, signal.SIGKILL)
    until(lambda: [pid for pid in bus.children("bus 2") if pid != second], "the second one's return")
    until(lambda: len(list(shop.glob("outbox/*.json"))) == 2, "their work")
    assert bus.stop() == 0


def test_processes_on_the_command_line_go_before(shop: Path, start: Start, esb: Run) -> None:
    """For a day with more to do; one role by itself is one process."""
    bus = start("run", "-C", shop, "--processes", "2")
    bus.wait_for("2 bus processes")
    assert bus.stop() == 0
    refused = esb("run", "-C", shop, "--role", "bus", "--processes", "2")
    assert (refused.exit_code, "start more of them" in refused.output) == (2, True)


def test_roles_end_with_their_supervisor(shop: Path, start: Start) -> None:
    """kill -9 of the supervisor leaves nothing behind, and its lock is free."""
    bus = start("run", "-C", shop)
    bus.wait_for("is running")
    roles = bus.children()
    bus.kill()
    until(lambda: not any(map(alive, roles)), "the roles' end")
    again = start("run", "-C", shop)
    again.wait_for("is running")
    assert again.stop(signal.SIGTERM) == 0


def test_roles_share_what_their_supervisor_has_loaded(shop: Path) -> None:
    """Otherwise each would load it for itself, at each of its starts."""
    lines = (
        "import sys",
        "from esb.cli import run, supervisor",
        "supervisor.Supervisor.run = lambda *_: print('esb.bus' in sys.modules)",
        f"run.supervise({str(shop)!r}, None, False, 'info')",
    )
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_second_supervisor_is_refused(shop: Path, start: Start, esb: Run) -> None:
    """Two supervisors in one directory would double every role; the error names the first one."""
    bus = start("run", "-C", shop)
    bus.wait_for("is running")
    result = esb("run", "-C", shop)
    assert result.exit_code == 1
    assert f"runs already (process {bus.pid})" in result.stderr
    assert "esb run --role bus" in result.stderr


def test_stop_during_the_start(shop: Path, start: Start) -> None:
    """Ctrl-C before the bus is ready ends it as cleanly."""
    bus = start("run", "-C", shop)
    roles = until(bus.children)
    assert bus.stop() == 0
    assert not any(map(alive, roles))
    assert "Traceback" not in bus.said
    assert "is killed" not in bus.said


def test_data_that_cannot_be_written_is_seen_at_once(shop: Path, esb: Run) -> None:
    """Not by each role, again and again; the error names the directory and what to do."""
    (shop / "data").write_text("in the way")
    result = esb("run", "-C", shop)
    assert result.exit_code == 1
    assert f"{shop / 'data'} cannot be written to (File exists): run it as the user whose bus it is" in result.stderr


def test_taken_port_is_seen_at_once(shop: Path, esb: Run, taken: int) -> None:
    """The error names the port and the setting; no role is started in vain."""
    serving(shop, taken)
    result = esb("run", "-C", shop)
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1, port {taken}" in result.stderr
    assert "http.port" in result.stderr


def test_web_role_tells_its_address(shop: Path, start: Start) -> None:
    """Where an endpoint serves, readiness says where, and so it does of the admin interface."""
    serving(shop, 0)
    bus = start("run", "-C", shop)
    bus.wait_for("; http://127.0.0.1:")
    bus.wait_for("admin interface: http://127.0.0.1:")
    bus.wait_for("/link/")
    assert bus.stop() == 0


def test_web_role_alone(shop: Path, start: Start) -> None:
    """It says where it is by itself, answers, and ends in order: the ingress has answered what it took."""
    web = start("run", "--role", "web", "-C", shop)
    web.wait_for("admin interface: ")
    web.wait_for("/link/")
    url = re.search(r"admin interface: (\S+)", web.said)[1]
    with urllib.request.urlopen(f"{url}/readyz") as answer:
        assert json.load(answer) == {"status": "ready"}
    assert web.stop(signal.SIGTERM) == 0
    assert "error" not in web.said


def test_web_role_waits_for_the_broker(shop: Path, start: Start) -> None:
    """As the bus role does; told to stop meanwhile, it stops."""
    web = start("run", "--role", "web", "-C", shop, env={"ESB_BROKER": "amqp://127.0.0.1:1/"})
    web.wait_for("waiting for broker and store")
    assert web.stop(signal.SIGTERM) == 0
    assert "Traceback" not in web.said


def test_no_web_role_without_anything_to_serve(shop: Path, start: Start) -> None:
    """An admin interface that is switched off needs no process, where no endpoint is called from outside either."""
    with (shop / "esb.yaml").open("a") as file:
        file.write("admin: {enabled: false}\n")
    bus = start("run", "-C", shop)
    bus.wait_for("is running")
    assert (bus.children("web"), len(bus.children("bus"))) == ([], 1)
    assert bus.stop() == 0
    assert "admin" not in bus.said


def test_a_taken_admin_port_is_seen_at_once(shop: Path, esb: Run, taken: int, monkeypatch: Any) -> None:
    """Two buses on one machine: the second says which setting of which interface to change."""
    monkeypatch.setenv("ESB_ADMIN_PORT", str(taken))
    result = esb("run", "-C", shop)
    assert (result.exit_code, "set admin.port in esb.yaml" in result.stderr) == (1, True)


def test_findings_keep_it_from_starting(shop: Path, esb: Run) -> None:
    """The finding with its line, on stderr."""
    (shop / "flows" / "archive.yaml").write_text("flow: archive\nfrom: nowhere\nsteps: []\n")
    result = esb("run", shop)
    assert result.exit_code == 1
    assert "flows/archive.yaml:2:7: error [unknown-endpoint]" in result.stderr


def test_broker_is_down(shop: Path, start: Start) -> None:
    """The role waits for it and says so, without a stack trace; Ctrl-C works meanwhile."""
    bus = start("run", "-C", shop, env={"ESB_BROKER": "amqp://127.0.0.1:1/"})
    bus.wait_for("waiting for broker and store")
    assert "cannot connect to RabbitMQ at amqp://127.0.0.1:1/" in bus.said
    assert bus.stop() == 0
    assert "Traceback" not in bus.said


def test_a_log_that_cannot_be_written_stops_nothing(shop: Path, start: Start) -> None:
    """The disk under it is full: a role dies and is started again, which nobody can be told, and work goes on."""
    bus = start("run", "-C", shop, log="/dev/full")
    [role] = until(lambda: bus.children("bus"))
    os.kill(role, signal.SIGKILL)
    until((shop / "inbox").is_dir)
    shutil.copy(shop / "samples" / "orders.csv", shop / "inbox" / "orders.csv")
    until(lambda: bus.children("bus") not in ([], [role]) and len(list(shop.glob("outbox/*.json"))) == 2)
    assert bus.stop() == 0


@pytest.mark.parametrize(("ready", "pauses"), [(False, [0.4, 0.8, 1.6]), (True, [0.4, 0.8, 1.0])])
def test_role_that_keeps_dying(ready: bool, pauses: list[float], capfd: pytest.CaptureFixture[str]) -> None:
    """Each death is told with how it came, and is followed by a longer pause, but not for one that had worked."""

    def work() -> None:
        if ready:
            report_ready()
        sys.exit(3)

    logs.configure("supervisor")
    try:
        role = Role("broken", work)
        said = ""

        def dies(times: int) -> bool:
            nonlocal said
            role.revive()
            said += capfd.readouterr().err
            return said.count("role died") == times

        until(lambda: dies(3))
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    deaths = [json.loads(line) for line in said.splitlines()]
    assert [death["ended"] for death in deaths] == ["exit code 3"] * 3
    assert [death["restart_in"] for death in deaths] == pauses


def test_no_line_of_the_log_holds_a_secret(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever wrote it, and be it in a trace: libraries quote addresses and headers that they were given."""
    logs.configure("bus", secrets=[SecretStr("s3cret-canary")])
    try:
        raise ValueError("no way to http://user:s3cret-canary@host")
    except ValueError as error:
        structlog.get_logger("test").error("a library failed", at="s3cret-canary", count=3, exc_info=error)
    finally:
        structlog.reset_defaults()
        structlog.contextvars.clear_contextvars()
    (line,) = capfd.readouterr().err.splitlines()
    assert "ValueError: no way to http://user:***@host" in json.loads(line)["exception"]
    assert (json.loads(line)["at"], json.loads(line)["count"]) == ("***", 3)


def test_pauses_grow_and_end() -> None:
    """None after a first long life, then doubling, never longer than ten seconds."""
    assert [pause_after(n) for n in (0, 1, 2, 3)] == [0.0, 0.4, 0.8, 1.6]
    assert pause_after(1000) == LONGEST_PAUSE == 10.0


def test_role_that_does_not_stop_is_killed() -> None:
    """A role deaf to SIGTERM is killed when its time is over."""

    def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        report_ready()
        signal.pause()
        signal.pause()

    role = Role("deaf", deaf)
    supervisor = Supervisor([role], drain=-5.0, memory=1024**3)
    pids: list[int] = []

    def stop() -> None:
        pids.append(role.pid)
        supervisor.stop()

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        supervisor.run(stop)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert not alive(pids[0])


def test_good_change_is_taken_up(shop: Path, start: Start) -> None:
    """Under --dev a changed file restarts the roles, also with one that was not there before."""
    bus = start("run", "--dev", "-C", shop)
    bus.wait_for("is running")
    before = bus.children()
    serving(shop, 0)
    bus.wait_for("changed: reloading")
    bus.wait_for("3 flows, 4 endpoints; http://127.0.0.1:")
    assert not set(before) & set(bus.children())


def test_bad_change_is_shown_and_left_out(shop: Path, start: Start) -> None:
    """The finding with its line; the bus goes on as it was, and takes the next good change."""
    bus = start("run", "--dev", "-C", shop)
    bus.wait_for("is running")
    role = bus.children()
    file = shop / "flows" / "archive.yaml"
    good = file.read_text()
    file.write_text(good.replace("steps:", "stepps:"))
    bus.wait_for("flows/archive.yaml changed, but has findings: the bus goes on as it was")
    assert "Did you mean 'steps'?" in bus.said
    assert "      | ^" in bus.said
    assert bus.children() == role
    file.write_text(good + "# better\n")
    bus.wait_for("flows/archive.yaml changed: reloading")


def test_logs_are_readable_on_a_terminal(shop: Path) -> None:
    """On a terminal a line for people, no JSON."""
    master, slave = pty.openpty()
    pid = os.fork()
    if pid == 0:
        os.dup2(slave, 2)
        os.environ["ESB_BROKER"] = "amqp://127.0.0.1:1/"
        os.execvp(sys.executable, [sys.executable, "-m", "esb.cli", "run", "-C", str(shop)])
    os.close(slave)
    text = b""
    while b"waiting for broker" not in text:
        text += os.read(master, 4096)
    os.kill(pid, signal.SIGINT)
    os.waitpid(pid, 0)
    assert b'"event"' not in text
    assert b"again_in" in text


def test_log_level(shop: Path, start: Start) -> None:
    """With --log-level error a death that mends itself is not worth a line."""
    bus = start("run", "-C", shop, "--log-level", "error")
    bus.wait_for("is running")
    [role] = bus.children("bus")
    os.kill(role, signal.SIGKILL)
    until(lambda: bus.children("bus") not in ([], [role]))
    assert bus.stop() == 0
    assert '"event"' not in bus.said


ROW = "number,customer,sku,quantity,price,note\n7,Ada,MUG-1,1,7.95,\n"


def test_send(shop: Path, start: Start, esb: Run) -> None:
    """To an endpoint from standard input and from a file, to an event; --wait shows the journey."""
    bus = start("run", "-C", shop)
    bus.wait_for("is running")
    result = esb("send", "-C", shop, "orders-in", "--wait", input=ROW)
    assert (result.exit_code, "out:orders-out.order" in result.stdout) == (0, True)
    sent = esb("send", "-C", shop, "orders-in", shop / "samples" / "orders.csv")
    assert (sent.exit_code, f"`esb trace {sent.stdout.strip()}`" in sent.stderr) == (0, True)
    order = next(shop.glob("outbox/*.json")).read_bytes()
    assert set(json.loads(esb("send", "-C", shop, "order.received/v1", "--json", input=order).stdout)) == {"id"}


def test_send_judges_the_journey(shop: Path, start: Start, esb: Run) -> None:
    """With --wait a message that was parked is a failure, for programs too."""
    bus = start("run", "-C", shop)
    bus.wait_for("is running")
    bad = esb("send", "-C", shop, "orders-in", "--wait", "--json", input=ROW.replace("MUG-1", ""))
    assert (bad.exit_code, json.loads(bad.stdout)[0]["status"]) == (1, "parked")


def test_send_leaves_the_running_bus_its_log(shop: Path, start: Start, esb: Run) -> None:
    """What is sent from another process reaches the bus the second time, too: both read one write-ahead log."""
    bus = start("run", "-C", shop)
    bus.wait_for("is running")
    [role] = bus.children("bus")
    assert esb("send", "-C", shop, "orders-in", input=ROW).exit_code == 0
    files = [os.readlink(file) for file in Path(f"/proc/{role}/fd").iterdir() if file.is_symlink()]
    assert [file for file in files if file.endswith("(deleted)") and ".db" in file] == []


def test_send_to_nobody(ran: Path, esb: Run) -> None:
    """A typo is not found and names the nearest; what breaks the contract does not leave; no subscriber, no sending."""
    assert "did you mean 'orders-in'?" in (typo := esb("send", "-C", ran, "orders-inn", input="x")).stderr
    assert "did you mean" in (version := esb("send", "-C", ran, "order/v2", input="{}")).stderr
    assert (typo.exit_code, version.exit_code) == (3, 3)
    assert "breaks contract order.received/v1" in esb("send", "-C", ran, "order.received/v1", input="[]").stderr
    row = '{"number": "1", "customer": "A", "sku": "B", "quantity": 1, "price": 1, "note": ""}'
    result = esb("send", "-C", ran, "order.row/v1", input=row)
    assert (result.exit_code, "no flow and no saga subscribes to it" in result.stderr) == (1, True)


def test_send_makes_no_second_bus(ran: Path, esb: Run, tmp_path: Path) -> None:
    """Where no bus ever ran nothing is sent, and nothing made: perhaps it runs with an environment of its own."""
    (ran / "esb.prod.yaml").write_text("data: data-of-prod\n")
    (ran / "data").rename(ran / "data-of-prod")
    for arguments in (["orders-in"], ["orders-inn"], ["--test", "orders"]):
        result = esb("send", "-C", ran, *arguments, input=ROW)
        assert (result.exit_code, result.stdout) == (1, "")
        assert (
            f"{ran / 'data'} yet: start the bus with `esb run`; if it runs with an environment (prod)" in result.stderr
        )
        assert "give --env or ESB_ENV" in result.stderr
    assert not (ran / "data").exists()
    assert esb("send", "-C", ran, "--env", "prod", "orders-in", input=ROW).exit_code == 0
    (ran / "data-of-prod/broker.db").unlink()
    result = esb("send", "-C", ran, "--env", "prod", "orders-in", input=ROW)
    assert (result.exit_code, "nothing was sent: no bus has run in" in result.stderr) == (1, True)
    assert "--env" not in result.stderr


@pytest.mark.postgresql
def test_database_without_tables_is_refused(shop: Path, esb: Run, postgresql: Any, monkeypatch: Any) -> None:
    """On PostgreSQL nothing is migrated by itself: the error names the command, and the command helps."""
    monkeypatch.setenv("ESB_DATABASE", postgresql.database())
    result = esb("run", "-C", shop)
    assert (result.exit_code, "run `esb db upgrade`" in result.stderr) == (1, True)
    assert esb("db", "upgrade", "-C", shop).exit_code == 0
    assert esb("db", "status", "-C", shop).exit_code == 0


def test_what_a_command_logs_is_no_data(shop: Path) -> None:
    """Whoever reads `--json` gets nothing else, whatever goes wrong on the way."""
    lines = (
        "from esb.cli.common import load",
        "from esb.worker.thread import log",
        f"load({str(shop)!r})",
        "log.warning('oh')",
    )
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert (said.stdout, json.loads(said.stderr)["event"]) == ("", "oh")
