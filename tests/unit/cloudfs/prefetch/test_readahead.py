"""The read-ahead policy, fed with the read shapes of real loaders."""

from __future__ import annotations

import itertools
import random

from cloudfs.prefetch.readahead import SMALL_FILE_BYTES, ReadAheadWindow

MIB = 1 << 20
KIB = 1 << 10


def read_all(window: ReadAheadWindow, reads: list[tuple[int, int]]) -> set[int]:
    """Feed reads; return the MiB-blocks that were asked for ahead."""
    ahead: set[int] = set()
    for offset, length in reads:
        advice = window.on_read(offset, length)
        ahead.update(range(advice.ahead.start // MIB, -(-advice.ahead.stop // MIB)))
    return ahead


def sequential(start: int, stop: int, step: int = 128 * KIB) -> list[tuple[int, int]]:
    return [(offset, min(step, stop - offset)) for offset in range(start, stop, step)]


def test_small_file_is_fetched_whole_at_the_first_read() -> None:
    window = ReadAheadWindow(SMALL_FILE_BYTES, 128 * MIB)
    assert window.on_read(1000, 10).ahead == range(SMALL_FILE_BYTES)
    assert not window.on_read(5000, 10).ahead


def test_sequential_window_doubles_up_to_the_limit() -> None:
    window = ReadAheadWindow(1024 * MIB, 64 * MIB)
    widths = []
    for offset, length in sequential(0, 512 * MIB, MIB):
        window.on_read(offset, length)
        widths.append(window.widest)
    assert widths[0] == 2 * MIB
    assert widths[-1] == 64 * MIB
    assert all(b in (a, 2 * a) for a, b in itertools.pairwise(widths))


def test_sequential_asks_for_every_block_once_and_never_twice() -> None:
    window = ReadAheadWindow(256 * MIB, 64 * MIB)
    issued_to = 0
    for offset, length in sequential(0, 256 * MIB):
        ahead = window.on_read(offset, length).ahead
        if ahead:
            assert ahead.start >= issued_to
            issued_to = ahead.stop
    assert issued_to == 256 * MIB


def test_random_reads_fetch_nothing_ahead() -> None:
    rng = random.Random(1)
    window = ReadAheadWindow(10_000 * MIB, 128 * MIB)
    offsets = [rng.randrange(64, 10_000) * MIB + 4096 for _ in range(300)]
    assert read_all(window, [(o, 24 * KIB) for o in offsets]) == set()


def test_two_adjacent_reads_in_the_middle_start_a_stream() -> None:
    window = ReadAheadWindow(1000 * MIB, 128 * MIB)
    assert not window.on_read(500 * MIB, 128 * KIB).ahead
    assert window.on_read(500 * MIB + 128 * KIB, 128 * KIB).ahead


def test_kernel_read_ahead_out_of_order_stays_one_stream() -> None:
    rng = random.Random(2)
    window = ReadAheadWindow(256 * MIB, 64 * MIB)
    reads = sequential(0, 200 * MIB, MIB)
    for i in range(0, len(reads), 3):
        chunk = reads[i : i + 3]
        rng.shuffle(chunk)
        reads[i : i + 3] = chunk
    read_all(window, reads)
    assert window.widest == 64 * MIB


def test_head_tail_then_stream_is_sequential() -> None:
    size = 512 * MIB
    window = ReadAheadWindow(size, 64 * MIB)
    opening = [(0, 4096), (size - 22, 22), (size - 4096, 4096), (0, 4096), (30, 100)]
    body = sequential(4096, 100 * MIB, 256 * KIB)
    read_all(window, opening)
    ahead = read_all(window, body)
    assert window.widest == 64 * MIB
    assert set(range(8, 100)) <= ahead


def test_two_interleaved_streams_both_grow() -> None:
    window = ReadAheadWindow(2000 * MIB, 32 * MIB)
    first, second = sequential(0, 80 * MIB, MIB), sequential(1000 * MIB, 1080 * MIB, MIB)
    ahead = read_all(window, [r for pair in zip(first, second, strict=True) for r in pair])
    assert set(range(10, 80)) <= ahead
    assert set(range(1010, 1080)) <= ahead


def test_a_share_of_the_budget_shrinks_the_window() -> None:
    window = ReadAheadWindow(1000 * MIB, 64 * MIB)
    read_all(window, sequential(0, 200 * MIB, MIB))
    window.on_read(200 * MIB, MIB, limit=4 * MIB)
    assert window.widest == 4 * MIB


def test_never_beyond_the_end_of_the_file() -> None:
    size = 9 * MIB + 17
    window = ReadAheadWindow(size, 64 * MIB)
    for offset, length in sequential(0, size):
        assert window.on_read(offset, length).ahead.stop <= size
