"""The list server's pages: order, delimiters, continuation, and ETags that nginx agrees with."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from pathlib import Path

from cloudfs_benchmarks.servers.listing import Entry, render, scan, select

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
        root = ET.fromstring(render(page, "bench", query))
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
