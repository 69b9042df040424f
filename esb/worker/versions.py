"""The versions of the configuration: what runs keeps the one that it began with."""

from __future__ import annotations

import gc
import os
from collections.abc import Mapping
from pathlib import Path

from esb.config import Components, Definition, load_stored
from esb.errors import EsbError, MessageError
from esb.flow import Parts, build_parts
from esb.saga import SagaDefinition, compile_saga
from esb.store import Transaction


def compile_sagas(definition: Definition, parts: Parts) -> dict[str, SagaDefinition]:
    """All sagas of a definition, on its compiled contracts and mappings. Raises as ``compile_saga``."""
    loaded = definition.sagas.items()
    return {name: compile_saga(saga, definition, parts.contracts, parts.mappings) for name, saga in loaded}


class Versions:
    """Compiled sagas by version. One that is no longer in force is compiled from its stored files when it is needed."""

    def __init__(
        self, definition: Definition, parts: Parts, components: Components, environ: Mapping[str, str] = os.environ
    ) -> None:
        """Args: what is in force, and what older versions are loaded with."""
        self.sagas = compile_sagas(definition, parts)
        self._root = Path(definition.root)
        self._components = components
        self._environ = environ
        self._known = {definition.hash: self.sagas}

    def saga(self, t: Transaction, hash: str, name: str) -> SagaDefinition:
        """A saga as of a version. Raises ``MessageError`` where that version cannot be had any more."""
        if hash not in self._known:
            self._known[hash] = self._stored(t, hash)
        if name not in self._known[hash]:
            raise MessageError(f"there is no saga {name!r} in version {hash[:12]} of the configuration")
        return self._known[hash][name]

    def _stored(self, t: Transaction, hash: str) -> dict[str, SagaDefinition]:
        stored = t.definitions.get(hash)
        if stored is None:
            raise MessageError(f"version {hash[:12]} of the configuration is not in the store any more")
        definition = load_stored(self._root, stored.files, self._components, self._environ)
        if definition is None:
            raise MessageError(f"version {hash[:12]} of the configuration cannot be loaded any more")
        try:
            sagas = compile_sagas(definition, build_parts(definition))
            gc.collect()  # what loading left behind: expressions must not be dropped on another thread
            return sagas
        except EsbError as error:
            raise MessageError(f"version {hash[:12]} of the configuration cannot be used any more: {error}") from error
