"""`python -m cloudfs_benchmarks.readpath.reader JOB`: reads files and times it; JOB is JSON.

A process of its own, as a training script is: the same program reads through the mount and the
native file. Each reader is a forked child that touches its one buffer before the clock starts. The
result, JSON on standard output: for each pass and reader `started`, `ended` (seconds of one clock),
`first_s` (to the first bytes), `bytes`, `names`, and `latencies` (seconds) of single accesses.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import random
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.synchronize import Barrier
from typing import Any

from cloudfs_benchmarks.interpreter import python

_CLOCK = time.perf_counter


@dataclass(frozen=True, slots=True)
class Job:
    """What to read. `paths` has one list of files per reader; sizes in bytes.

    `shape`: `read` (block by block), `mmap` (the same through a mapping), `pread` and `mmap-random`
    (`count` accesses of `block` bytes at random places), `mmap-window` (one run of
    `block` bytes in each of `count` openings), `digest` (CRC-32 of everything, not for timing),
    `find` (the names of all files below folders, as find(1) looks for them).
    `listed` are folders to list before the clock starts, as a loader does that looks for its files.
    """

    shape: str
    paths: list[list[str]]
    block: int
    passes: int = 1
    count: int = 0
    seed: int = 0
    listed: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        """The command that does it."""
        module = "cloudfs_benchmarks.readpath.reader"
        return python("-m", module, json.dumps(asdict(self)))


@dataclass(slots=True)
class Tally:
    """What one reader did in one pass."""

    started: float
    ended: float = 0.0
    first_s: float = 0.0
    bytes: int = 0
    names: int = 0
    digest: int = 0
    latencies: list[float] = field(default_factory=list)

    def note(self, length: int) -> None:
        """Count bytes that have arrived."""
        if not self.bytes:
            self.first_s = _CLOCK() - self.started
        self.bytes += length


def _read(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while length := os.readv(descriptor, [buffer]):
            tally.note(length)
    finally:
        os.close(descriptor)


def _digest(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    view = memoryview(buffer)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while length := os.readv(descriptor, [buffer]):
            tally.digest = zlib.crc32(view[:length], tally.digest)
            tally.note(length)
    finally:
        os.close(descriptor)


def _mmap(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    with _mapped(path) as view:
        for start in range(0, len(view), job.block):
            with view[start : start + job.block] as piece:
                buffer[: len(piece)] = piece
                tally.note(len(piece))


def _pread(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for start in _places(os.fstat(descriptor).st_size, job):
            began = _CLOCK()
            tally.note(os.preadv(descriptor, [buffer], start))
            tally.latencies.append(_CLOCK() - began)
    finally:
        os.close(descriptor)


def _mmap_random(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    with _mapped(path) as view:
        for start in _places(len(view), job):
            began = _CLOCK()
            buffer[:] = view[start : start + job.block]
            tally.latencies.append(_CLOCK() - began)
            tally.note(job.block)


def _mmap_window(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    """A sample of an epoch: map the array anew, copy one contiguous run of rows out of it."""
    for start in _places(os.stat(path).st_size, job):
        began = _CLOCK()
        with _mapped(path) as view:
            buffer[:] = view[start : start + job.block]
        tally.latencies.append(_CLOCK() - began)
        tally.note(job.block)


def _find(path: str, job: Job, buffer: bytearray, tally: Tally) -> None:
    for _, _, names in os.walk(path):
        tally.names += len(names)


_SHAPES: dict[str, Callable[[str, Job, bytearray, Tally], None]] = {
    "read": _read,
    "digest": _digest,
    "mmap": _mmap,
    "pread": _pread,
    "mmap-random": _mmap_random,
    "mmap-window": _mmap_window,
    "find": _find,
}


@contextmanager
def _mapped(path: str) -> Iterator[memoryview]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as mapping, memoryview(mapping) as view:
            yield view
    finally:
        os.close(descriptor)


def _places(size: int, job: Job) -> Iterator[int]:
    """Random starts, aligned to nothing, as row offsets are."""
    chooser = random.Random(job.seed)
    for _ in range(job.count):
        yield chooser.randrange(size - job.block)


def _be_reader(job: Job, index: int, barrier: Barrier, results: Any) -> None:
    buffer = bytearray(job.block)
    tallies = []
    for _ in range(job.passes):
        barrier.wait()
        tally = Tally(_CLOCK())
        for path in job.paths[index]:
            _SHAPES[job.shape](path, job, buffer, tally)
        tally.ended = _CLOCK()
        tallies.append(asdict(tally))
    results.put(tallies)


def main() -> None:
    """Run the job of the command line."""
    job = Job(**json.loads(sys.argv[1]))
    for folder in job.listed:
        os.listdir(folder)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(len(job.paths))
    results = context.Queue()
    readers = [
        context.Process(target=_be_reader, args=(job, index, barrier, results), daemon=True)
        for index in range(len(job.paths))
    ]
    for reader in readers:
        reader.start()
    tallies: list[list[dict[str, Any]]] = []
    while len(tallies) < len(readers):
        if any(reader.exitcode for reader in readers):
            raise SystemExit("a reader failed")
        if not results.empty():
            tallies.append(results.get())
        time.sleep(0.002)
    # By pass, then by reader.
    json.dump(list(zip(*tallies, strict=True)), sys.stdout)


if __name__ == "__main__":
    main()
