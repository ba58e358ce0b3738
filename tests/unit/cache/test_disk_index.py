"""The index file's format: what is written is read back, damage is never believed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudfs_cache import disk_index
from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion

VERSION = ObjectVersion("s3://bucket/", "data/ünï\udcff.vtu", '"abc"', 40 * BLOCK_BYTES)
HEADER = disk_index.encode_header(VERSION)

records = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 2**64 - 1)), max_size=60)


@given(written=records, evicted=st.lists(st.integers(0, 39), max_size=20))
def test_last_record_of_a_block_counts(written: list[tuple[int, int]], evicted: list[int]) -> None:
    data = HEADER + disk_index.encode_present(written) + disk_index.encode_evicted(evicted)
    expected = dict(written)
    for index in evicted:
        expected.pop(index, None)
    assert disk_index.decode(data, VERSION) == (expected, len(data))
    assert disk_index.decode_indices(data) == set(expected)


@given(written=records, torn=st.integers(1, 15))
def test_a_torn_last_record_is_cut_off(written: list[tuple[int, int]], torn: int) -> None:
    whole = HEADER + disk_index.encode_present(written)
    assert disk_index.decode(whole + b"\1" * torn, VERSION) == (dict(written), len(whole))


@given(cut=st.integers(0, len(HEADER) - 1))
def test_a_short_header_is_no_index(cut: int) -> None:
    assert disk_index.decode(HEADER[:cut], VERSION) is None


def test_another_version_is_not_believed() -> None:
    other = ObjectVersion(VERSION.store_url, VERSION.key, '"abd"', VERSION.size)
    assert disk_index.decode(HEADER, other) is None


def test_a_block_beyond_the_object_is_not_believed() -> None:
    assert disk_index.decode(HEADER + disk_index.encode_present([(40, 1)]), VERSION) is None
