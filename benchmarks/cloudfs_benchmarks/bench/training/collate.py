"""Making batches of samples, in whichever process the loader does that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloudfs_benchmarks.bench.data.files import Sample
from cloudfs_benchmarks.bench.data.formats import SampleArrays, read_sample
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.tree import Tree


class SampleError(Exception):
    """A sample that cannot be read: one line, `PATH: reason`."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples in memory. `features` is (samples, values); `readers` names what read them.

    With `error` there is nothing else: it travels as a value, because exceptions lose their words
    on the way out of a worker.
    """

    features: NDArray[np.float32]
    samples: int
    bytes: int
    readers: tuple[str, ...]
    error: str = ""


class BatchReader:
    """Reads batches from a target; each process opens the target's tree when it reads first.

    A map-style data set in PyTorch's sense whose loader asks for all samples of a batch at once.
    """

    def __init__(self, location: str, samples: Sequence[Sample]) -> None:
        self._location = location
        self._samples = samples
        self._tree: Tree | None = None

    def __len__(self) -> int:
        return len(self._samples)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        try:
            return _collate([self._read(self._samples[index]) for index in indices])
        except SampleError as error:
            return Batch(np.empty((0, 0), np.float32), 0, 0, (), error=str(error))

    def _read(self, sample: Sample) -> SampleArrays:
        try:
            if self._tree is None:
                self._tree = open_tree(self._location)
            return read_sample(self._tree, sample)
        except Exception as error:
            # Whatever a library raises for a damaged file or a target that went away.
            raise SampleError(f"{sample.path}: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What an error says, in one line without the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()) or type(error).__name__


def _collate(read: Sequence[SampleArrays]) -> Batch:
    return Batch(
        features=np.stack([sample.features for sample in read]),
        samples=len(read),
        bytes=sum(sample.bytes for sample in read),
        readers=tuple(sorted({sample.reader for sample in read})),
    )
