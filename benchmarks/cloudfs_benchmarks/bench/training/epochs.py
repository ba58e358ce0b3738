"""An epoch's batches, in a new random order, from worker processes that read ahead.

Workers are forked anew for every epoch and open the target again, as PyTorch's DataLoader does
unless told otherwise (`persistent_workers=False`). Both kinds keep two batches per worker ahead
and hand batches out in order.
"""

from __future__ import annotations

import collections
import ctypes
import importlib.util
import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from importlib import metadata
from typing import Any

import numpy as np

from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.training.collate import Batch, BatchReader
from cloudfs_benchmarks.bench.training.job import LoaderKind

PREFETCHED_PER_WORKER = 2
_PR_SET_PDEATHSIG = 1


def choose_loader(kind: LoaderKind) -> LoaderKind:
    """`TORCH` or `POOL`; `BenchError` when PyTorch is asked for and not installed."""
    installed = importlib.util.find_spec("torch") is not None
    if kind is LoaderKind.TORCH and not installed:
        raise BenchError("PyTorch is not installed: pip install torch, or choose the loader 'pool'")
    return LoaderKind.TORCH if installed and kind is not LoaderKind.POOL else LoaderKind.POOL


def preload(kind: LoaderKind) -> None:
    """Import what the loader needs, before an epoch begins."""
    if kind is LoaderKind.TORCH:
        import torch.utils.data  # noqa: F401, PLC0415 - optional


def describe(kind: LoaderKind) -> str:
    """The loader and its version, for the record."""
    if kind is LoaderKind.TORCH:
        return f"PyTorch {metadata.version('torch')} DataLoader"
    return "process pool"


def groups_of(samples: int, batch: int, seed: int, epoch: int) -> list[list[int]]:
    """Every sample once, in an order of this seed and epoch, in batches; the last may be short."""
    order = np.random.default_rng([seed, epoch]).permutation(samples).tolist()
    return [order[start : start + batch] for start in range(0, samples, batch)]


def batches(
    kind: LoaderKind, reader: BatchReader, groups: Sequence[list[int]], workers: int
) -> Iterator[Batch]:
    """Read the groups; to be closed, which ends the workers."""
    if kind is LoaderKind.TORCH:
        return _torch_batches(reader, groups, workers)
    return _pool_batches(reader, groups, workers)


def _torch_batches(
    reader: BatchReader, groups: Sequence[list[int]], workers: int
) -> Iterator[Batch]:
    from torch.utils.data import DataLoader  # noqa: PLC0415 - optional

    data_set: Any = reader
    # The reader gives batches, which there is no type for.
    whole: Any = _unchanged
    yield from DataLoader(
        data_set,
        batch_sampler=groups,
        collate_fn=whole,
        num_workers=workers,
        prefetch_factor=PREFETCHED_PER_WORKER if workers else None,
    )


def _unchanged(batch: Batch) -> Batch:
    return batch


def _pool_batches(
    reader: BatchReader, groups: Sequence[list[int]], workers: int
) -> Iterator[Batch]:
    if workers == 0:
        yield from map(reader.__getitems__, groups)
        return
    # Forked, as DataLoader's workers are: what is imported already need not be imported again.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_be_worker, initargs=(reader, os.getpid())
    )
    try:
        waiting = (pool.submit(_worker_batch, group) for group in groups)
        ahead = workers * PREFETCHED_PER_WORKER
        pending = collections.deque[Future[Batch]](itertools.islice(waiting, ahead))
        while pending:
            batch = pending.popleft().result()
            pending.extend(itertools.islice(waiting, 1))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)


_worker_reader: list[BatchReader] = []
"""The reader of this worker process."""


def _be_worker(reader: BatchReader, parent: int) -> None:
    # A pool's workers do not notice that their parent was killed; DataLoader's do.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _worker_reader[:] = [reader]


def _worker_batch(group: list[int]) -> Batch:
    return _worker_reader[0].__getitems__(group)
