"""Which measurements a run consists of. Pure: nothing is touched here.

A measurement is a shape of access with a number of readers, in one or more cache states. The order
within a run is: measurement by measurement, trial by trial, the targets in turn, each in all
states: so that what changes over the run (other load, a hot disk) meets every target alike.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cloudfs_benchmarks.bench.data.files import DataSet, File, Sample
from cloudfs_benchmarks.bench.engines.job import Job, Shape
from cloudfs_benchmarks.bench.options import MIB, Options, Suite
from cloudfs_benchmarks.bench.results import CacheState, Kind, Target

_KIB = 1024
_COLD = (CacheState.COLD,)
_COLD_AND_TIER = (CacheState.COLD, CacheState.SSD_WARM)
_ALL = (CacheState.COLD, CacheState.SSD_WARM, CacheState.RAM_WARM)

_BLOCK_MIN = 4 * _KIB

_Piece = TypeVar("_Piece", File, Sample)


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement. `readers` 0 stands for as many as the run was told; `operations` is what
    each reader does of shapes that do not read everything."""

    suite: Suite
    name: str
    shape: Shape
    readers: int
    block: int
    states: tuple[CacheState, ...]
    operations: int = 0


_MANY = 0
_TABLE = (
    Step(Suite.QUICK, "sequential-1", Shape.SEQUENTIAL, 1, MIB, _COLD_AND_TIER),
    Step(Suite.QUICK, "random-128k", Shape.RANDOM, 1, 128 * _KIB, _COLD_AND_TIER, 64),
    Step(Suite.QUICK, "small-files", Shape.SMALL, _MANY, MIB, _COLD_AND_TIER),
    Step(Suite.QUICK, "walk", Shape.WALK, 1, 0, _COLD),
    Step(Suite.STANDARD, "sequential-1", Shape.SEQUENTIAL, 1, MIB, _ALL),
    Step(Suite.STANDARD, "sequential-many", Shape.SEQUENTIAL, _MANY, MIB, _ALL),
    Step(Suite.STANDARD, "random-4k", Shape.RANDOM, 1, 4 * _KIB, _COLD_AND_TIER, 256),
    Step(Suite.STANDARD, "random-128k", Shape.RANDOM, 1, 128 * _KIB, _COLD_AND_TIER, 256),
    Step(Suite.STANDARD, "random-128k-many", Shape.RANDOM, _MANY, 128 * _KIB, _COLD_AND_TIER, 256),
    Step(Suite.STANDARD, "small-files", Shape.SMALL, _MANY, MIB, _COLD_AND_TIER),
    Step(Suite.STANDARD, "write-fsync", Shape.WRITE, 1, MIB, (CacheState.RAM_WARM,)),
    Step(Suite.STANDARD, "walk", Shape.WALK, 1, 0, _COLD),
    Step(Suite.STANDARD, "open", Shape.OPEN, 1, 1, _COLD, 256),
)


def steps_of(suites: Sequence[Suite]) -> tuple[Step, ...]:
    """The measurements of the suites, in order; training is no measurement."""
    return tuple(step for step in _TABLE if step.suite in suites)


def trains(suites: Sequence[Suite]) -> bool:
    """Whether the suites train."""
    return Suite.QUICK in suites or Suite.TRAINING in suites


def states_for(step: Step, kind: Kind) -> tuple[CacheState, ...]:
    """The states of a step that exist on a target: only a cloudfs mount has a tier of its own, and
    libnfs keeps nothing at all."""
    impossible = set()
    if kind is not Kind.CLOUDFS:
        impossible.add(CacheState.SSD_WARM)
    if kind is Kind.LIBNFS and step.shape is not Shape.WRITE:
        impossible.add(CacheState.RAM_WARM)
    return tuple(state for state in step.states if state not in impossible)


def turns(targets: Sequence[Target], trial: int) -> list[int]:
    """Indices of the targets in the order of a trial: every one comes first as often."""
    return [(index + trial) % len(targets) for index in range(len(targets))]


def make_job(step: Step, data: DataSet, options: Options, trial: int, write_folder: str) -> Job:
    """What one trial of a step does. The same on every target, and, but for the seed, in every
    trial."""
    seed = options.seed + trial
    readers = step.readers or options.readers
    half = max(MIB, options.size_bytes // 2)
    match step.shape:
        case Shape.WRITE:
            size = max(MIB, min(256 * MIB, half // 4) // MIB * MIB)
            files: tuple[tuple[str, ...], ...] = ((f"{write_folder}/written",),)
            return Job(step.shape, files, step.block, size=size, seed=seed)
        case Shape.WALK:
            return Job(step.shape, ((data.root,),), step.block, seed=seed)
        case Shape.SMALL | Shape.OPEN:
            chosen = list(data.small or data.files)
            random.Random(seed).shuffle(chosen)
        case _:
            chosen = within(data.large, half)
    if step.shape is Shape.RANDOM:
        # Every reader has all large files before it, as DataLoader workers do.
        shares: tuple[tuple[str, ...], ...] = (tuple(file.path for file in chosen),) * readers
        block = fitting(step.block, chosen)
    else:
        shares, block = deal(chosen, readers), step.block
    size_of = {file.path: file.size for file in chosen}
    sizes = tuple(tuple(size_of[path] for path in hand) for hand in shares)
    return Job(
        *(step.shape, shares, block),
        operations=step.operations,
        sizes=sizes,
        seed=seed,
    )


def fitting(block: int, files: Sequence[File]) -> int:
    """The block, or the largest power of two of at least 4 KiB that the smallest file has room for:
    a random block lies within a file."""
    smallest = max(_BLOCK_MIN, min(file.size for file in files))
    return min(block, 1 << smallest.bit_length() - 1)


def within(pieces: Sequence[_Piece], limit_bytes: int) -> list[_Piece]:
    """The first files or samples that fit the limit, and always one."""
    chosen: list[_Piece] = []
    total = 0
    for piece in pieces:
        if chosen and total + piece.size > limit_bytes:
            continue
        chosen.append(piece)
        total += piece.size
    return chosen


def deal(files: Sequence[File], readers: int) -> tuple[tuple[str, ...], ...]:
    """Give every reader about as many bytes; with fewer files than readers, fewer readers."""
    hands: list[list[str]] = [[] for _ in range(min(readers, len(files)))]
    loads = [0] * len(hands)
    for file in sorted(files, key=lambda file: -file.size):
        least = loads.index(min(loads))
        hands[least].append(file.path)
        # An empty file is work, too.
        loads[least] += file.size + 4096
    return tuple(tuple(hand) for hand in hands)


def job_paths(job: Job, data: DataSet) -> list[str]:
    """The files whose caching decides a job's speed, each once."""
    if job.shape is Shape.WALK:
        return [file.path for file in data.files]
    if job.shape is Shape.WRITE:
        return []
    return sorted({path for hand in job.files for path in hand})


def bounded(data: DataSet, limit_bytes: int, seed: int) -> DataSet:
    """The data set with no more samples than the limit allows: the same on every target.

    Of the benchmark's own data these are all.
    """
    samples = list(data.samples)
    if data.own or sum(sample.size for sample in samples) <= limit_bytes:
        return data
    random.Random(seed).shuffle(samples)
    return dataclasses.replace(data, samples=tuple(within(samples, limit_bytes)))
