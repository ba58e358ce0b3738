"""Reading samples as ordinary training code does: the same calls on every target.

Where the kernel has a path for a file, libraries open it themselves; else they get a file object.
Every byte of a sample is read, once.
"""

from __future__ import annotations

import errno
import importlib.util
import io
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any, BinaryIO, cast

import numpy as np

from cloudfs_benchmarks.bench.data.arrays import Array, Features, draw_features, window
from cloudfs_benchmarks.bench.data.files import Format, Sample
from cloudfs_benchmarks.bench.data.vtu import read_arrays
from cloudfs_benchmarks.bench.targets.tree import Tree

RAW_READER = "plain reads"
_BLOCK_BYTES = 1 << 20
# Of file objects that libraries seek in: holds their metadata, reads little that they do not want.
_BUFFER_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class SampleArrays:
    """A sample in memory: the bytes that it took, a few of its values, and what read it."""

    bytes: int
    features: Features
    reader: str


Found = tuple[list[Array], str]
"""Arrays, and what read them."""


def read_sample(tree: Tree, sample: Sample) -> SampleArrays:
    """Read a sample; `OSError` or the library's own error when it cannot be read.

    Bytes are those of the file or of the part of it, as stored. Formats that nothing installed here
    can decode are read as they are, and `reader` says so.
    """
    arrays, reader = _READERS[sample.format](tree, sample)
    return SampleArrays(sample.size, draw_features(arrays), reader)


def preload(formats: Collection[Format]) -> None:
    """Import what reads the formats, so that forked workers need not."""
    if Format.HDF5 in formats and _installed("h5py"):
        import h5py  # noqa: F401, PLC0415 - optional
    if Format.ZARR in formats and _has_zarr():
        import zarr  # noqa: F401, PLC0415 - optional


def _read_vtu(tree: Tree, sample: Sample) -> Found:
    content = _content(tree, sample)
    found = read_arrays(content, sample.path)
    return found if found is not None else ([_as_bytes(content)], RAW_READER)


def _read_hdf5(tree: Tree, sample: Sample) -> Found:
    if not _installed("h5py"):
        return _read_raw(tree, sample)
    import h5py  # noqa: PLC0415 - optional

    arrays: list[Array] = []

    def read(_name: str, found: object) -> None:
        # An array without a dataspace has no shape, and no values.
        if isinstance(found, h5py.Dataset) and found.shape is not None:
            part = window(found.shape, found.chunks, sample.part, sample.parts)
            if part is not None:
                arrays.append(np.asarray(found[part]))

    # Read-only targets and NFS without a lock service have no locks; nobody writes these files.
    with _source(tree, sample.path) as source, h5py.File(source, "r", locking=False) as file:
        file.visititems(read)
    return arrays, f"h5py {metadata.version('h5py')}"


def _read_npz(tree: Tree, sample: Sample) -> Found:
    try:
        with _source(tree, sample.path) as source, np.load(source) as file:
            return [file[name] for name in file.files], _NUMPY
    except ValueError as error:
        return _read_objects(tree, sample, error)


def _read_npy(tree: Tree, sample: Sample) -> Found:
    try:
        return _read_rows(tree, sample)
    except ValueError as error:
        return _read_objects(tree, sample, error)


def _read_objects(tree: Tree, sample: Sample, error: ValueError) -> Found:
    """Arrays of Python objects are pickles, which run code: their bytes are read, no more."""
    # NumPy has no class of its own for this refusal.
    if "Object arrays" not in str(error) and "Python objects" not in str(error):
        raise error
    return _read_raw(tree, sample)


def _read_rows(tree: Tree, sample: Sample) -> Found:
    native = tree.native(sample.path)
    if native is not None:
        mapped = np.load(native, mmap_mode="r")
        rows = window(mapped.shape, None, sample.part, sample.parts)
        return [] if rows is None else [np.array(mapped[rows])], f"{_NUMPY} (mapped)"
    with _buffered(tree, sample.path) as file:
        return [_npy_part(file, sample)], _NUMPY


