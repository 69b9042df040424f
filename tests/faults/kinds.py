"""Every kind of fault there is: what happens to a bus under fire while it lasts.

Each is a context: it strikes when it is entered and ends when it is left. In between time passes, unless it is over at
once, as a kill is. What a fault may leave in doubt, at endpoints that know no keys, it tells the fire.
"""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import msgspec

from esb.testing.faults import POINTS, SAGA_POINTS
from tests.faults.harness import UNKEYED
from tests.faults.processes import send
from tests.faults.recorder import well
from tests.faults.trial import PATIENCE, Trial

Act = Callable[[Trial], AbstractContextManager[None]]
ROLES = ("bus", "web", "jobs")  # what a supervisor looks after
SMALL = 64 * 1024  # bytes behind which no file can be written while the disk is full
LIES = 0.1  # share of requests that a lying system does not answer
BREAKER = 5  # failures that open it: as many messages may still set out when a system has fallen silent


class Kind(msgspec.Struct, frozen=True):
    """One kind. ``lasts``: whether time passes before it ends. ``place``: where it can strike ("": anywhere)."""

    act: Act
    lasts: bool = True
    place: str = ""


# --- processes ----------------------------------------------------------------------------------------------------


@contextmanager
def kill_everything(trial: Trial) -> Iterator[None]:
    """SIGKILL for the supervisor, all roles and the process beside them."""
    trial.restart()
    yield


@contextmanager
def kill_workers(trial: Trial) -> Iterator[None]:
    """SIGKILL for all roles, which their supervisor starts again, and for the process beside them."""
    for role in (*ROLES, "helper"):
        trial.kill(role)
    yield


@contextmanager
def kill(trial: Trial, role: str) -> Iterator[None]:
    """SIGKILL for one of them."""
    trial.kill(role)
    yield


@contextmanager
def crash(trial: Trial, points: tuple[str, ...]) -> Iterator[None]:
    """A role dies at a named point, one of all there are."""
    point = trial.random.choice(points)
    trial.restart(crash_at=f"{point}#{trial.random.randint(1, 8)}")
    with suppress(AssertionError):  # not every point is come by that often
        trial.fire.wait_until(lambda: list(trial.fire.root.glob(f"crashed at {point}*")), "", trial.hold)
    trial.fire.may_doubt(*UNKEYED, times=2)
    yield


@contextmanager
def stop(trial: Trial, role: str) -> Iterator[None]:
    """SIGSTOP: it is there, and does nothing."""
    pid = trial.pid(role)
    send(pid, signal.SIGSTOP)
    trial.fire.may_doubt(*UNKEYED, times=2)  # what it had under way; and what others take it for
    yield
    send(pid, signal.SIGCONT)


# --- servers ------------------------------------------------------------------------------------------------------


@contextmanager
def broker_killed(trial: Trial) -> Iterator[None]:
    """RabbitMQ dies, and is started again."""
    trial.fire.place.rabbitmq.kill()
    trial.fire.place.rabbitmq.start()
    yield


@contextmanager
def database_killed(trial: Trial) -> Iterator[None]:
    """PostgreSQL dies, and is started again; other systems' tables are in it, too."""
    trial.fire.may_doubt("notes")
    trial.fire.place.postgresql.kill()
    trial.fire.place.postgresql.start()
    yield


@contextmanager
def suspended(trial: Trial, server: str) -> Iterator[None]:
    """SIGSTOP for a server: connections stay open, and nobody answers."""
    trial.fire.may_doubt(*UNKEYED)  # leases cannot be renewed meanwhile
    getattr(trial.fire.place, server).suspend()
    yield
    getattr(trial.fire.place, server).resume()


@contextmanager
def memory_alarm(trial: Trial) -> Iterator[None]:
    """RabbitMQ takes no messages, for want of memory."""
    trial.fire.place.rabbitmq.memory_alarm(True)
    yield
    trial.fire.place.rabbitmq.memory_alarm(False)


@contextmanager
def full_queues(trial: Trial) -> Iterator[None]:
    """Queues of endpoints and flows take next to nothing, and say so; then an operator makes room.

    The limit is raised and not taken away: RabbitMQ 3.10 would go on refusing what returns from its delay queues.
    """
    rabbitmq, vhost = trial.fire.place.rabbitmq, trial.fire.place.broker.rpartition("/")[2].partition("?")[0]
    queues = r"^esb\.(endpoint|flow|saga)\."
    rabbitmq.set_policy(vhost, queues, **{"max-length": 5, "overflow": "reject-publish"})
    yield
    rabbitmq.set_policy(vhost, queues, **{"max-length": 1_000_000, "overflow": "reject-publish"})


@contextmanager
def bad_answers(trial: Trial, what: str, share: float) -> Iterator[None]:
    """Some confirms come late, say no, or follow a message that found no queue."""
    setattr(trial.fire.place.whim, what, share)
    yield
    trial.fire.place.whim.calm()


