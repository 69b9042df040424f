"""The loaded bus: immutable, complete, free of findings. What the composition root builds from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from pydantic import SecretStr

from esb.config.models import (
    BusConfig,
    ContractRef,
    Operation,
    Receive,
    Records,
    Recovery,
    SagaEvent,
    SagaRecovery,
    SagaStep,
    Schedule,
    TestMessage,
)
from esb.ports import Doubt, Effect, Settings

Derived = TypeVar("Derived")


class LoadedOperation(msgspec.Struct, frozen=True):
    """An operation: the bus's own keys, and the adapter's."""

    common: Operation
    settings: Settings
    effect: Effect  # resolved: stated, else keyed where the adapter is, else unkeyed
    in_doubt: Doubt = "park"  # resolved: stated, else probe where the adapter can tell


class LoadedReceive(msgspec.Struct, frozen=True):
    """``receive:``: the bus's own keys, and the adapter's."""

    common: Receive
    settings: Settings


class LoadedEndpoint(msgspec.Struct, frozen=True):
    """An endpoint with every open key resolved against its adapter and format."""

    name: str
    title: str
    adapter: str
    owner: str
    settings: Settings
    format: str
    format_settings: Settings
    records: Records | None
    receive: LoadedReceive | None
    operations: Mapping[str, LoadedOperation]
    concurrency: int
    timeout: float
    recovery: Recovery
    file: str = ""
    line: int = 0
    test_messages: Literal["stub", "pass"] = "stub"
    backlog: int | None = None  # instead of the bus's


class LoadedFlow(msgspec.Struct, frozen=True):
    """A flow. ``source`` is an endpoint's name, a contract (``order.placed/v1``: an event), or ``schedule:<flow>``."""

    name: str
    title: str
    source: str
    steps: tuple[Any, ...]  # of components.Step, nested ones inside their settings
    file: str = ""
    line: int = 0
    schedule: Schedule | None = None  # it starts by itself
    on_error: tuple[Any, ...] = ()
    test_message: TestMessage | None = None
    backlog: int | None = None  # instead of the bus's
    ordering: str = ""  # the expression of the key by which messages keep their order

    @property
    def is_event(self) -> bool:
        return "/" in self.source

    @property
    def origin(self) -> str:
        """Where it starts, for people."""
        return self.schedule.timetable().text if self.schedule else self.source


class LoadedSaga(msgspec.Struct, frozen=True):
    """A saga. ``source`` as a flow's; ``lines`` tells where each step stands."""

    name: str
    title: str
    source: str
    key: str
    steps: tuple[SagaStep, ...]
    timeout: float | None
    recovery: SagaRecovery
    completed: SagaEvent | None
    compensated: SagaEvent | None
    file: str = ""
    line: int = 0
    lines: tuple[int, ...] = ()

    @property
    def is_event(self) -> bool:
        return "/" in self.source


class LoadedMapping(msgspec.Struct, frozen=True):
    """A mapping. ``lines`` tells where each leaf stands: ``("lines", "set", "sku")`` -> line number."""

    name: str
    source: str | None
    target: str | None
    lookups: Mapping[str, str]  # function name -> key of Definition.lookups
    set: Mapping[str, Any]
    file: str = ""
    lines: Mapping[tuple[str | int, ...], int] = {}


class Definition(msgspec.Struct, frozen=True, dict=True):
    """A whole bus directory, loaded. ``hash`` identifies its content (secrets and environment values excluded)."""

    root: str  # absolute directory
    hash: str
    config: BusConfig
    endpoints: Mapping[str, LoadedEndpoint]
    flows: Mapping[str, LoadedFlow]
    mappings: Mapping[str, LoadedMapping]
    contracts: Mapping[ContractRef, Mapping[str, Any]]  # "order/v1" -> JSON Schema
    lookups: Mapping[str, Mapping[str, Any]]  # file -> key -> value (a text, or a row as a mapping)
    files: Mapping[str, str]  # relative name -> text as on disk, for the definitions table
    sagas: Mapping[str, LoadedSaga] = {}
    secrets: tuple[SecretStr, ...] = ()  # every resolved secret, for redact(); never stored

    @property
    def data_directory(self) -> Path:
        """Where the embedded broker and store live."""
        return Path(self.root, self.config.data)

    def once(self, derive: Callable[[Definition], Derived]) -> Derived:
        """What follows from it, computed when it is first asked for and kept with it."""
        known: dict[Any, Derived] = self.__dict__.setdefault("derived", {})
        if derive not in known:
            known[derive] = derive(self)
        return known[derive]
