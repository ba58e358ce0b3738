"""A real NFS server and a real mount for the tests that need one: each once, for all of them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.demo import ganesha
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.demo.signals import SignalGate
from tests.support.mounting import Mounted, can_mount, mounted

MOUNTED_FILES = {"data/a": 700_000, "data/inner/b": 300_000, "other/c": 200_000}


@pytest.fixture(scope="session")
def nfs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ganesha.NfsServer]:
    """An NFS server for all tests, each of which makes a folder of its own, over NFS."""
    if (problem := ganesha.missing()) is not None:
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("ganesha")
    for name in ("export", "logs"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        children = Children(os.environ, folder / "logs", stack, SignalGate())
        yield ganesha.start(children, folder / "own", folder / "export", address="127.0.0.1")


@pytest.fixture
def nfs_folder(nfs_server: ganesha.NfsServer, tmp_path: Path) -> str:
    """The URL of an empty folder of the server."""
    tree = NfsTree(nfs_server.url)
    tree.make_folder(tmp_path.name)
    tree.close()
    return f"{nfs_server.url.partition('?')[0]}/{tmp_path.name}"


@pytest.fixture(scope="session")
def cloudfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """A mounted bucket with `MOUNTED_FILES`; tests leave no pins in it."""
    if (problem := can_mount()) is not None:
        pytest.skip(problem)
    folder = tmp_path_factory.mktemp("mount")
    for name, size in MOUNTED_FILES.items():
        (folder / "bucket" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "bucket" / name).write_bytes(random.Random(name).randbytes(size))
    url = f"file://{folder}/bucket"
    with mounted(url, folder / "mnt", cache_dir=folder / "cache") as mount:
        yield mount
