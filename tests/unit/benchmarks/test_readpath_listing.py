"""The metadata server's pages: order, delimiters, continuation; ETags that nginx agrees with."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

from cloudfs_benchmarks.servers.dialect import Question
from cloudfs_benchmarks.servers.listing import Entry, Names, Page, scan, select
from cloudfs_benchmarks.servers.s3 import render

ENTRIES = [Entry(key, 0x10, 0x20) for key in ("a/1", "a/2", "b", "c/1", "d")]
XMLNS = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}


def _pages(limit: int, prefix: str = "", delimiter: str = "") -> tuple[list[str], int]:
    """All names of a listing in the order of the answers, and how many answers it took."""
    names: list[str] = []
    token, count = "", 0
    while True:
        page = select(ENTRIES, prefix=prefix, delimiter=delimiter, limit=limit, token=token)
        names += sorted([*(entry.key for entry in page.entries), *page.prefixes])
        token, count = page.token, count + 1
        if not token:
            return names, count


def test_a_flat_listing_has_every_key() -> None:
    assert _pages(1000) == (["a/1", "a/2", "b", "c/1", "d"], 1)


def test_a_delimiter_folds_keys_into_prefixes() -> None:
    assert _pages(1000, delimiter="/") == (["a/", "b", "c/", "d"], 1)


def test_a_prefix_leaves_the_rest_out() -> None:
    assert _pages(1000, prefix="a/", delimiter="/") == (["a/1", "a/2"], 1)


def test_pages_continue_without_gaps_or_repeats() -> None:
    assert _pages(1, delimiter="/") == (["a/", "b", "c/", "d"], 4)
    assert _pages(2) == (["a/1", "a/2", "b", "c/1", "d"], 3)


def test_a_last_page_that_is_full_is_the_last() -> None:
    assert select(ENTRIES, prefix="", delimiter="", limit=5, token="").token == ""


def test_the_answer_is_what_an_sdk_reads() -> None:
    page = select([Entry("a b&c", 0x10, 0x20)], prefix="", delimiter="", limit=9, token="")
    for query, key in (({}, "a b&c"), ({"encoding-type": "url"}, "a%20b%26c")):
        root = ET.fromstring(render(page, Question("/bench", query, "bench")))
        assert root.findtext("s3:Contents/s3:Key", namespaces=XMLNS) == key
        assert root.findtext("s3:Contents/s3:ETag", namespaces=XMLNS) == '"10-20"'
        assert root.findtext("s3:Contents/s3:Size", namespaces=XMLNS) == "32"
        assert root.findtext("s3:IsTruncated", namespaces=XMLNS) == "false"


def test_a_folder_is_scanned_with_relative_keys(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"12345")
    os.utime(tmp_path / "d" / "f", (255.9, 255.9))
    assert list(scan(tmp_path)) == [Entry("d/f", 255, 5)]
    assert next(scan(tmp_path)).etag == "ff-5"


def test_names_outside_the_folder_are_none_of_the_bucket(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "d" / "f").touch()
    names = Names(root)
    for prefix in ("../", "d/../../", str(tmp_path) + "/"):
        assert names.page(prefix=prefix, delimiter="", limit=9, token="") == Page((), (), "")
    for key in ("../secret", str(tmp_path / "secret"), "d", "", "none"):
        assert names.find(key) is None
    found = names.find("d/f")
    assert found is not None
    assert found.key == "d/f"


def test_a_listing_goes_on_with_the_names_it_began_with(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    names = Names(tmp_path)
    first = names.page(prefix="", delimiter="/", limit=1, token="")
    (tmp_path / "c").touch()
    rest = names.page(prefix="", delimiter="/", limit=9, token=first.token)
    assert [entry.key for entry in (*first.entries, *rest.entries)] == ["a", "b"]
    afresh = names.page(prefix="", delimiter="/", limit=9, token="")
    assert [entry.key for entry in afresh.entries] == ["a", "b", "c"]


def test_a_generation_is_the_etag_in_decimal() -> None:
    assert Entry("a", 0x65000000, 2**32).generation == f"{0x65000000}{2**32:012}"