def _npy_part(file: BinaryIO, sample: Sample) -> Array:
    """The same part as of a mapped array where its rows lie one after the other."""
    version = np.lib.format.read_magic(file)
    reads_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in reads_header:
        raise ValueError(f"format {version} of .npy files is not known")
    shape, _, dtype = reads_header[version](file)
    if dtype.hasobject:
        raise ValueError("Python objects in dtype")
    count = int(np.prod(shape, dtype=np.int64))
    first = count * sample.part // sample.parts
    last = count * (sample.part + 1) // sample.parts
    file.seek(first * dtype.itemsize, io.SEEK_CUR)
    values = np.empty(last - first, dtype)
    _fill(file, values.view(np.uint8).data, sample)
    return values


def _read_zarr(tree: Tree, sample: Sample) -> Found:
    if not _has_zarr():
        return _read_folder(tree, sample)
    import zarr  # noqa: PLC0415 - optional

    native = tree.native(sample.path)
    store: Any = native
    if native is None:
        from cloudfs_benchmarks.bench.data.zarr_store import TreeStore  # noqa: PLC0415 - zarr

        store = TreeStore(tree, sample.path)
    opened = zarr.open(store=store, mode="r")
    if isinstance(opened, zarr.Group):
        members = [found for _, found in sorted(opened.members(max_depth=None), key=_name)]
    else:
        members = [opened]
    arrays = []
    for member in members:
        if isinstance(member, zarr.Array):
            part = window(member.shape, member.shards or member.chunks, sample.part, sample.parts)
            if part is not None:
                arrays.append(np.asarray(member[part]))
    return arrays, f"zarr {zarr.__version__}"


def _read_folder(tree: Tree, sample: Sample) -> Found:
    """A share of the files below a folder."""
    paths = [path for path, _ in tree.walk(sample.path)]
    for path in paths[sample.part :: sample.parts]:
        with closing(tree.open(path)) as file:
            while file.read(_BLOCK_BYTES):
                pass
    return [], RAW_READER


def _read_raw(tree: Tree, sample: Sample) -> Found:
    """A range of the file, block by block."""
    buffer = np.empty(min(_BLOCK_BYTES, sample.size), np.uint8)
    first: Array | None = None
    with closing(tree.open(sample.path)) as file:
        if sample.part:
            size = tree.size(sample.path)
            file.seek(size * sample.part // sample.parts)
        left = sample.size
        while left:
            piece = buffer[: min(left, len(buffer))]
            _fill(file, piece.data, sample)
            first = piece.copy() if first is None else first
            left -= len(piece)
    return [] if first is None else [first], RAW_READER


def _content(tree: Tree, sample: Sample) -> bytes:
    content = bytearray(sample.size)
    with closing(tree.open(sample.path)) as file:
        _fill(file, memoryview(content), sample)
    return bytes(content)


def _fill(file: BinaryIO, view: memoryview, sample: Sample) -> None:
    """Fill `view`; a target that gives too few bytes has failed."""
    while view:
        # Typeshed gives `readinto` to the concrete classes only.
        length = file.readinto(view)  # type: ignore[attr-defined]
        if not length:
            raise OSError(errno.EIO, "the file ends before its size", sample.path)
        view = view[length:]


@contextmanager
def _source(tree: Tree, path: str) -> Iterator[str | BinaryIO]:
    """What a library opens: a path, or a file object."""
    native = tree.native(path)
    if native is not None:
        yield native
        return
    with _buffered(tree, path) as file:
        yield file


@contextmanager
def _buffered(tree: Tree, path: str) -> Iterator[BinaryIO]:
    with closing(tree.open(path)) as raw:
        # Reads in full, whatever the target gives at once.
        yield io.BufferedReader(cast("io.RawIOBase", raw), _BUFFER_BYTES)


def _name(member: tuple[str, Any]) -> str:
    return member[0]


def _as_bytes(content: bytes) -> Array:
    return np.frombuffer(content, np.uint8)


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _has_zarr() -> bool:
    """Whether zarr is installed in a version that reads its format 3."""
    return _installed("zarr") and int(metadata.version("zarr").partition(".")[0]) >= 3


_NUMPY = f"NumPy {np.__version__}"
_READERS: dict[Format, Callable[[Tree, Sample], Found]] = {
    Format.VTU: _read_vtu,
    Format.HDF5: _read_hdf5,
    Format.NPZ: _read_npz,
    Format.NPY: _read_npy,
    Format.ZARR: _read_zarr,
    Format.RAW: _read_raw,
}
