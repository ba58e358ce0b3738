"""Data sets and trees that the tests of data and training share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cloudfs_benchmarks.bench.data.files import DataSet, File, Format, Sample
from cloudfs_benchmarks.bench.data.own import write_own
from cloudfs_benchmarks.bench.results import CacheState, Kind, Target
from cloudfs_benchmarks.bench.targets.mounted import MountedTree
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.bench.training.job import LoaderKind, TrainingSettings
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.demo.signals import SignalGate

MIB = 1 << 20
SETTINGS = TrainingSettings(workers=2, batch=4, compute_s=0.001, loader=LoaderKind.POOL, epochs=2)
TARGET = Target("local", "/scratch", Kind.LOCAL, "ext4", "/dev/sda", "rw", 128, True, None)


class PathlessTree:
    """A directory whose files have no path, as those on a server that is not mounted."""

    def __init__(self, root: Path) -> None:
        self._mounted = MountedTree(str(root))
        self.location = self._mounted.location
        for name in ("open", "entries", "size", "walk", "close"):
            setattr(self, name, getattr(self._mounted, name))

    def native(self, path: str) -> None:
        """There is none."""


def mounted(root: Path) -> Tree:
    return MountedTree(str(root))


def pathless(root: Path) -> Tree:
    tree: Tree = PathlessTree(root)  # type: ignore[assignment]
    return tree


def write_small(folder: Path, seed: int = 1, processes: int = 1) -> Path:
    """A data set of 8 MiB."""
    write_own(folder, 8 * MIB, seed, processes=processes, progress=lambda _: None)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def raw_data(folder: Path, count: int, size: int = 1000) -> DataSet:
    """Write plain files `N.raw`, and the data set of them."""
    samples = []
    for number in range(count):
        name = f"{number}.raw"
        (folder / name).write_bytes(bytes([number]) * size)
        samples.append(Sample(name, Format.RAW, size))
    return data_of(samples)


def data_of(samples: Sequence[Sample]) -> DataSet:
    """A data set of nothing but samples."""
    return replace(DataSet("", False, (), (), (), ()), samples=tuple(samples))


def set_of(root: str = "", **sizes: int) -> DataSet:
    """A data set of files by name and size, all of them large."""
    files = tuple(File(f"{root}/{name}" if root else name, size) for name, size in sizes.items())
    return DataSet(root, False, files, files, (), ())


@contextmanager
def children_in(folder: Path) -> Iterator[Children]:
    """Children that log into `folder` and are gone afterwards."""
    with ExitStack() as stack:
        yield Children(os.environ, folder, stack, SignalGate())


@dataclass(frozen=True)
class Proven:
    """What a run does between epochs, without doing it."""

    text: str
    state: CacheState = CacheState.UNPROVEN
