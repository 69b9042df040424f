"""A YAML document as plain values that remember where they stand.

Mappings and lists are dict and list (so pydantic takes them as they are) with a place for each key and value. The
places travel with the objects through interpolation, overlays and validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a key or value stands, from 1. ``style`` is YAML's: "" plain, ``'``, ``"``, ``|``, ``>``."""

    file: str = ""
    line: int = 1
    column: int = 1
    style: str = ""
    end_line: int = 0
    end_column: int = 0


class Map(dict[str, Any]):
    """A YAML mapping. ``keys_at`` and ``values_at`` tell where each key and value stands."""

    __slots__ = ("keys_at", "place", "values_at")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}

    def put(self, key: str, value: Any, key_at: Place, value_at: Place) -> None:
        """Set one entry with its places."""
        self[key] = value
        self.keys_at[key] = key_at
        self.values_at[key] = value_at

    def copy_as(self, change: Callable[[Any, Place], Any]) -> Map:
        """The same mapping with every value changed by ``change(value, place)``."""
        copy = Map(self.place)
        for key, value in self.items():
            copy.put(key, change(value, self.values_at[key]), self.keys_at[key], self.values_at[key])
        return copy

    def without(self, *keys: str) -> Map:
        """The same mapping without some keys."""
        copy = Map(self.place)
        for key, value in self.items():
            if key not in keys:
                copy.put(key, value, self.keys_at[key], self.values_at[key])
        return copy

    def only(self, keys: Sequence[str]) -> Map:
        """The same mapping with just these keys."""
        return self.without(*(key for key in self if key not in keys))


class Seq(list[Any]):
    """A YAML list; ``values_at`` tells where each item stands."""

    __slots__ = ("place", "values_at")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.values_at: list[Place] = []

    def put(self, value: Any, at: Place) -> None:
        """Append one item with its place."""
        self.append(value)
        self.values_at.append(at)

    def copy_as(self, change: Callable[[Any, Place], Any]) -> Seq:
        """The same list with every item changed by ``change(value, place)``."""
        copy = Seq(self.place)
        for value, at in zip(self, self.values_at, strict=True):
            copy.put(change(value, at), at)
        return copy


class Spot(NamedTuple):
    """One value of a document: the value, its place, its key's place, and its path from the document's root."""

    value: Any
    place: Place
    key_at: Place
    path: tuple[str | int, ...] = ()

    @property
    def pointer(self) -> str:
        """The JSON Pointer (RFC 6901) of the path."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)

    def at(self, *path: str | int) -> Spot:
        """Follow a path as far as the YAML goes.

        Parts that do not exist are stepped over: a model whose short form ``[a, b]`` stands for ``{branches: [a, b]}``
        speaks of ``branches/0``, and the tags of a union are no keys either.
        """
        spot = self
        for part in path:
            value = spot.value
            if isinstance(value, Map) and part in value:
                key = str(part)
                spot = Spot(value[key], value.values_at[key], value.keys_at[key], (*spot.path, key))
            elif isinstance(value, Seq) and isinstance(part, int) and part < len(value):
                at = value.values_at[part]
                spot = Spot(value[part], at, at, (*spot.path, part))
        return spot

    def locate(self, value: Any) -> Spot | None:
        """The spot below this one whose value is that very object."""
        if self.value is value:
            return self
        keys: Any = self.value if isinstance(self.value, Map) else ()
        keys = range(len(self.value)) if isinstance(self.value, Seq) else keys
        return next((found for key in keys if (found := self.at(key).locate(value))), None)


def root(tree: Any, file: str) -> Spot:
    """The spot of a whole document."""
    place = getattr(tree, "place", Place(file))
    return Spot(tree, place, place)


def put_at(tree: Map, path: Sequence[str], value: Any, place: Place) -> None:
    """Set one entry below ``tree``; mappings on the way are made, or copied, since others may hold them too."""
    *parents, key = path
    for parent in parents:
        found = tree.get(parent)
        inner = found.copy_as(lambda value, _: value) if isinstance(found, Map) else Map(place)
        tree.put(parent, inner, tree.keys_at.get(parent, place), tree.values_at.get(parent, place))
        tree = inner
    tree.put(key, value, place, place)
