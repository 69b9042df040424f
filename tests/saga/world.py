"""A world around one saga: endpoints that fail in every way, timers, duplicates, crashes, and a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from esb.expression import Expression
from esb.message import create
from esb.saga import Act, Answer, Command, Due, Event, Input, Late, Saga, SagaDefinition, SetTimer, advance, start
from esb.saga.definition import Call, Step

TRIGGER = create(b'{"orderId": "4711"}', id="order-1", type="order.placed", version=1, source="shop", time=1e9)
ANSWERS = ("done", "refused", "lost", "vanished")  # the last two: failed, nobody knows; with effect, and without


def step(name: str, undo: bool = True, pivot: bool = False, timeout: float | None = 10.0, tries: int = 0) -> Step:
    """A step at endpoint ``name``."""
    delays = (1.0,) * tries
    action = Call(name, "do", None, None, 5.0, delays)
    return Step(name, action, Call(name, "undo", None, None, 5.0, delays) if undo else None, pivot, timeout)


def definition(*steps: Step, timeout: float | None = None) -> SagaDefinition:
    """A saga of these steps."""
    return SagaDefinition(
        name="checkout",
        hash="v1",
        contract=None,
        key_of=Expression("orderId"),
        steps=steps,
        answers={each.name: each.name for each in steps},
        timeout=timeout,
        completed=None,
        compensated=None,
    )


class Pending(msgspec.Struct, frozen=True):
    """Something that may happen next: an endpoint handles a command, an input arrives, a person acts."""

    sort: str  # "handle" | "input" | "act"
    what: Any
    copies: int = 1  # how often it may still arrive


class World(msgspec.Struct, frozen=True):
    """Everything at one moment. Immutable, so that every way on from here can be tried."""

    definition: SagaDefinition
    saga: Saga
    pending: tuple[Pending, ...] = ()
    done: frozenset[tuple[str, str]] = frozenset()  # effects that stand at the endpoints: (step, direction)
    effects: tuple[tuple[str, str], ...] = ()  # every effect that took place, in order
    first_sent: tuple[tuple[str, str], ...] = ()  # commands that are no repeats, in order

    def next(self, copies: int = 2, acts: bool = False) -> Iterator[tuple[str, World]]:
        """Every way on. ``copies``: how often one input may arrive (a duplicate, a crash before the ack)."""
        for number, pending in enumerate(self.pending):
            rest = self.pending[:number] + self.pending[number + 1 :]
            if pending.sort == "handle":
                yield from self._handled(pending.what, rest, copies)
            elif self._may_arrive(pending.what):
                left = (msgspec.structs.replace(pending, copies=pending.copies - 1),) if pending.copies > 1 else ()
                yield f"{pending.what}", self._moved(pending.what, rest + left, copies)
                if pending.copies > 1:
                    yield f"last {pending.what}", self._moved(pending.what, rest, copies)
        for act in self.saga.acts() if acts else ():
            if self.saga.status == "stuck" or act in ("compensate", "end"):
                yield f"act {act}", self._moved(Act(act, "eve", "because"), self.pending, copies)

    def _may_arrive(self, input: Input) -> bool:
        """No attempt outlives the wait for its late answer: an endpoint sends nothing behind the deadline."""
        if not isinstance(input, Due):
            return True
        state = next(s for s in self.saga.steps if s.name == input.step)
        graced = state.undo.state == "waiting" or state.action.state == "unknown"
        under_way = any(p.sort == "handle" and p.what.step == input.step for p in self.pending)
        return not (graced and under_way)

    def _handled(self, command: Command, rest: tuple[Pending, ...], copies: int) -> Iterator[tuple[str, World]]:
        """An endpoint deals with a command; it knows the ones it carried out, by their id."""
        key = (command.step, command.direction)
        repeated = key in self.done
        for answer in ("done",) if repeated else ANSWERS:
            takes_place = answer in ("done", "lost") and not repeated
            said = Answer(
                step=command.step, direction=command.direction, attempt=command.attempt, done=answer == "done",
                body=b'{"ok": true}', error_kind=answer, error=answer, certain=answer == "refused",
            )  # fmt: skip
            world = msgspec.structs.replace(
                self,
                pending=(*rest, Pending("input", said, copies)),
                done=self.done | {key} if takes_place else self.done,
                effects=(*self.effects, key) if takes_place else self.effects,
            )
            yield f"{key} {answer}", world

    def _moved(self, input: Input, pending: tuple[Pending, ...], copies: int) -> World:
        move = advance(self.definition, self.saga, input, float(self.saga.version + 1))
        was_over = self.saga.is_over
        assert not (was_over and (move.changed or move.effects)), "nothing happens behind the end"
        return self._with(move, pending, copies)

    def _with(self, move: Any, pending: tuple[Pending, ...], copies: int) -> World:
        first = self.first_sent
        for effect in move.effects:
            if isinstance(effect, Command):
                pending = (*pending, Pending("handle", effect))
                first = first if effect.again else (*first, (effect.step, effect.direction))
            elif isinstance(effect, SetTimer):
                due = Due(effect.step, effect.direction, effect.due) if effect.step else Late()
                pending = (*pending, Pending("input", due, copies))
            else:
                assert not isinstance(effect, Event)
        world = msgspec.structs.replace(self, saga=move.saga, pending=pending, first_sent=first)
        world.check()
        return world

    def check(self) -> None:
        """What holds at every moment."""
        names = [state.name for state in self.saga.steps]
        assert len(self.first_sent) == len(set(self.first_sent)), "each command is begun once"
        assert len(self.effects) == len(set(self.effects)), "no effect takes place twice"
        undone = [names.index(name) for name, direction in self.first_sent if direction == "undo"]
        assert undone == sorted(undone, reverse=True), "undone in reverse"
        begun = [names.index(name) for name, direction in self.first_sent if direction == "action"]
        assert begun == list(range(len(begun))), "begun in order"
        assert set(undone) <= set(begun), "nothing is undone that was not begun"
        if self.saga.has_passed_pivot:
            assert not undone, "behind the pivot nothing is undone"
        for name, direction in self.effects:
            ways = [way for each, way in self.effects if each == name]
            assert direction == "action" or ways[-1] == "undo", "no effect begins behind its compensation"
        self._check_end(names)

    def _check_end(self, names: list[str]) -> None:
        steps = dict(zip(names, self.definition.steps, strict=True))
        by_hand = {state.name for state in self.saga.steps if "skipped" in (state.action.state, state.undo.state)}
        if self.saga.status == "completed":
            assert {(name, "action") for name in names if name not in by_hand} <= self.done
            assert not any(direction == "undo" for _, direction in self.first_sent)
        if self.saga.status == "compensated":
            standing = {name for name, way in self.done if way == "action" and (name, "undo") not in self.done}
            assert {name for name in standing if steps[name].undo} <= by_hand, "what took place is undone"
            told = any(entry.what == "compensate by eve" for entry in self.saga.history)
            assert told or not any(steps[name].pivot for name in standing), "a pivot that took place stands alone"
        assert not (self.saga.status == "completed" and self.saga.turned_back)

    def settled(self) -> None:
        """What holds when nothing more will happen by itself."""
        assert self.saga.is_over or self.saga.status == "stuck", f"it hangs: {self.saga}"

    def key(self) -> Any:
        """Worlds with the same key go on alike: what only a person reads is left out."""
        saga = self.saga
        legs = tuple(
            (leg.state, leg.attempt, leg.tries, leg.due) for state in saga.steps for leg in (state.action, state.undo)
        )
        pending = frozenset((p.sort, repr(p.what), p.copies) for p in self.pending)
        return saga.status, saga.at, saga.turned_back, legs, pending, self.done


def begun(definition: SagaDefinition, copies: int = 2) -> World:
    """The world when a saga begins."""
    move = start(definition, TRIGGER, "4711", 0.0)
    return World(definition, move.saga)._with(move, (), copies)
