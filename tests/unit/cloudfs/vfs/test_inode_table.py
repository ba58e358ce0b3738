"""Inodes are kept exactly as long as the kernel, a handle or a child needs them."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cloudfs.vfs.inode import Inode
from cloudfs.vfs.inode_table import ROOT_INO, InodeTable
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs_backends.api import ObjectInfo

NAMES = (b"a", b"b", b"c")


def info(
    key: str, version: int = 1, *, has_metadata: bool = False, mtime_ns: int = 0
) -> ObjectInfo:
    return ObjectInfo(key, 10, f'"{version}"', mtime_ns, has_metadata, has_metadata)


def entry(name: bytes, found: ObjectInfo | None) -> DirectoryEntry:
    """A file when there is an object of the name, else a directory."""
    return DirectoryEntry(name, InodeKind.FILE if found else InodeKind.DIRECTORY, found)


def look_up(table: InodeTable, parent: Inode, name: bytes, found: ObjectInfo | None) -> Inode:
    """Enter and reference an inode, as for one LOOKUP of the kernel."""
    inode = table.enter(parent, entry(name, found))
    inode.lookups += 1
    return inode


def test_a_name_keeps_its_inode_while_its_version_stays() -> None:
    table = InodeTable()
    first = look_up(table, table.root, b"f", info("f"))
    assert look_up(table, table.root, b"f", info("f")) is first
    assert table.get(first.ino) is first
    assert first.lookups == 2


@pytest.mark.parametrize(
    "changed",
    [info("f", 2), ObjectInfo("f", 11, '"1"', 0), None],
    ids=["etag", "size", "became a directory"],
)
def test_a_changed_name_gets_another_inode(changed: ObjectInfo | None) -> None:
    table = InodeTable()
    old = look_up(table, table.root, b"f", info("f"))
    new = look_up(table, table.root, b"f", changed)
    assert new.ino != old.ino
    assert (old.is_stale, new.is_stale) == (True, False)
    assert table.root.children == {b"f": new}
    # The old one is still the kernel's until it says so.
    assert table.get(old.ino) is old
    assert old.info == info("f")


def test_a_directory_that_became_a_file_keeps_what_is_below_reachable() -> None:
    table = InodeTable()
    directory = look_up(table, table.root, b"d", None)
    inside = look_up(table, directory, b"f", info("d/f"))
    file = look_up(table, table.root, b"d", info("d"))
    table.forget(directory.ino, 1)
    assert table.get(inside.ino).parent is directory
    table.forget(inside.ino, 1)
    table.forget(file.ino, 1)
    assert list(table) == [table.root]


def test_a_file_without_an_object_is_no_directory() -> None:
    table = InodeTable()
    created = table.enter(table.root, DirectoryEntry(b"f", InodeKind.FILE))
    created.lookups += 1
    assert (created.is_directory, created.key) == (False, "f")
    assert table.enter(table.root, DirectoryEntry(b"f", InodeKind.FILE)) is created
    directory = look_up(table, table.root, b"f", None)
    assert (directory.is_directory, directory.key) == (True, "f/")
    assert (created.is_stale, directory.is_stale) == (True, False)
    assert table.enter(table.root, entry(b"f", info("f"))) is not directory


def test_numbers_are_never_used_twice() -> None:
    table = InodeTable()
    seen = set()
    for _ in range(50):
        inode = look_up(table, table.root, b"f", info("f"))
        assert inode.ino not in seen
        seen.add(inode.ino)
        table.forget(inode.ino, 1)


def test_metadata_of_the_same_version_is_not_lost_to_a_listing() -> None:
    table = InodeTable()
    inode = look_up(table, table.root, b"f", info("f", has_metadata=True, mtime_ns=7))
    look_up(table, table.root, b"f", info("f", mtime_ns=9))
    assert inode.info == info("f", has_metadata=True, mtime_ns=7)
    look_up(table, table.root, b"f", info("f", has_metadata=True, mtime_ns=8))
    assert inode.info == info("f", has_metadata=True, mtime_ns=8)


def test_an_open_file_outlives_its_references() -> None:
    table = InodeTable()
    inode = look_up(table, table.root, b"f", info("f"))
    inode.opens += 1
    table.forget(inode.ino, 1)
    assert table.get(inode.ino) is inode
    table.close(inode)
    assert list(table) == [table.root]


def test_a_directory_lives_as_long_as_something_below_it() -> None:
    table = InodeTable()
    outer = look_up(table, table.root, b"outer", None)
    inner = look_up(table, outer, b"inner", None)
    file = look_up(table, inner, b"f", info("outer/inner/f"))
    table.forget(outer.ino, 1)
    table.forget(inner.ino, 1)
    assert len(table) == 4
    table.forget(file.ino, 1)
    assert list(table) == [table.root]
    assert table.root.children == {}


def test_the_root_is_never_dropped() -> None:
    table = InodeTable()
    table.forget(ROOT_INO, 1_000_000)
    table.root.opens += 1
    table.close(table.root)
    table.collect(table.root)
    assert table.get(ROOT_INO) is table.root


def test_a_forget_of_an_unknown_inode_is_ignored() -> None:
    table = InodeTable()
    table.forget(12345, 1)
    assert list(table) == [table.root]


def test_an_entry_that_was_not_handed_out_is_dropped() -> None:
    table = InodeTable()
    known = look_up(table, table.root, b"known", info("known"))
    for name in (b"fresh", b"known"):
        table.collect(table.enter(table.root, entry(name, info(name.decode()))))
    assert set(table) == {table.root, known}


class Kernel(RuleBasedStateMachine):
    """A kernel that looks up, opens, closes and forgets at random, and keeps its own books."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InodeTable()
        self.lookups: dict[Inode, int] = {}
        self.opens: dict[Inode, int] = {}
        self.version = 0

    def directories(self) -> list[Inode]:
        return [self.table.root, *(i for i in self.lookups if i.is_directory)]

    @rule(data=st.data(), name=st.sampled_from(NAMES), kind=st.sampled_from(["file", "new", "dir"]))
    def look_up(self, data: st.DataObject, name: bytes, kind: str) -> None:
        parent = data.draw(st.sampled_from(self.directories()))
        self.version += kind == "new"
        found = None if kind == "dir" else info(parent.key + name.decode(), self.version)
        inode = look_up(self.table, parent, name, found)
        self.lookups[inode] = self.lookups.get(inode, 0) + 1

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def read_an_entry_that_does_not_fit_the_reply(self, data: st.DataObject, name: bytes) -> None:
        parent = data.draw(st.sampled_from(self.directories()))
        key = parent.key + name.decode()
        self.table.collect(self.table.enter(parent, entry(name, info(key, self.version))))

    @precondition(lambda self: self.lookups)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        inode = data.draw(st.sampled_from(list(self.lookups)))
        count = data.draw(st.integers(1, self.lookups[inode]))
        self.lookups[inode] -= count
        if not self.lookups[inode]:
            del self.lookups[inode]
        self.table.forget(inode.ino, count)

    @precondition(lambda self: self.lookups)
    @rule(data=st.data())
    def open(self, data: st.DataObject) -> None:
        inode = data.draw(st.sampled_from(list(self.lookups)))
        inode.opens += 1
        self.opens[inode] = self.opens.get(inode, 0) + 1

    @precondition(lambda self: self.opens)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        inode = data.draw(st.sampled_from(list(self.opens)))
        self.opens[inode] -= 1
        if not self.opens[inode]:
            del self.opens[inode]
        self.table.close(inode)

    @precondition(lambda self: self.lookups)
    @rule(data=st.data())
    def see_a_name_change(self, data: st.DataObject) -> None:
        self.table.mark_stale(data.draw(st.sampled_from(list(self.lookups))))

    @invariant()
    def nothing_is_lost_and_nothing_leaks(self) -> None:
        held = {self.table.root, *self.lookups, *self.opens}
        assert all(self.table.get(inode.ino) is inode for inode in held)
        needed = {ancestor for inode in held for ancestor in _named_lineage(inode)}
        # A directory may wait for the end of what was replaced in it; nothing else may linger.
        allowed = {ancestor for inode in held for ancestor in _lineage(inode)}
        assert needed <= set(self.table) <= allowed

    @invariant()
    def books_agree(self) -> None:
        for inode in self.table:
            if inode is not self.table.root:
                assert inode.lookups == self.lookups.get(inode, 0)
                assert inode.opens == self.opens.get(inode, 0)
            assert all(not child.is_stale for child in inode.children.values())

    def teardown(self) -> None:
        for inode, count in self.lookups.items():
            self.table.forget(inode.ino, count)
        for inode, count in self.opens.items():
            for _ in range(count):
                self.table.close(inode)
        assert list(self.table) == [self.table.root]
        assert self.table.root.children == {}


def _lineage(inode: Inode) -> list[Inode]:
    """The inode and every directory it was found in."""
    found = [inode]
    while found[-1].parent is not None:
        found.append(found[-1].parent)
    return found


def _named_lineage(inode: Inode) -> list[Inode]:
    """The inode and the directories that must live for it: a superseded one is on its own."""
    found = [inode]
    while found[-1].parent is not None and not found[-1].is_stale:
        found.append(found[-1].parent)
    return found


TestKernel = Kernel.TestCase
TestKernel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
