"""Disjoint shares of a data set, for trials that must read files nobody has read yet. Pure."""

from __future__ import annotations

from cloudfs_benchmarks.bench.data.files import DataSet, File, Sample


def portion(data_set: DataSet, index: int, count: int) -> DataSet:
    """Share `index` (from 0) of `count`: every file is in one share, and in one only.

    Files stay whole, Zarr hierarchies too. Large files, small files and what samples are made of
    are dealt out one after the other, each kind by its bytes; with fewer files than shares, some
    shares have none. `ValueError` unless 0 <= index < count.
    """
    if not 0 <= index < count:
        raise ValueError(f"there is no share {index} of {count}")
    hierarchies = _hierarchies(data_set)
    owners = _deal(data_set, hierarchies, count)

    def mine(path: str) -> bool:
        return owners[hierarchies.get(path, path)] == index

    return DataSet(
        root=data_set.root,
        own=data_set.own,
        files=tuple(file for file in data_set.files if mine(file.path)),
        large=tuple(file for file in data_set.large if mine(file.path)),
        small=tuple(file for file in data_set.small if mine(file.path)),
        samples=tuple(sample for sample in data_set.samples if mine(sample.path)),
    )


def _deal(data_set: DataSet, hierarchies: dict[str, str], count: int) -> dict[str, int]:
    """The share of every file and hierarchy."""
    owners: dict[str, int] = {}
    kinds: tuple[tuple[File | Sample, ...], ...] = (
        *(data_set.large, data_set.small, data_set.samples, data_set.files),
    )
    for kind in kinds:
        sizes: dict[str, int] = {}
        for item in kind:
            unit = hierarchies.get(item.path, item.path)
            sizes[unit] = sizes.get(unit, 0) + item.size
        loads = [0] * count
        for unit, size in sorted(sizes.items(), key=lambda pair: (-pair[1], pair[0])):
            owner = owners.setdefault(unit, loads.index(min(loads)))
            loads[owner] += size
    return owners


def _hierarchies(data_set: DataSet) -> dict[str, str]:
    """The Zarr hierarchy of each file that belongs to one, by the file's path."""
    paths = {file.path for file in data_set.files}
    folders = {sample.path for sample in data_set.samples if sample.path not in paths}
    found = {}
    for path in paths:
        parts = path.split("/")
        for length in range(1, len(parts)):
            folder = "/".join(parts[:length])
            if folder in folders:
                found[path] = folder
    return found
