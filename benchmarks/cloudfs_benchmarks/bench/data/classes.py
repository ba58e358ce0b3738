"""What files are good for: throughput, opens, samples of a loader. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from cloudfs_benchmarks.bench.data.files import File, Format, Sample
from cloudfs_benchmarks.bench.data.manifest import MANIFEST_NAME

LARGE_MIN = 16 << 20
SMALL_MAX = 1 << 20
PART_BYTES = 16 << 20
"""What a loader reads at once of a file of more than twice that."""

_FORMATS = {
    ".vtu": Format.VTU,
    ".vtp": Format.VTU,
    ".h5": Format.HDF5,
    ".hdf5": Format.HDF5,
    ".npz": Format.NPZ,
    ".npy": Format.NPY,
}
# The others are read as a whole or not at all.
_DIVISIBLE = frozenset({Format.HDF5, Format.NPY, Format.ZARR, Format.RAW})
_ZARR_SUFFIX = ".zarr"
_ZARR_MARKS = frozenset({"zarr.json", ".zgroup", ".zarray"})
_MANIFESTS = frozenset({MANIFEST_NAME, "manifest.json"})


def classify(files: Sequence[File]) -> tuple[tuple[File, ...], tuple[File, ...]]:
    """The large files, largest first, and the small ones; one file may be in both or in none.

    Large are those of 16 MiB or more, or where there are none, the largest that make up a quarter
    of all bytes. Small are those of at most 1 MiB. Empty files are neither.
    """
    by_size = sorted((file for file in files if file.size), key=lambda f: (-f.size, f.path))
    small = tuple(file for file in files if 0 < file.size <= SMALL_MAX)
    large = [file for file in by_size if file.size >= LARGE_MIN]
    if not large:
        wanted = sum(file.size for file in files) / 4
        for file in by_size:
            large.append(file)
            wanted -= file.size
            if wanted <= 0:
                break
    return tuple(large), small


def samples_of(files: Iterable[File], root: str) -> tuple[Sample, ...]:
    """What a loader reads of the files: each file, each outermost Zarr hierarchy, or parts of them.

    Manifests, hidden files and empty ones are left out. Ordered by path.
    """
    files = list(files)
    hierarchies = _Hierarchies(files, root)
    sizes: dict[tuple[str, Format], int] = {}
    for file in files:
        folder = hierarchies.outermost(_parent(file.path))
        path = PurePosixPath(file.path)
        if folder is not None:
            key = (folder, Format.ZARR)
        elif path.name in _MANIFESTS or path.name.startswith("."):
            continue
        else:
            key = (file.path, _FORMATS.get(path.suffix.lower(), Format.RAW))
        sizes[key] = sizes.get(key, 0) + file.size
    wholes = sorted((path, kind, size) for (path, kind), size in sizes.items() if size)
    return tuple(part for whole in wholes for part in _parts(*whole))


def _parts(path: str, kind: Format, size: int) -> Iterator[Sample]:
    huge = kind in _DIVISIBLE and size > 2 * PART_BYTES
    parts = round(size / PART_BYTES) if huge else 1
    for part in range(parts):
        share = size * (part + 1) // parts - size * part // parts
        yield Sample(path, kind, share, part, parts)


class _Hierarchies:
    """Which folders belong to a Zarr group or array, and to which outermost one."""

    def __init__(self, files: Iterable[File], root: str) -> None:
        self._root = root
        self._marked = {
            _parent(file.path) for file in files if PurePosixPath(file.path).name in _ZARR_MARKS
        }
        self._known: dict[str, str | None] = {}

    def outermost(self, folder: str) -> str | None:
        """The outermost Zarr folder that is `folder` or holds it; None without one."""
        if folder not in self._known:
            above = None if folder in (self._root, "") else self.outermost(_parent(folder))
            itself = folder in self._marked or folder.endswith(_ZARR_SUFFIX)
            self._known[folder] = above if above is not None else folder if itself else None
        return self._known[folder]


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
