"""Steps whose recipients the message brings about: ``recipients`` (Recipient List) and ``route`` (Dynamic Router).

Who can be meant is stated, so that ``esb check`` knows every endpoint that a message can go to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from esb import ports
from esb.config.components import Scope, Step
from esb.config.models import Name
from esb.errors import RoutingError
from esb.flow.messaging import Build, Recipient, Recipients, builders, links_of
from esb.flow.routing import OTHERWISE
from esb.flow.step import Kind, Sketch
from esb.flow.words import Words, words_of
from esb.flow.work import Action, Work
from esb.quoting import quote

if TYPE_CHECKING:
    from esb.flow.context import Context

_Words = Callable[[Work], Words]
NOBODY = "nobody"  # in the journey


class AmongSettings(ports.Settings):
    """Who can be meant."""

    among: Mapping[str, Recipients] = Field(
        min_length=1,
        description="Recipients by the word that means them: endpoint.operation, {to: …, map: …}, or a list.",
    )
    otherwise: Recipients | None = Field(
        None,
        description="Recipients where a word is not among them, or there is none; without it, a strange word fails.",
    )

    def everybody(self) -> tuple[Recipient, ...]:
        """All that a message can go to."""
        lists = (*self.among.values(), *([self.otherwise] if self.otherwise else ()))
        return tuple(one for found in lists for one in found.root)

    def check(self, scope: Scope) -> None:
        """Report what they refer to."""
        for word, found in self.among.items():
            found.check(scope, ("among", word))
        if self.otherwise:
            self.otherwise.check(scope, ("otherwise",))


class RecipientsSettings(AmongSettings):
    """``{by: expression, among: {word: endpoint.operation, …}, otherwise: endpoint.operation}``."""

    by: str = Field(description="A JSONata expression giving words: a list, one text, or several with commas.")


class RecipientList(Kind):
    """Sends the document to those that an expression names, out of those stated; each of them once.

    Where it names nobody and there is no ``otherwise``, nothing is sent and the message goes on.
    """

    kind: ClassVar[str] = "recipients"
    summary = "Send the document to those that the message names."
    Settings = RecipientsSettings

    @classmethod
    def sketch(cls, settings: RecipientsSettings) -> Sketch:
        return links_of(settings.everybody(), text=settings.by)

    @classmethod
    def outcomes(cls, settings: RecipientsSettings) -> tuple[str, ...]:
        return (*settings.among, *([OTHERWISE] if settings.otherwise else ()), NOBODY)

    @classmethod
    def check(cls, settings: RecipientsSettings, scope: Scope) -> Scope:
        scope.expression(settings.by, ("by",))
        settings.check(scope)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        text, value = step.settings.by, context.expression(step.settings.by, step)
        return _sending(step, context, lambda work: words_of(value(work), text))


class RouteSettings(AmongSettings):
    """``{by: expression, table: name, rows: {key: word, …}, among: {word: endpoint.operation, …}}``."""

    by: str = Field(description="A JSONata expression giving the key that is looked up in the table.")
    table: Name = Field(description="The table's name; several steps can go by the same one.")
    rows: dict[str, str] = Field(
        default_factory=dict,
        description="What stands in it until somebody says otherwise: key: word, or several words.",
    )

    @model_validator(mode="after")
    def _known(self) -> RouteSettings:
        strange = [word for row in self.rows.values() for word in words_of(row, row) if word not in self.among]
        if strange:
            raise ValueError(f"{strange[0]!r} in a row is not among {', '.join(self.among)}")
        return self


class Route(Kind):
    """Sends the document where a table says that can be changed while the bus runs; ``esb tables`` does it.

    The words in the table are out of those stated. A change is audited, and holds for what is taken from the queue a
    second later.
    """

    kind: ClassVar[str] = "route"
    summary = "Send the document where a table says that people change at run time."
    Settings = RouteSettings

    @classmethod
    def target(cls, settings: RouteSettings) -> str:
        return settings.table

    @classmethod
    def sketch(cls, settings: RouteSettings) -> Sketch:
        return links_of(settings.everybody(), text=f"{settings.by} in {settings.table}")

    @classmethod
    def outcomes(cls, settings: RouteSettings) -> tuple[str, ...]:
        return (*settings.among, *([OTHERWISE] if settings.otherwise else ()))

    @classmethod
    def check(cls, settings: RouteSettings, scope: Scope) -> Scope:
        scope.expression(settings.by, ("by",))
        settings.check(scope)
        return scope

    @classmethod
    def compile(cls, step: Step, context: Context) -> Action:
        settings: RouteSettings = step.settings
        name, table, rows = step.name, settings.table, settings.rows
        key, may_miss = context.expression(settings.by, step), settings.otherwise is not None

        def row(work: Work) -> str | None:
            value = key(work)
            text = value if isinstance(value, str) else quote(value)
            found = work.switches.route(table, text) or rows.get(text)
            if found is None and not may_miss:
                raise RoutingError(
                    f"the table {table} has no row for {quote(value)}: `esb tables set {table}` makes one"
                )
            return found

        said = context.watched(f"table {table}", row)
        return _sending(step, context, lambda work: work.switches.past.get(name) or words_of(said(work), table))


def _sending(step: Step, context: Context, words: _Words) -> Action:
    """Send to those that the words mean. A word enters the ids, so that its place among others does not."""
    settings: AmongSettings = step.settings

    def built(word: str, found: Recipients) -> Sequence[Build]:
        return builders(found.root, step, context, f"{step.name}[{word}]")

    among = {word: built(word, found) for word, found in settings.among.items()}
    otherwise = built(OTHERWISE, settings.otherwise) if settings.otherwise else None

    def run(work: Work) -> bool:
        work.at = step
        chosen = _chosen(words(work), among, otherwise)
        for word, builds in chosen.items():
            sends = [build(work) for build in builds]
            work.sends += sends
            work.trace(word, tuple([send.message.id for send in sends]))
        if not chosen:
            work.trace(NOBODY)
        return True

    return run


def _chosen(
    words: Words, among: Mapping[str, Sequence[Build]], otherwise: Sequence[Build] | None
) -> dict[str, Sequence[Build]]:
    """Each of them once, in the order of the words. Raises ``RoutingError`` for a word that nobody answers to."""
    if not words and otherwise is not None:
        return {OTHERWISE: otherwise}
    chosen: dict[str, Sequence[Build]] = {}
    for word in words:
        if word in among:
            chosen[word] = among[word]
        elif otherwise is not None:
            chosen[OTHERWISE] = otherwise
        else:
            raise RoutingError(f"{quote(word)} is to get the message, and there are only {', '.join(among)}")
    return chosen
