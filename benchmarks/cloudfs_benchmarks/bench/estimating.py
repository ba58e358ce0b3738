"""What a run will cost, as far as it can be known before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.bench.data.files import DataSet
from cloudfs_benchmarks.bench.engines.job import Shape
from cloudfs_benchmarks.bench.options import MIB, Options
from cloudfs_benchmarks.bench.plan import Step, states_for, steps_of, trains
from cloudfs_benchmarks.bench.results import CacheState, Kind, Target

_SLOW_RATE, _FAST_RATE = 100e6, 1000e6
_ROUND_TRIP_S = 0.05
_OVERHEAD_S = 2.0
# Of a large file a store is asked for a few MiB at a time.
_BYTES_PER_REQUEST = 2 * MIB
# A file costs its name, its attributes and its bytes; formats of many parts ask for more names.
_REQUESTS_PER_FILE = 6


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds at 1 GB/s and at 100 MB/s of every target; bytes read and written over all targets;
    bytes that cloudfs targets get from the store, and the requests for them, which may cost."""

    seconds: tuple[float, float]
    read_bytes: int
    written_bytes: int
    store_bytes: int
    store_requests: int


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one target: bytes read, bytes and requests of a store, accesses that are waited for."""

    read_bytes: int = 0
    store_bytes: int = 0
    requests: int = 0
    waits: int = 0

    def __add__(self, other: _Cost) -> _Cost:
        return _Cost(
            self.read_bytes + other.read_bytes,
            self.store_bytes + other.store_bytes,
            self.requests + other.requests,
            self.waits + other.waits,
        )


def estimate(options: Options, targets: Sequence[Target], data: DataSet | None) -> Estimate:
    """Add up what the plan reads and writes; without `data` it is the run's own to be written."""
    size = options.size_bytes if data is None else min(options.size_bytes, data.bytes)
    files = max(1, size // (2 * MIB)) if data is None else len(data.files)
    total = _Cost()
    for target in targets:
        for step in steps_of(options.suites):
            total += _step(step, target.kind, options, size, files)
        if trains(options.suites):
            total += _training(target.kind, options, size, files)
    written = 0 if data is not None else size * len(targets)
    moved = total.read_bytes + written
    fixed = _OVERHEAD_S * len(targets) * options.trials * len(steps_of(options.suites))
    if trains(options.suites):
        steps = files * options.training.epochs / options.training.batch
        fixed += len(targets) * options.trials * steps * options.training.compute_s
    slow_s = moved / _SLOW_RATE + total.waits * _ROUND_TRIP_S
    return Estimate(
        (moved / _FAST_RATE + fixed, slow_s + fixed),
        *(total.read_bytes, written, total.store_bytes, total.requests),
    )


def _step(step: Step, kind: Kind, options: Options, size: int, files: int) -> _Cost:
    """One measurement over all its trials and states."""
    readers = step.readers or options.readers
    each, requests, waits = 0, 0, 0
    match step.shape:
        case Shape.SEQUENTIAL:
            each = size // 2
            requests = each // _BYTES_PER_REQUEST
        case Shape.SMALL:
            each = size // 20
            requests = waits = files * _REQUESTS_PER_FILE // 2
        case Shape.WRITE:
            each = min(256 * MIB, size // 8)
        case Shape.WALK:
            requests = waits = files
        case Shape.RANDOM | Shape.OPEN:
            each = step.operations * readers * step.block
            requests = step.operations * readers
            waits = step.operations
    states = states_for(step, kind)
    cold = options.trials * (CacheState.COLD in states) * (kind is Kind.CLOUDFS)
    every = options.trials * len(states)
    return _Cost(each * every, each * cold, requests * cold, waits * every)


def _training(kind: Kind, options: Options, size: int, files: int) -> _Cost:
    """All epochs of all trials: after the first what is read comes from the mount's cache."""
    epochs = options.trials * options.training.epochs
    cold = options.trials * (kind is Kind.CLOUDFS)
    requests = size // _BYTES_PER_REQUEST + files * _REQUESTS_PER_FILE
    waits = files * options.trials * _REQUESTS_PER_FILE // options.training.workers
    return _Cost(size * epochs, size * cold, requests * cold, waits)
