"""What the cache's codec makes of a sample: the choice, what it saves, and how fast.

Rates are of raw bytes and of one thread, everything in memory and warm. The actions take turns, so
that a change of the machine's pace meets all of them; figures are medians of the rounds.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.compression.corpus import BLOCK_BYTES, Sample
from cloudfs_cache.disk.format import codec
from cloudfs_cache.disk.format.codec import Codec


@dataclass(frozen=True, slots=True)
class Pace:
    """Rates in MB/s; None where no block was encoded.

    `encode_rate` leaves the probe out. `copy_rate` is that of a copy in memory.
    """

    probe_us: float
    encode_rate: float | None
    decode_rate: float | None
    copy_rate: float


@dataclass(frozen=True, slots=True)
class Row:
    """One sample. `chosen` counts its blocks by codec.

    `ratio` counts units of 4 KiB, as the disk does, and the blocks that are left raw.
    """

    name: str
    raw_bytes: int
    chosen: dict[str, int]
    ratio: float
    pace: Pace


def measure(sample: Sample, *, rounds: int, timed_blocks: int) -> Row:
    """Encode all blocks once, and time `rounds` rounds over at most `timed_blocks` of them."""
    blocks = [memoryview(block) for block in sample.blocks()]
    stored = [_Stored.of(block) for block in blocks]
    step = -(-len(blocks) // timed_blocks)
    pace = _time(stored[::step], rounds)
    return Row(
        name=sample.name,
        raw_bytes=sum(map(len, blocks)),
        chosen=dict(Counter(one.codec.name for one in stored)),
        ratio=sum(_on_disk(one.raw) for one in stored)
        / sum(_on_disk(one.raw if one.data is None else one.data) for one in stored),
        pace=pace,
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A block and what would be stored of it; `codec` is RAW when it is left alone."""

    raw: memoryview
    codec: Codec
    data: bytes | None

    @classmethod
    def of(cls, block: memoryview) -> _Stored:
        chosen = codec.probe(block)
        data = codec.encode(chosen, block)
        return cls(block, Codec.RAW if data is None else chosen, data)


def _time(stored: Sequence[_Stored], rounds: int) -> Pace:
    packed = [(one, one.data) for one in stored if one.data is not None]
    out = memoryview(bytearray(BLOCK_BYTES))

    def copy() -> None:
        for one in stored:
            codec.decode(Codec.RAW, one.raw, out[: len(one.raw)])

    def probe() -> None:
        for one in stored:
            codec.probe(one.raw)

    def encode() -> None:
        for one, _ in packed:
            codec.encode(one.codec, one.raw)

    def decode() -> None:
        for one, data in packed:
            codec.decode(one.codec, data, out[: len(one.raw)])

    actions = (copy, probe, encode, decode)
    seconds = _rounds(actions, rounds)
    every = sum(len(one.raw) for one in stored)
    some = sum(len(one.raw) for one, _ in packed)
    return Pace(
        probe_us=seconds[probe] / len(stored) * 1e6,
        encode_rate=some / seconds[encode] / 1e6 if packed else None,
        decode_rate=some / seconds[decode] / 1e6 if packed else None,
        copy_rate=every / seconds[copy] / 1e6,
    )


def _rounds(actions: Sequence[Callable[[], None]], rounds: int) -> dict[Callable[[], None], float]:
    """The median seconds of each action; the first round only warms up."""
    taken: dict[Callable[[], None], list[float]] = {action: [] for action in actions}
    for _ in range(rounds + 1):
        for action in actions:
            started = time.perf_counter()
            action()
            taken[action].append(time.perf_counter() - started)
    return {action: statistics.median(times[1:]) for action, times in taken.items()}


def _on_disk(data: memoryview | bytes) -> int:
    unit = codec.STORED_UNIT_BYTES
    return -(-len(data) // unit) * unit
