"""From the pages of a LIST to the entries of a directory: conflicts, markers, hidden names."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.vfs.metadata import listing, names
from cloudfs.vfs.metadata.listing import DirectoryListing, HiddenNames
from cloudfs_backends.api import ListPage, ObjectInfo


def page(*keys: str) -> ListPage:
    """A page of a delimited LIST; keys that end with `//` stand for the marker `key/`."""
    objects = tuple(
        ObjectInfo(key.replace("//", "/"), 1, f'"{key}"', 0)
        for key in keys
        if not key.endswith("/") or key.endswith("//")
    )
    prefixes = tuple(key for key in keys if key.endswith("/") and not key.endswith("//"))
    return ListPage(objects, prefixes, None)


def kinds(found: DirectoryListing) -> dict[bytes, str]:
    return {entry.name: entry.kind.value for entry in found.entries}


def build(
    *pages: ListPage, prefix: str = "", hidden: HiddenNames | None = None
) -> DirectoryListing:
    return listing.build(prefix, pages, hidden or HiddenNames(), 12.5)


def test_files_and_directories_of_several_pages() -> None:
    found = build(page("d/a", "d/b/"), page("d/c"), prefix="d/")
    assert kinds(found) == {b"a": "file", b"b": "directory", b"c": "file"}
    assert {name: entry.name for name, entry in found.by_name.items()} == {
        name: name for name in (b"a", b"b", b"c")
    }
    assert found.by_name[b"c"].info == ObjectInfo("d/c", 1, '"d/c"', 0)
    assert found.requested_at == 12.5


def test_an_empty_listing_has_no_entries() -> None:
    assert build(page()).entries == ()
    assert build().entries == ()


def test_the_own_marker_is_no_entry() -> None:
    found = build(page("d//", "d/a"), prefix="d/")
    assert kinds(found) == {b"a": "file"}


def test_a_marker_below_is_a_directory() -> None:
    # With a delimiter a store shows it as a prefix; one without support shows the object.
    hidden = HiddenNames()
    assert kinds(build(page("d/e//"), prefix="d/", hidden=hidden)) == {b"e": "directory"}
    assert hidden.count == 0


@pytest.mark.parametrize(
    "pages",
    [
        [page("both", "both/")],
        [page("both"), page("both-after"), page("both/")],
        [page("both/"), page("both")],
        [page("both//", "both")],
    ],
    ids=["one page", "file first", "directory first", "marker"],
)
def test_the_directory_wins(pages: list[ListPage], caplog: pytest.LogCaptureFixture) -> None:
    hidden = HiddenNames()
    found = build(*pages, hidden=hidden)
    assert kinds(found)[b"both"] == "directory"
    assert [entry.name for entry in found.entries].count(b"both") == 1
    assert hidden.count == 1
    assert len(caplog.records) == 1
    assert "'both' is hidden" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    "part", ["", ".", "..", "nul\0byte", "x" * 256, "é" * 128], ids=lambda part: repr(part[:8])
)
def test_impossible_names_are_hidden(part: str, caplog: pytest.LogCaptureFixture) -> None:
    hidden = HiddenNames()
    pages = ListPage((), (f"d/{part}/", "d/fine/"), None)
    assert kinds(build(pages, prefix="d/", hidden=hidden)) == {b"fine": "directory"}
    assert hidden.count == len(caplog.records) == 1


def test_the_same_hidden_key_is_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    hidden = HiddenNames()
    for _ in range(5):
        build(ListPage((), ("d/./", "d/../"), None), prefix="d/", hidden=hidden)
        build(page("both", "both/"), hidden=hidden)
    assert hidden.count == len(caplog.records) == 3


def test_more_hidden_keys_than_are_kept_are_not_counted_again_and_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log may be bounded; what `cloudfs status` shows must stay a number of keys.
    monkeypatch.setattr(listing, "_COUNTED_MAX", 3)
    hidden = HiddenNames()
    for _ in range(4):
        for number in range(5):
            hidden.note(f"d//{number}", "an empty part")
    assert len(caplog.records) == 3
    assert 3 <= hidden.count <= 5


@given(st.binary(min_size=1, max_size=255).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_every_posix_name_survives(name: bytes) -> None:
    part = names.to_part(name)
    if name in {b".", b".."}:
        assert names.hidden_reason(part) is not None
        return
    assert names.hidden_reason(part) is None
    assert names.to_name(part) == name


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_a_part_is_hidden_exactly_when_no_file_can_have_its_name(part: str) -> None:
    part = part.replace("/", "")
    encoded = os.fsencode(part)
    possible = 0 < len(encoded) <= 255 and part not in {".", ".."} and "\0" not in part
    assert (names.hidden_reason(part) is None) == possible
