"""The jobs role as processes: what is due is done, whoever is killed and wherever."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jobs_place import Place

from esb.broker.port import JOBS_QUEUE, Outgoing, endpoint_queue, flow_queue
from esb.bus import make_upkeep
from esb.discovery import discover
from esb.message import create
from esb.store import Parked, Timer, Transaction
from esb.worker.schedules import fire

EMBEDDED = pytest.mark.parametrize("place", ["embedded"], indirect=True)  # the store's suite holds for both


def message(id: str) -> object:
    return create(b"{}", type="x", source="test", id=id)


def test_what_is_due_is_done(place: Place) -> None:
    """Schedules, probes and timers, each of its kind; and SIGTERM ends the process with its lease given back."""
    place.start()
    place.until(lambda: place.done("flow:tick") and place.done("probes"), "schedule and probe run")
    before = time.time()
    with place.store.transaction() as t:
        t.timers.add([Timer(id="t", due_at=before + 0.5, to=endpoint_queue("out"), message=message("timed"))])
        t.schedules.want("retention", before)
        t.schedules.want("flow:report", before)
    place.until(lambda: place.broker.depths([endpoint_queue("out")])[endpoint_queue("out")].ready == 1, "it fires")
    place.until(lambda: place.done("retention") >= before and place.done("flow:report") >= before, "wishes are met")
    with place.store.reading() as t:
        assert t.probes.all()["out"].ok
        assert not t.timers.next_due()
    assert place.row("retention").note == "0 rows deleted"
    assert len(place.sent(flow_queue("report"))) == 1
    assert place.stop() == 0
    assert place.leader() is None


def test_of_two_processes_one_leads_and_the_other_takes_over(place: Place) -> None:
    """After the lease of a killed one; each moment has one message all the while."""
    first = place.start()
    place.until(place.leader, "the first leads")
    leader = place.leader()
    place.start()
    place.until(lambda: place.done("flow:tick"), "it ticks")
    assert place.leader() == leader
    first.kill()
    first.wait()
    place.until(lambda: place.leader() not in (None, leader), "the second takes over")
    last = place.done("flow:tick")
    place.until(lambda: place.done("flow:tick") > last + 1, "it ticks on")
    ids = place.sent(flow_queue("tick"))
    assert len(ids) - len(set(ids)) <= 1
    assert len(set(ids)) <= place.accepted()


def test_a_kill_at_any_point_loses_and_doubles_nothing(place: Place) -> None:
    """The next process goes on: each moment has one message, each timer fires once."""
    with place.store.transaction() as t:
        t.timers.add([Timer(id="t", due_at=1.0, to=endpoint_queue("out"), message=message("timed"))])
    for point in ("jobs: timers moved", "jobs: handed out#2", "jobs: fired#2", "jobs: done#2"):
        assert place.start(point).wait(30) == -signal.SIGKILL, point
    place.start()
    count = place.accepted()
    place.until(lambda: place.accepted() >= count + 2, "it ticks on")
    # One that died may have had it in hand, and the last one has to see first that it is gone.
    place.until(lambda: place.broker.depths([endpoint_queue("out")])[endpoint_queue("out")].ready, "the timer fires")
    assert place.stop() == 0
    ids = set(place.sent(flow_queue("tick")))
    assert 2 <= place.accepted() - place.unsent() <= len(ids) <= place.accepted()
    assert set(place.sent(endpoint_queue("out"))) == {"timed"}


@EMBEDDED
def test_what_was_missed_is_made_up_for_once(place: Place) -> None:
    """A schedule of whose last moments nobody took care has one message for all of them."""
    with place.store.transaction() as t:
        t.schedules.begin("flow:report", "0 3 29 2 * UTC", 1.0)
    place.start()
    place.until(lambda: place.done("flow:report"), "it is caught up")
    place.until(lambda: place.done("flow:tick"), "time goes on")
    assert len(place.sent(flow_queue("report"))) == 1


@EMBEDDED
def test_a_replay_goes_on_after_a_kill(place: Place) -> None:
    """Killed between two pieces; every message is sent on, and none with two ids."""
    rows = [
        Parked(place="flow:report", queue=endpoint_queue("out"), kind="x", error="x", message=message(f"m{n:04}"))
        for n in range(700)
    ]
    with place.store.transaction() as t:
        t.parked.add(rows)
        id = t.replays.start([row.key for row in rows], "eve")
    assert place.start("jobs: piece sent on#2").wait(30) == -signal.SIGKILL
    place.start()

    def ended() -> bool:
        with place.store.reading() as t:
            return t.replays.get(id).ended_at > 0

    place.until(ended, "the replay ends")
    place.until(lambda: not place.unsent(), "all are sent")
    assert sorted(set(place.sent(endpoint_queue("out")))) == [row.key[0] for row in rows]


@EMBEDDED
def test_rubbish_in_the_queue_stops_nothing(place: Place) -> None:
    """A message that is no task, or one of a task that there is not, is told and dropped."""
    publisher = place.broker.publisher()
    publisher.publish([Outgoing(message(f"rubbish-{n}"), JOBS_QUEUE) for n in range(3)])
    publisher.close()
    place.start()
    place.until(lambda: place.done("flow:tick"), "it ticks all the same")


def test_the_role_outlives_its_broker(private_rabbitmq, postgresql, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """RabbitMQ is killed and comes back: what is due is done again, without a restart of ours."""
    place = Place(tmp_path, private_rabbitmq.vhost(), postgresql.database())
    try:
        process = place.start()
        place.until(lambda: place.done("flow:tick"), "it ticks")
        private_rabbitmq.kill()
        private_rabbitmq.start()
        last = time.time()
        place.until(lambda: place.done("flow:tick") > last, "it ticks again")
        assert process.poll() is None
    finally:
        place.close()


@pytest.fixture
def ticking(postgresql: Any, tmp_path: Path) -> Iterator[Place]:
    """A schedule in PostgreSQL that nobody works off."""
    place = Place(tmp_path, "embedded", postgresql.database())
    with place.store.transaction() as t:
        t.schedules.begin("flow:tick", "every 1s", 1.0)
    yield place
    place.close()


def fired_behind_a_lock(place: Place, moment: float, meanwhile: Callable[[Transaction], object]) -> bool:
    """Whether the job sends a message, where somebody locks the journeys and this happens before it can go on."""
    work = make_upkeep(place.definition, discover(), place.broker, place.store)[0]
    database = place.definition.config.database
    with closing(psycopg.connect(database)) as person, closing(psycopg.connect(database, autocommit=True)) as other:
        person.execute("LOCK TABLE hops IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor(1) as pool:
            fired = pool.submit(fire, work, "tick", moment)
            locked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'hops'::regclass"
            place.until(lambda: other.execute(locked).fetchone() == (1,), "the job waits")
            with place.store.transaction() as t:
                assert meanwhile(t)
            person.rollback()
            return fired.result()


@pytest.mark.postgresql
def test_a_job_that_waits_for_a_table_holds_up_no_beat(ticking: Place) -> None:
    """What is handed out can be noted at its job all the while, and the job goes on."""
    assert fired_behind_a_lock(ticking, 5.0, lambda t: t.schedules.hand_out("flow:tick", 0.0, 5.0, 6.0))
    assert (ticking.done("flow:tick"), ticking.accepted(), ticking.unsent()) == (5.0, 1, 1)


@pytest.mark.postgresql
def test_a_job_that_another_was_faster_with_sends_nothing(ticking: Place) -> None:
    """What it had written by then goes back; and of an earlier moment it learns that it was the one before."""
    assert not fired_behind_a_lock(ticking, 5.0, lambda t: t.schedules.done("flow:tick", 5.0, 6.0))
    assert (ticking.accepted(), ticking.unsent()) == (0, 0)
    assert fired_behind_a_lock(ticking, 9.0, lambda t: t.schedules.done("flow:tick", 7.0, 8.0))
    with ticking.store.transaction() as t:
        [sent] = t.outbox.take(10, "me")
    assert json.loads(sent.message.body) == {
        "scheduled": "1970-01-01T00:00:09+00:00", "previous": "1970-01-01T00:00:07+00:00"
    }  # fmt: skip


@pytest.fixture
def stalled(rabbitmq: Any, private_postgresql: Any, tmp_path: Path) -> Iterator[Place]:
    """Retention is under way, for the first time, and waits for a table that somebody locked."""
    database = private_postgresql.database()
    place = Place(tmp_path, rabbitmq.vhost(), database)
    try:
        place.start()
        place.until(lambda: place.row("retention"), "the job is known")
        with closing(psycopg.connect(database)) as person, closing(psycopg.connect(database, autocommit=True)) as other:
            person.execute("LOCK TABLE hops IN ACCESS EXCLUSIVE MODE")
            with place.store.transaction() as t:
                t.schedules.want("retention", time.time())
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DELETE FROM hops%'"
            place.until(lambda: other.execute(waiting).fetchone() == (1,), "retention begins")
            yield place
    finally:
        place.close()


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_a_job_whose_database_dies_goes_on_when_it_is_back(stalled: Place, private_postgresql: Any) -> None:
    """It does not wait until its patience, of ten minutes, is over."""
    private_postgresql.kill()
    private_postgresql.start()
    stalled.until(lambda: stalled.done("retention"), "it runs")


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_a_job_that_waits_for_its_database_is_left_to_others(stalled: Place, private_postgresql: Any) -> None:
    """Its process is told to stop while the database is down: the next one does what that had begun."""
    private_postgresql.kill()
    assert stalled.stop() == 0
    private_postgresql.start()
    stalled.start()
    stalled.until(lambda: stalled.done("retention"), "it runs")
