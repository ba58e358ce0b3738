"""Opening a target's files by its location, in whichever process reads them."""

from __future__ import annotations

from cloudfs_benchmarks.bench.targets.mounted import MountedTree
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.bench.targets.urls import SCHEME


def open_tree(location: str) -> Tree:
    """The files at a path or an nfs:// URL; the caller closes the tree.

    `TargetError` when a server refuses or does not answer, `BenchError` when libnfs is missing.
    """
    return NfsTree(location) if location.startswith(SCHEME) else MountedTree(location)
