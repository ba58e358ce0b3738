"""A source of known bytes for tests of the tiers: counts, delays and fails as it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from cloudfs_cache.api import ChunkSink, ObjectVersion


def content(version: ObjectVersion, start: int, stop: int) -> bytes:
    """The bytes [start, stop) of a version: a function of its identity and the offset alone."""
    seed = hashlib.blake2b(f"{version.key}|{version.etag}".encode(), digest_size=8).digest()
    first, last = start // 4096, -(-stop // 4096)
    pages = b"".join(
        hashlib.blake2b(page.to_bytes(8, "little"), key=seed, digest_size=64).digest() * 64
        for page in range(first, last)
    )
    return pages[start - first * 4096 : stop - first * 4096]


@dataclass
class Source:
    """`fetch` is what a TieredCache is given. `gate`, while set and closed, holds every request;
    `fault(version, start, stop)` may return an error and after how many bytes to raise it."""

    requests: list[tuple[str, int, int]] = field(default_factory=list)
    chunk_bytes: int = 100_000
    gate: trio.Event | None = None
    fault: Callable[[ObjectVersion, int, int], tuple[int, Exception] | None] | None = None
    active: int = 0
    active_max: int = 0

    async def fetch(self, version: ObjectVersion, start: int, stop: int, sink: ChunkSink) -> None:
        self.requests.append((version.key, start, stop))
        self.active += 1
        self.active_max = max(self.active, self.active_max)
        try:
            if self.gate is not None:
                await self.gate.wait()
            failing = self.fault(version, start, stop) if self.fault else None
            end = stop if failing is None else start + failing[0]
            await trio.to_thread.run_sync(self._pour, version, start, end, sink)
            if failing is not None:
                raise failing[1]
        finally:
            self.active -= 1

    def fetched_bytes(self) -> int:
        return sum(stop - start for _, start, stop in self.requests)

    def _pour(self, version: ObjectVersion, start: int, stop: int, sink: ChunkSink) -> None:
        for offset in range(start, stop, self.chunk_bytes):
            sink(content(version, offset, min(stop, offset + self.chunk_bytes)))
