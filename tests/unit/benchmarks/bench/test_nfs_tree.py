"""A mounted directory and an export are the same tree to those who read and write them."""

from __future__ import annotations

import io
import os
import random
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cloudfs_benchmarks.bench.demo.ganesha import NfsServer
from cloudfs_benchmarks.bench.errors import BenchError, TargetError
from cloudfs_benchmarks.bench.targets import libnfs, nfs
from cloudfs_benchmarks.bench.targets.mounted import MountedTree
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.tree import Entry, Tree
from cloudfs_benchmarks.bench.targets.urls import NfsUrl

_LARGE = random.Random(5).randbytes(3_500_001)


@pytest.fixture(params=["mounted", "nfs"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place to write to."""
    if request.param == "mounted":
        return str(tmp_path)
    return str(request.getfixturevalue("nfs_folder"))


@pytest.fixture
def tree(location: str) -> Iterator[Tree]:
    opened = open_tree(location)
    yield opened
    opened.close()


def test_reads_what_was_written(tree: Tree) -> None:
    parts = [_LARGE[:100], memoryview(_LARGE)[100:2_000_000], b"", _LARGE[2_000_000:]]
    assert tree.write("a file", parts, sync=True) == len(_LARGE)
    assert tree.size("a file") == len(_LARGE)
    with tree.open("a file") as file:
        assert file.read() == _LARGE


def test_a_read_fills_its_buffer_up_to_the_end(tree: Tree) -> None:
    tree.write("file", [_LARGE], sync=False)
    buffer = bytearray(3_000_000)
    with tree.open("file") as file:
        assert file.readinto(buffer) == len(buffer)
        assert buffer == _LARGE[: len(buffer)]
        assert file.readinto(buffer) == 500_001
        assert buffer[:500_001] == _LARGE[3_000_000:]
        assert file.readinto(buffer) == 0
        assert file.seek(-1, os.SEEK_END) == len(_LARGE) - 1
        assert file.read() == _LARGE[-1:]
        assert file.seek(1_000_000) == file.tell() == 1_000_000
        assert file.seek(5, os.SEEK_CUR) == 1_000_005
        assert file.read(7) == _LARGE[1_000_005:1_000_012]
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-1)


def test_libraries_read_through_it(tree: Tree) -> None:
    stored = io.BytesIO()
    np.savez(stored, pressure=np.arange(500_000.0))
    tree.write("fields.npz", [stored.getvalue()], sync=False)
    with tree.open("fields.npz") as file, zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
    with tree.open("fields.npz") as file, np.load(file) as fields:
        assert fields["pressure"].sum() == 124_999_750_000.0


def test_lists_files_and_folders_in_order(tree: Tree) -> None:
    tree.make_folder("b")
    tree.make_folder("b/inner")
    tree.write("c", [b"123"], sync=False)
    tree.write("a", [b""], sync=False)
    tree.write("b/inner/z", [b"1"], sync=False)
    tree.write("b/y", [b"22"], sync=False)
    assert tree.entries("") == [Entry("a", False, 0), Entry("b", True, 0), Entry("c", False, 3)]
    assert list(tree.walk("")) == [("a", 0), ("c", 3), ("b/y", 2), ("b/inner/z", 1)]
    assert list(tree.walk("b/inner")) == [("b/inner/z", 1)]


def test_a_mounted_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    _fill_with_links(tmp_path)
    tree = MountedTree(str(tmp_path))
    assert list(tree.walk("")) == [("file", 5), ("to-file", 5)]
    assert [entry.name for entry in tree.entries("")] == ["file", "folder", "to-file"]
    with tree.open("to-file") as file:
        assert file.read() == b"12345"


def test_libnfs_lists_no_links(nfs_server: NfsServer, tmp_path: Path) -> None:
    # Before the server has seen the folder: it remembers names.
    top = _export_of(nfs_server.pid) / f"links-{tmp_path.name}"
    top.mkdir()
    _fill_with_links(top)
    tree = NfsTree(f"{nfs_server.url.partition('?')[0]}/{top.name}")
    assert list(tree.walk("")) == [("file", 5)]
    assert [entry.name for entry in tree.entries("")] == ["file", "folder"]
    tree.close()


def _fill_with_links(top: Path) -> None:
    (top / "folder").mkdir()
    (top / "file").write_bytes(b"12345")
    (top / "to-file").symlink_to("file")
    (top / "to-folder").symlink_to("folder")
    (top / "circle").symlink_to(".")
    (top / "broken").symlink_to("nothing")
    os.mkfifo(top / "pipe")


def _export_of(pid: int) -> Path:
    command = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")
    configuration = Path(command[command.index("-f") + 1]).read_text(encoding="utf-8")
    found = re.search(r' Path = "([^"]*)"', configuration)
    assert found is not None
    return Path(found[1])


def test_removes_what_is_named_and_nothing_else(tree: Tree) -> None:
    tree.make_folder("folder")
    tree.write("folder/file", [b"1"], sync=False)
    with pytest.raises(OSError, match=r"not empty"):
        tree.remove_folder("folder")
    tree.remove("folder/file")
    tree.remove_folder("folder")
    assert tree.entries("") == []


@pytest.mark.parametrize("path", ["", "/", "..", "a/../b", "/etc", "a//b", "./a", "a/"])
def test_nothing_is_changed_outside(tree: Tree, path: str) -> None:
    changes = (tree.remove, tree.remove_folder, tree.make_folder)
    for change in changes:
        with pytest.raises(ValueError, match="below the root"):
            change(path)
    with pytest.raises(ValueError, match="below the root"):
        tree.write(path, [b""], sync=False)


def test_errors_have_their_number_and_path(tree: Tree) -> None:
    tree.make_folder("folder")
    tree.write("file", [b"1"], sync=False)
    with pytest.raises(FileExistsError):
        tree.write("file", [b"2"], sync=False)
    with pytest.raises(FileExistsError):
        tree.make_folder("folder")
    with pytest.raises(IsADirectoryError):
        tree.open("folder")
    with pytest.raises(NotADirectoryError):
        tree.entries("file")
    for call in (tree.open, tree.size, tree.entries, tree.remove, tree.remove_folder):
        with pytest.raises(FileNotFoundError) as caught:
            call("missing")
        assert str(caught.value.filename).endswith("missing")


def test_a_failed_open_spoils_no_later_one(tree: Tree) -> None:
    tree.write("file", [b"contents"], sync=False)
    held = tree.open("file")
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            tree.open("missing")
        with tree.open("file") as file:
            assert file.read() == b"contents"
    assert held.read() == b"contents"
    held.close()
    with pytest.raises(ValueError, match="closed file"):
        held.read()


def test_a_tree_is_opened_again_by_its_location(tree: Tree) -> None:
    tree.write("file", [b"contents"], sync=False)
    again = open_tree(tree.location)
    file = again.open("file")
    again.close()
    assert file.read() == b"contents"
    file.close()


def test_only_mounted_files_have_a_path(tree: Tree, location: str) -> None:
    nfs = location.startswith("nfs://")
    assert tree.native("a/b") == (None if nfs else f"{location}/a/b")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nfs://127.0.0.1:1/export", "refuses or does not answer"),
        ("nfs://nowhere.invalid/export", "refuses or does not answer"),
        ("nfs://127.0.0.1", "not the URL of an NFS export"),
        ("nfs:///export", "not the URL of an NFS export"),
        ("nfs://host/", "not the URL of an NFS export"),
        ("nfs://host/a/../b", "no `..`"),
        ("nfs://host/a?version=2", "use 3 or 4"),
        ("nfs://host/a?nfsport=70000", "not a number"),
        ("nfs://host/a?readahead=5", "unknown option readahead"),
    ],
)
def test_a_bad_export_is_told_in_one_line(url: str, words: str) -> None:
    with pytest.raises(BenchError, match=words) as caught:
        NfsTree(url)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TargetError)


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libnfs, "_SONAMES", ("libnfs.so.999",))
    libnfs.library.cache_clear()
    try:
        assert libnfs.version() is None
        with pytest.raises(BenchError, match="apt-get install libnfs13"):
            NfsTree("nfs://server/export")
    finally:
        libnfs.library.cache_clear()


def test_a_missing_export_is_told(nfs_server: NfsServer) -> None:
    url = f"{nfs_server.url.partition('?')[0]}-missing"
    with pytest.raises(TargetError, match="No such file or directory"):
        NfsTree(url)


def test_files_of_two_trees_live_side_by_side(nfs_folder: str) -> None:
    first, second = open_tree(nfs_folder), open_tree(nfs_folder)
    first.write("file", [b"contents"], sync=False)
    files = [tree.open("file") for tree in (first, second, first)]
    assert [file.read() for file in files] == [b"contents"] * 3
    for held in (*files, first, second):
        held.close()


def test_an_idle_connection_is_replaced_and_open_files_keep_theirs(
    nfs_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nfs, "_IDLE_S", -1.0)
    made: list[libnfs.Session] = []

    class Noted(libnfs.Session):
        def __init__(self, url: NfsUrl) -> None:
            super().__init__(url)
            made.append(self)

    monkeypatch.setattr(nfs, "Session", Noted)
    with closing(NfsTree(nfs_folder)) as tree:
        tree.write("a", [b"first"], sync=True)
        with tree.open("a") as file:
            assert [entry.name for entry in tree.entries("")] == ["a"]
            assert file.read() == b"first"
    assert len(made) >= 3
    assert all(session.broken for session in made)
