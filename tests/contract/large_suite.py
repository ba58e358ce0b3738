"""The contract at scale: many keys, a huge object, many reads at once."""

from __future__ import annotations

import random
from typing import ClassVar

import numpy as np
import trio

from cloudfs_backends.api import ReadBuffer
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, World, all_pages, keys, prefixes, read

HUGE_BYTES = 65 * 2**20 + 13
"""Hundreds of chunks, and more than any of the SDKs sends or fetches in one piece."""

PIECE_BYTES_MAX = 4 * 2**20
"""What may arrive at a time: a store that collects a body first needs memory for all of it."""


def numbered_bytes(size: int) -> memoryview:
    """Return bytes that differ at every place of eight."""
    return memoryview(np.arange(-(-size // 8), dtype="<u8").tobytes())[:size]


class _Comparison:
    """A sink that keeps nothing."""

    def __init__(self, expected: memoryview) -> None:
        self._expected = expected
        self.position = 0
        self.largest_piece = 0

    def __call__(self, piece: ReadBuffer) -> None:
        end = self.position + len(piece)
        assert piece == self._expected[self.position : end]
        self.position = end
        self.largest_piece = max(self.largest_piece, len(piece))


class LargeContract:
    """Subclasses give the fixture `world`: an empty store, with no retries around it."""

    fills_slowly: ClassVar[bool] = False
    """Many or large objects take seconds to write: the tests of them are left to `make test`."""

    @in_trio
    async def test_hundreds_of_names_over_many_pages(self, world: World) -> None:
        files = [f"f{number:03}" for number in range(100)]
        folders = [f"d{number:03}/" for number in range(100)]
        for key in [*files, *(folder + "x" for folder in folders), "d050/y"]:
            world.put(key, b"1")
        pages = await all_pages(world.store, "", delimiter="/", limit=7)
        assert (keys(pages), prefixes(pages)) == (files, folders)
        assert max(len(page.objects) + len(page.prefixes) for page in pages) <= 7
        everything = await all_pages(world.store, "d", limit=7)
        assert keys(everything) == [*(f"{f}x" for f in folders[:51]), "d050/y",
                                    *(f"{f}x" for f in folders[51:])]  # fmt: skip

    @in_trio
    async def test_more_names_than_fit_a_page_by_default(self, world: World) -> None:
        names = [f"d/{number:04}" for number in range(1100)]
        for key in names:
            world.put(key, b"")
        first = await world.store.list_page("d/", delimiter="/")
        assert [info.key for info in first.objects] == names[:1000]
        second = await world.store.list_page("d/", delimiter="/", token=first.next_token)
        assert [info.key for info in second.objects] == names[1000:]
        assert second.next_token is None

    @in_trio
    async def test_huge_object_is_streamed(self, world: World) -> None:
        data = numbered_bytes(HUGE_BYTES)
        world.put("huge", bytes(data))
        info = await world.store.head("huge")
        assert info.size == HUGE_BYTES
        whole = _Comparison(data)
        await world.store.get_range("huge", 0, info.size, etag=info.etag, sink=whole)
        assert whole.position == info.size
        assert whole.largest_piece <= PIECE_BYTES_MAX
        for start, stop in [(info.size - 1, info.size), (8 * 2**20 - 3, 16 * 2**20 + 5)]:
            assert await read(world.store, "huge", start, stop, info.etag) == data[start:stop]

    @in_trio
    async def test_many_reads_at_once(self, world: World) -> None:
        """Some more than the store has threads for."""
        dice = random.Random(1)
        world.put("one", DATA)
        world.put("other", DATA[::-1])
        etags = {key: (await world.store.head(key)).etag for key in ("one", "other")}

        async def check(key: str, data: bytes) -> None:
            for _ in range(3):
                start, stop = sorted(dice.sample(range(len(data) + 1), 2))
                assert await read(world.store, key, start, stop, etags[key]) == data[start:stop]

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(check, "one", DATA)
                nursery.start_soon(check, "other", DATA[::-1])
