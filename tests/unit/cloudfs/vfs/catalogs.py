"""A catalog on disk for tests of what outlives a mount, with clocks that the test moves."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs_cache.metadata.database import Catalog, CatalogRecord

STORE = "memory://bucket"


@dataclass
class Clocks:
    """A monotonic clock, which starts anew with each mount, and the time of day."""

    now: float = 1000.0
    wall: float = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def pass_s(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@dataclass
class Gate:
    """Opens a catalog whose disk stands still while the gate is closed."""

    directory: Path
    open: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> Catalog:
        return _GatedCatalog(str(self.directory), self)


class _GatedCatalog(Catalog):
    def __init__(self, directory: str, gate: Gate) -> None:
        super().__init__(directory)
        self._gate = gate

    def get(self, key: bytes) -> CatalogRecord | None:
        self._gate.entered.set()
        assert self._gate.open.wait(60)
        return super().get(key)


@asynccontextmanager
async def persistent_metadata(
    open_catalog: Path | Callable[[], Catalog] | None,
    clocks: Clocks,
    *,
    identity: str = STORE,
    limit_s: float = 30.0,
) -> AsyncIterator[PersistentMetadata]:
    """The memory of one mount; everything noted is written at the end."""
    if isinstance(open_catalog, Path):
        directory = str(open_catalog)

        def open_catalog() -> Catalog:
            return Catalog(directory)

    async with trio.open_nursery() as nursery:
        persistent = PersistentMetadata(
            open_catalog, identity, clock=clocks.monotonic, wall_clock=clocks.time, limit_s=limit_s
        )
        nursery.start_soon(persistent.serve)
        try:
            yield persistent
        finally:
            with trio.CancelScope(shield=True):
                await persistent.aclose()
            nursery.cancel_scope.cancel()
