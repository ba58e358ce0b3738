"""Reading files back and comparing their digests: with those written, or between targets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import closing

from cloudfs_benchmarks.bench.data.files import DataSet, File
from cloudfs_benchmarks.bench.data.manifest import digest_of
from cloudfs_benchmarks.bench.data.scan import relative
from cloudfs_benchmarks.bench.targets.tree import Tree


def digest_sample(tree: Tree, data_set: DataSet, limit_bytes: int, seed: int) -> dict[str, str]:
    """XXH3-64 of a random choice of files of at most `limit_bytes` in all, by path below the root.

    The same seed chooses the same files on targets with the same data; at least one, the smallest,
    whatever its size. They are in the page cache afterwards. `OSError` is the target's.
    """
    digests = {}
    for file in _choose(data_set, limit_bytes, seed):
        with closing(tree.open(file.path)) as content:
            digests[relative(data_set, file.path)] = digest_of(content).hexadecimal
    return digests


def altered(data_set: DataSet, digests: Mapping[str, str]) -> list[str]:
    """The paths that do not hold what was written; `digests` as of `digest_sample`.

    For data of the benchmark's own: `ValueError` for others, whose digests nobody has.
    """
    if not data_set.own:
        raise ValueError("only the benchmark's own data have digests to compare with")
    written = {relative(data_set, file.path): file.digest for file in data_set.files}
    return sorted(path for path, digest in digests.items() if digest != written[path])


def differing(digests: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The paths that differ between targets; `digests` as of `digest_sample`, by target."""
    paths = {path for found in digests.values() for path in found}
    return sorted(p for p in paths if len({found.get(p) for found in digests.values()}) > 1)


def _choose(data_set: DataSet, limit_bytes: int, seed: int) -> list[File]:
    files = sorted(data_set.files, key=lambda file: relative(data_set, file.path))
    random.Random(seed).shuffle(files)
    chosen = []
    left = limit_bytes
    for file in files:
        if file.size <= left:
            chosen.append(file)
            left -= file.size
    return chosen or [min(files, key=lambda file: file.size)]
