"""Shares of a data set, and choices of it that are read back and compared."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs_benchmarks.bench.data.files import DataSet, File, Format, Sample
from cloudfs_benchmarks.bench.data.manifest import MANIFEST_NAME
from cloudfs_benchmarks.bench.data.scan import read_data_set, relative_sizes
from cloudfs_benchmarks.bench.data.shares import portion
from cloudfs_benchmarks.bench.data.verify import altered, differing, digest_sample
from tests.unit.benchmarks.bench.data_support import MIB, mounted, set_of, write_small


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("own") / "data")


@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=40),
    count=st.integers(1, 6),
)
def test_shares_are_disjoint_and_together_everything(sizes: list[int], count: int) -> None:
    files = tuple(File(f"f{number}", size) for number, size in enumerate(sizes))
    chunks = tuple(File(f"g{number % 3}.zarr/c/{number}", 50) for number in range(9))
    samples = (
        *(Sample(file.path, Format.HDF5, file.size, part, 2) for file in files for part in (0, 1)),
        *(Sample(f"g{number}.zarr", Format.ZARR, 150) for number in range(3)),
    )
    whole = DataSet("", False, files + chunks, files[::2], files[1::2], samples)
    shares = [portion(whole, index, count) for index in range(count)]
    for kind in ("files", "large", "small", "samples"):
        dealt = [item for share in shares for item in getattr(share, kind)]
        assert len(dealt) == len(set(dealt))
        assert set(dealt) == set(getattr(whole, kind))
    for share in shares:
        mine = {file.path for file in share.files}
        assert {file.path for file in share.large + share.small} <= mine
        assert all(
            sample.path in mine or any(path.startswith(sample.path) for path in mine)
            for sample in share.samples
        )
        kept = [path for path in mine if ".zarr" in path]
        assert len(kept) == 3 * len({path.split("/")[0] for path in kept})
    # Each kind by its bytes: no share has more than its part and one file.
    fair = sum(file.size for file in whole.large) / count
    biggest = max(file.size for file in whole.large)
    assert all(sum(file.size for file in share.large) <= fair + biggest for share in shares)


def test_each_share_has_its_part_of_the_large_files_whatever_else_there_is() -> None:
    large = (File("a", 100), File("b", 100))
    whole = DataSet("", False, (*large, File("c", 150)), large, (), ())
    shares = [portion(whole, index, 2) for index in (0, 1)]
    assert [len(share.large) for share in shares] == [1, 1]


def test_there_are_only_so_many_shares() -> None:
    assert portion(set_of(x=1), 0, 1) == set_of(x=1)
    for index, count in ((1, 1), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="no share"):
            portion(set_of(x=1), index, count)


def test_a_flipped_bit_is_found(own: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(own, copy)
    tree = mounted(tmp_path)
    found = read_data_set(tree, "copy")
    assert altered(found, digest_sample(tree, found, 100 * MIB, seed=1)) == []
    damaged = copy / "large" / "large_2.bin"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    assert altered(found, digest_sample(tree, found, 100 * MIB, seed=1)) == ["large/large_2.bin"]
    with pytest.raises(ValueError, match="own data"):
        altered(replace(found, own=False), {})


def test_the_digests_are_of_a_bounded_choice_that_the_seed_makes(own: Path) -> None:
    tree = mounted(own.parent)
    found = read_data_set(tree, "data")
    sizes = relative_sizes(found)
    chosen = digest_sample(tree, found, 2 * MIB, seed=1)
    assert MIB < sum(sizes[path] for path in chosen) <= 2 * MIB
    document = json.loads((own / MANIFEST_NAME).read_text())
    assert chosen == {path: document["files"][path]["xxh3_64"] for path in chosen}
    assert digest_sample(tree, found, 2 * MIB, seed=2).keys() != chosen.keys()
    assert digest_sample(mounted(own), read_data_set(mounted(own), ""), 2 * MIB, 1) == chosen
    assert len(digest_sample(tree, found, 1, seed=1)) == 1


def test_files_that_differ_between_targets_are_named() -> None:
    one = {"x": "1", "y": "2"}
    assert differing({"a": one, "b": dict(one)}) == []
    assert differing({"a": one, "b": {"x": "1", "y": "3"}, "c": one}) == ["y"]
    assert differing({"a": one, "b": {"x": "1"}}) == ["y"]
