"""The files of a data set, by what they are measured with, and a loader's samples of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """How a sample is read."""

    VTU = "vtu"
    HDF5 = "hdf5"
    NPZ = "npz"
    NPY = "npy"
    ZARR = "zarr"
    RAW = "raw"  # anything else: its bytes


@dataclass(frozen=True, slots=True)
class File:
    """A file, its path relative to the target's root and its size in bytes.

    `digest` is XXH3-64 as 16 hexadecimal digits, "" where nobody has written it down.
    """

    path: str
    size: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a loader reads at once: a file or a Zarr group, or one of the parts of a huge array.

    Every epoch reads every sample once, so it reads every byte once. `size` is about what is read.
    """

    path: str
    format: Format
    size: int
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True)
class DataSet:
    """The files below `root`, which is relative to the target: the same on every target.

    `large` are for throughput and random access, `small` for opens, `samples` for training. `own`
    says that the benchmark wrote it and knows its digests.
    """

    root: str
    own: bool
    files: tuple[File, ...]
    large: tuple[File, ...]
    small: tuple[File, ...]
    samples: tuple[Sample, ...]

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(file.size for file in self.files)
