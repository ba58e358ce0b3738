"""The shapes of access in Python, over any tree: what one reader prepares, and then does.

Everything but the accesses themselves happens in the preparation, before the clock starts.
"""

from __future__ import annotations

import io
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import accumulate
from typing import cast

from cloudfs_benchmarks.bench.engines.failures import shortened_line
from cloudfs_benchmarks.bench.engines.job import Job, Shape
from cloudfs_benchmarks.bench.engines.order import in_order
from cloudfs_benchmarks.bench.engines.tally import CLOCK, Tally
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.targets.tree import Tree

Work = Callable[[Tally], None]

_POOL_BLOCKS = 4


def prepare(tree: Tree, job: Job, reader: int) -> Work:
    """What a reader of the job is to do, ready to begin; `OSError` and `TargetError` from both."""
    prepared: dict[Shape, Callable[[Tree, Job, int], Work]] = {
        Shape.SEQUENTIAL: _whole_files,
        Shape.SMALL: _whole_files,
        Shape.RANDOM: _random_blocks,
        Shape.WRITE: _new_files,
        Shape.WALK: _walk,
        Shape.OPEN: _opens,
    }
    return prepared[job.shape](tree, job, reader)


def _whole_files(tree: Tree, job: Job, reader: int) -> Work:
    files = in_order(job, reader)
    view = _touched(job.block)

    def work(tally: Tally) -> None:
        for path, size in files:
            tally.path = path
            with _opened(tree, path) as file:
                _read_whole(tree, file, size, view, tally)
            tally.files += 1

    return work


def _read_whole(
    tree: Tree, file: io.RawIOBase, size: int | None, view: memoryview, tally: Tally
) -> None:
    """Read to the end; without a read that only finds it, where the size is known."""
    left = size
    while left is None or left > 0:
        wanted = view if left is None else view[:left]
        began = CLOCK()
        count = file.readinto(wanted)
        if not count:
            if left is not None:
                raise TargetError(shortened_line(tree.location, tally.path))
            return
        tally.note(count, began)
        if left is not None:
            left -= count


def _random_blocks(tree: Tree, job: Job, reader: int) -> Work:
    """Whole blocks, none twice, over all files alike, as fio chooses them."""
    paths = list(job.files[reader])
    # The number of blocks up to and with each file.
    up_to = list(accumulate(tree.size(path) // job.block for path in paths))
    if not up_to[-1]:
        raise TargetError(f"{tree.location}: no file has a block of {job.block} bytes to read")
    chooser = random.Random(f"{job.seed} {reader}")
    chosen = chooser.sample(range(up_to[-1]), min(job.operations or up_to[-1], up_to[-1]))
    view = _touched(job.block)

    def work(tally: Tally) -> None:
        with ExitStack() as stack:
            files: dict[str, io.RawIOBase] = {}
            for block in chosen:
                index = bisect_right(up_to, block)
                tally.path = path = paths[index]
                if path not in files:
                    files[path] = stack.enter_context(_opened(tree, path))
                began = CLOCK()
                files[path].seek((block - (up_to[index - 1] if index else 0)) * job.block)
                _fill(tree, files[path], view, path)
                tally.note(job.block, began)
        tally.files += len(paths)

    return work


def _fill(tree: Tree, file: io.RawIOBase, view: memoryview, path: str) -> None:
    """Read a whole block; a server may answer with less than it was asked for."""
    while view:
        count = file.readinto(view)
        if not count:
            raise TargetError(shortened_line(tree.location, path))
        view = view[count:]


def _new_files(tree: Tree, job: Job, reader: int) -> Work:
    chooser = random.Random(f"{job.seed} {reader}")
    pool = memoryview(chooser.randbytes(_POOL_BLOCKS * job.block))

    def blocks(tally: Tally) -> Iterator[memoryview]:
        for start in range(0, job.size, job.block):
            length = min(job.block, job.size - start)
            # Never the same bytes at the same alignment: that would be found to be a copy.
            offset = chooser.randrange(len(pool) - length)
            began = CLOCK()
            yield pool[offset : offset + length]
            tally.note(length, began)

    def work(tally: Tally) -> None:
        for path in job.files[reader]:
            tally.path = path
            tree.write(path, blocks(tally), sync=True)
            tally.files += 1

    return work


def _walk(tree: Tree, job: Job, reader: int) -> Work:
    """Names and attributes, as `find -ls` lists them; folders count as names."""

    def work(tally: Tally) -> None:
        waiting = list(job.files[reader])
        while waiting:
            tally.path = folder = waiting.pop()
            entries = tree.entries(folder)
            tally.operations += len(entries)
            prefix = f"{folder}/" if folder else ""
            waiting += [prefix + entry.name for entry in entries if entry.is_dir]

    return work


def _opens(tree: Tree, job: Job, reader: int) -> Work:
    paths = [path for path, _ in in_order(job, reader)]
    if job.operations:
        del paths[job.operations :]
    view = _touched(1)

    def work(tally: Tally) -> None:
        for path in paths:
            tally.path = path
            began = CLOCK()
            with _opened(tree, path) as file:
                count = file.readinto(view) or 0
            tally.note(count, began)
            tally.files += 1

    return work


def _opened(tree: Tree, path: str) -> io.RawIOBase:
    return cast("io.RawIOBase", tree.open(path))


def _touched(size: int) -> memoryview:
    """A buffer whose pages are there: the first read does not pay for them."""
    return memoryview(bytearray(b"\1") * size)