@contextmanager
def full_disk(trial: Trial) -> Iterator[None]:
    """No file of the bus's can grow: the limit of a process stands in for that of a disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    _limit(trial, (SMALL, before[1]))
    yield
    _limit(trial, before)  # also of roles that were started meanwhile, and inherited it


def _limit(trial: Trial, size: tuple[int, int]) -> None:
    for pid in trial.all_pids():
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, size)


# --- networks -----------------------------------------------------------------------------------------------------


@contextmanager
def silence(trial: Trial, link: str) -> Iterator[None]:
    """Nothing passes any more, and no connection ends."""
    if link == "endpoints":
        trial.fire.may_doubt("blunt", "oracle", times=2)
        trial.fire.doubt.update({"blunt": BREAKER, "oracle": BREAKER})
    else:
        trial.fire.may_doubt(*UNKEYED)  # leases cannot be renewed meanwhile
    trial.fire.place.links[link].proxy.silence()
    yield
    trial.fire.place.links[link].proxy.resume()


@contextmanager
def lag(trial: Trial, link: str) -> Iterator[None]:
    """Everything takes 200 ms longer, each way."""
    trial.fire.place.links[link].proxy.lag = 0.2
    yield
    trial.fire.place.links[link].proxy.lag = 0.0


@contextmanager
def cut(trial: Trial, link: str) -> Iterator[None]:
    """Connections end, and new ones are refused."""
    trial.fire.may_doubt(*(["notes"] if link == "tables" else ["blunt", "oracle"] if link == "endpoints" else []))
    trial.fire.place.links[link].refuse()
    yield
    trial.fire.place.links[link].accept()


# --- systems ------------------------------------------------------------------------------------------------------


@contextmanager
def mood(trial: Trial, of: Callable[[str], str]) -> Iterator[None]:
    """The system behind the endpoints is busy, slow, or lies."""
    trial.fire.recorder.mood = of
    yield
    trial.fire.recorder.mood = well


@contextmanager
def lying(trial: Trial) -> Iterator[None]:
    """Now and then it does what it is told, and no answer comes."""
    trial.fire.recorder.mood = lambda path: "lie" if trial.random.random() < LIES else "well"
    yield
    trial.fire.recorder.mood = well


@contextmanager
def flapping(trial: Trial) -> Iterator[None]:
    """It comes and goes, twice a second."""
    over = threading.Event()
    thread = threading.Thread(target=_flap, args=(trial, over))
    thread.start()
    yield
    over.set()
    thread.join()
    trial.fire.recorder.mood = well


def _flap(trial: Trial, over: threading.Event) -> None:
    busy = False
    while not over.wait(0.5):
        busy = not busy
        trial.fire.recorder.mood = _busy if busy else well


@contextmanager
def refusing(trial: Trial) -> Iterator[None]:
    """One refuses what it is sent, until a person has mended it and sends all of that on; a job dies with it."""
    trial.fire.recorder.picky = True
    trial.fire.wait_until(lambda: trial.parked_at("picky"), "something is parked", PATIENCE)
    yield
    trial.fire.recorder.picky = False
    trial.restart(crash_at="jobs: piece sent on")
    trial.send_on(trial.parked_at("picky"))
    died = trial.fire.root / "crashed at jobs: piece sent on"
    trial.fire.wait_until(died.exists, "the role that sends parked messages on has died", PATIENCE)


def _busy(path: str) -> str:
    return "busy"


def _slow(path: str) -> str:
    return "slow"


LINKS = ("broker", "database", "tables")  # between the bus and servers
PROCESSES: dict[str, Kind] = {
    "kill everything": Kind(kill_everything, lasts=False),
    "kill workers": Kind(kill_workers, lasts=False),
    **{f"kill {one}": Kind(partial(kill, role=one), lasts=False) for one in (*ROLES, "supervisor", "helper")},
    "crash": Kind(partial(crash, points=(*POINTS, *SAGA_POINTS)), lasts=False),
    "crash timers": Kind(partial(crash, points=("jobs: timers moved",)), lasts=False),
    **{f"stop {role}": Kind(partial(stop, role=role)) for role in ROLES},
}
SYSTEMS: dict[str, Kind] = {
    "system down": Kind(partial(cut, link="endpoints")),
    "system silent": Kind(partial(silence, link="endpoints")),
    "system busy": Kind(partial(mood, of=_busy)),
    "system slow": Kind(partial(mood, of=_slow)),
    "system flapping": Kind(flapping),
    "system lying": Kind(lying),
    "system refusing": Kind(refusing),
}
SERVERS: dict[str, Kind] = {
    "kill broker": Kind(broker_killed, lasts=False, place="servers"),
    "kill database": Kind(database_killed, lasts=False, place="servers"),
    "stop broker": Kind(partial(suspended, server="rabbitmq"), place="servers"),
    "stop database": Kind(partial(suspended, server="postgresql"), place="servers"),
    **{f"silence {link}": Kind(partial(silence, link=link), place="servers") for link in LINKS},
    **{f"lag {link}": Kind(partial(lag, link=link), place="servers") for link in LINKS},
    **{f"cut {link}": Kind(partial(cut, link=link), place="servers") for link in LINKS},
    "confirms late": Kind(partial(bad_answers, what="late", share=0.02), place="servers"),
    "confirms refused": Kind(partial(bad_answers, what="refused", share=0.05), place="servers"),
    "commands returned": Kind(partial(bad_answers, what="returned", share=0.02), place="servers"),
    "memory alarm": Kind(memory_alarm, place="servers"),
    "full queues": Kind(full_queues, place="servers"),
}
KINDS: dict[str, Kind] = {**PROCESSES, **SYSTEMS, **SERVERS, "full disk": Kind(full_disk, place="embedded")}
