"""The real servers that tests share. Each is private to the run, or the one that the environment names."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Tests run more than one bus at a time; each admin interface takes a port that is free.
os.environ["ESB_ADMIN_PORT"] = "0"

NODE = pytest.StashKey[Any]()  # the RabbitMQ node of this process, once there is one

# Folders whose tests share something dear: a browser before a running bus, the wheel as installed.
WHOLE = ("architecture", "examples", "ui")

# What takes longest comes first, so that no process is left with one of them at the end; between what works hard stands
# what mostly waits. The rest follows.
LONGEST = (
    "faults/test_ledger.py", "jobs/test_role.py", "faults/test_faults.py", "worker/test_groups.py",
    "faults/test_groups.py", "cli/test_running.py", "faults", "ui", "cli/test_demo.py", "broker/test_rabbitmq.py",
    "bench/test_bench.py", "architecture", "worker/test_hidden_everywhere.py", "store/test_store.py",
    "worker/test_saga_worker.py", "broker", "worker", "jobs", "examples", "adapters", "admin", "cases", "bench",
)  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes share the tests (`make test`), each takes a file at a time, and has its own servers."""
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(nodeid)

    return Units(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Processes that share the tests take the units in this order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(_unit(item.nodeid)))


def _unit(nodeid: str) -> str:
    """What one process runs at a stretch: a file; of some folders everything, of the fault tests each by itself."""
    path = nodeid.removeprefix("tests/")
    folder = path.partition("/")[0]
    if folder in WHOLE:
        return folder
    return path if folder == "faults" else path.partition("::")[0]


def _place(unit: str) -> int:
    return next((place for place, name in enumerate(LONGEST) if unit.startswith(name)), len(LONGEST))


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> None:
    """The garbage collector does not look at what importing and earlier files left: it would take half the time."""
    gc.collect()
    gc.freeze()


def missing(what: str) -> None:
    """Skip with a reason where a person runs the tests, fail where nobody would notice the skip."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; continuous integration must have it", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def rabbitmq(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A private RabbitMQ node that tests may kill and restart; ``.vhost()`` gives a test a place of its own."""
    from esb.testing.servers.rabbitmq import ExternalRabbitMq, RabbitMqServer, programs

    external = os.environ.get("ESB_TEST_BROKER")
    if external:
        yield ExternalRabbitMq(external)
        return
    if programs() is None:
        missing("RabbitMQ is not installed (apt-get install rabbitmq-server, or set ESB_TEST_BROKER)")
    with RabbitMqServer() as server:
        request.config.stash[NODE] = server
        yield server


@pytest.fixture(autouse=True)
def tidied(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test made of virtual hosts goes with it."""
    before = request.config.stash.get(NODE, None)
    kept = before.vhosts if before else 0
    yield
    if node := request.config.stash.get(NODE, None):
        node.drop_vhosts(kept)


@pytest.fixture
def private_rabbitmq(rabbitmq: Any) -> Any:
    """The node, for tests that kill or stop it; it runs when the test begins."""
    if not rabbitmq.private:
        pytest.skip("an external broker is not killed")
    rabbitmq.start()
    return rabbitmq


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Any]:
    """A private MariaDB server."""
    from esb.testing.servers.mariadb import MariaDbServer, programs

    if programs() is None:
        missing("MariaDB is not installed (apt-get install mariadb-server)")
    with MariaDbServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """A private PostgreSQL cluster that tests may kill and restart."""
    from esb.testing.servers.postgresql import ExternalPostgres, PostgresServer, programs

    external = os.environ.get("ESB_TEST_DATABASE")
    if external:
        with ExternalPostgres(external) as server:
            yield server
        return
    if programs() is None:
        missing("PostgreSQL is not installed (apt-get install postgresql, or set ESB_TEST_DATABASE)")
    with PostgresServer() as server:
        yield server


@pytest.fixture
def private_postgresql(postgresql: Any) -> Iterator[Any]:
    """The cluster, for tests that kill it; it runs again behind them."""
    if not postgresql.private:
        pytest.skip("an external database is not killed")
    yield postgresql
    postgresql.start()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded store with its tables, to copy: making them takes longer than most tests."""
    from esb.store import open_store

    directory = tmp_path_factory.mktemp("store")
    with closing(open_store("embedded", directory)) as store:
        store.migrate()
    return directory / "store.db"


@pytest.fixture(scope="session")
def migrated_database(postgresql: Any) -> str:
    """The name of a PostgreSQL database with the store's tables, to copy."""
    from esb.store import open_store

    url = postgresql.database()
    with closing(open_store(url, ".")) as store:
        store.migrate()
    return urlsplit(url).path[1:]
