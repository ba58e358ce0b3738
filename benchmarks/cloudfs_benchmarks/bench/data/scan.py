"""Which files a data set has, on a target: the manifest of the benchmark's own, or a walk."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import closing

from cloudfs_benchmarks.bench.data.classes import classify, samples_of
from cloudfs_benchmarks.bench.data.files import DataSet, File
from cloudfs_benchmarks.bench.data.manifest import MANIFEST_NAME, Manifest
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.targets.tree import Tree

FILES_MAX = 1_000_000
_CHECKED_FILES = 8
_ZARR_NAMES = frozenset({".zgroup", ".zarray", ".zattrs", ".zmetadata"})


def read_data_set(tree: Tree, root: str, *, files_max: int = FILES_MAX) -> DataSet:
    """The data set below `root`, a folder of the target; "" is all of it.

    Files and folders whose names start with a dot are left out, but for those of Zarr. `BenchError`
    when nothing is there, when there is too much, and when what the manifest lists is not there.
    """
    where = f"{tree.location}/{root}".rstrip("/")
    manifest = _read_manifest(tree, root, where)
    if manifest is not None:
        return _own(tree, root, where, manifest)
    files = _walk(tree, root, where, files_max)
    large, small = classify(files)
    return DataSet(root, False, files, large, small, samples_of(files, root))


def same_everywhere(data_sets: Mapping[str, DataSet]) -> None:
    """Check that all targets, by name, have the same paths and sizes; `BenchError` if not."""
    listings = {name: relative_sizes(data_set) for name, data_set in data_sets.items()}
    for one, other in itertools.pairwise(listings):
        difference = _difference(one, listings[one], other, listings[other])
        if difference:
            raise BenchError(
                f"the targets hold different data: {difference}; "
                "copy the same files to every target"
            )


def relative_sizes(data_set: DataSet) -> dict[str, int]:
    """Size in bytes by path below the data set's root."""
    return {relative(data_set, file.path): file.size for file in data_set.files}


def relative(data_set: DataSet, path: str) -> str:
    """A path of the data set below its root."""
    return path.removeprefix(f"{data_set.root}/") if data_set.root else path


def _read_manifest(tree: Tree, root: str, where: str) -> Manifest | None:
    path = _join(root, MANIFEST_NAME)
    try:
        with closing(tree.open(path)) as file:
            content = b"".join(iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise _nothing(where) from None
    return Manifest.parse(content, f"{where}/{MANIFEST_NAME}")


def _own(tree: Tree, root: str, where: str, manifest: Manifest) -> DataSet:
    files = tuple(File(_join(root, f.path), f.size, f.digest) for f in manifest.files)
    if not files:
        raise _nothing(where)
    # A few, spread over all folders: a copy that was cut short is noticed, and nothing is walked.
    for file in files[:: -(-len(files) // _CHECKED_FILES)]:
        size = _size(tree, file.path)
        if size != file.size:
            found = "is missing" if size is None else f"has {size} bytes"
            raise BenchError(
                f"{tree.location}/{file.path} {found}, {MANIFEST_NAME} says {file.size} bytes: "
                "copy the data set again, all of it"
            )
    folders = {
        name: tuple(file for file in files if file.path.startswith(_join(root, f"{name}/")))
        for name in ("large", "small", "cases", "huge")
    }
    samples = samples_of(folders["cases"] + folders["huge"], root)
    return DataSet(root, True, files, folders["large"], folders["small"], samples)


def _walk(tree: Tree, root: str, where: str, files_max: int) -> tuple[File, ...]:
    files: list[File] = []
    try:
        for path, size in tree.walk(root):
            if _hidden(path if not root else path.removeprefix(f"{root}/")):
                continue
            if len(files) == files_max:
                raise BenchError(
                    f"{where} holds more than {files_max} files: "
                    "name a folder with fewer by --dataset"
                )
            files.append(File(path, size))
    except (FileNotFoundError, NotADirectoryError):
        raise _nothing(where) from None
    if not any(file.size for file in files):
        raise _nothing(where)
    return tuple(files)


def _hidden(path: str) -> bool:
    return any(part.startswith(".") and part not in _ZARR_NAMES for part in path.split("/"))


def _size(tree: Tree, path: str) -> int | None:
    try:
        return tree.size(path)
    except FileNotFoundError:
        return None


def _nothing(where: str) -> BenchError:
    return BenchError(
        f"{where} holds no data: name a folder with files by --dataset, "
        "or write one with `cloudfs bench data DIR` and copy it there"
    )


def _difference(one: str, mine: Mapping[str, int], other: str, theirs: Mapping[str, int]) -> str:
    """The first path, in order, that is not the same; "" without one."""
    for path in sorted(mine.keys() | theirs.keys()):
        if path not in theirs:
            return f"{path} is on {one} and not on {other}"
        if path not in mine:
            return f"{path} is on {other} and not on {one}"
        if mine[path] != theirs[path]:
            sizes = f"{mine[path]} bytes on {one} and {theirs[path]} on {other}"
            return f"{path} has {sizes}"
    return ""


def _join(root: str, path: str) -> str:
    return f"{root}/{path}" if root else path
