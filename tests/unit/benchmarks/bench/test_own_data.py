"""The benchmark's own data: what is written and copied."""

from __future__ import annotations

import gc
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import xxhash

from cloudfs_benchmarks.bench.data.layout import GIB, KIB, SMALL_COUNT_MAX, lay_out
from cloudfs_benchmarks.bench.data.manifest import MANIFEST_NAME
from cloudfs_benchmarks.bench.data.own import copy_own, write_own
from cloudfs_benchmarks.bench.data.writing import write_huge_hdf5
from cloudfs_benchmarks.bench.errors import BenchError
from tests.support.disks import small_tmpfs, why_no_tmpfs
from tests.unit.benchmarks.bench.data_support import MIB, contents, mounted, write_small


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("own") / "data")


@pytest.mark.parametrize("size", [8 * MIB, 64 * MIB, GIB, 10 * GIB, 500 * GIB])
def test_the_sizes_come_to_what_was_asked_for(size: int) -> None:
    layout = lay_out(size, seed=1)
    huge = layout.huge_hdf5 + layout.huge_npy
    cases = layout.cases * layout.case_bytes
    assert sum(layout.large) + sum(layout.small) + cases + huge == pytest.approx(size, rel=0.01)
    assert 0.4 < sum(layout.large) / size < 0.51
    assert 0.24 < cases / size < 0.26
    assert 0.24 < huge / size < 0.26
    assert len(layout.large) >= 4
    assert len(layout.small) <= SMALL_COUNT_MAX
    assert layout.case_bytes <= 64 * MIB


@pytest.mark.parametrize("size", [256 * MIB, 10 * GIB, 500 * GIB])
def test_large_files_are_large_and_small_ones_small(size: int) -> None:
    layout = lay_out(size, seed=1)
    assert min(layout.large) >= 16 * MIB
    assert max(layout.large) <= 2 * GIB
    assert max(layout.small) <= MIB
    assert sorted(layout.small)[1] >= 4 * KIB
    # As many of each octave: the median is near the geometric mean of the bounds.
    assert 32 * KIB < sorted(layout.small)[len(layout.small) // 2] < 128 * KIB


def test_the_files_are_about_as_large_as_asked_for(own: Path) -> None:
    files = contents(own)
    assert sum(map(len, files.values())) == pytest.approx(8 * MIB, rel=0.1)
    kinds = {Path(path).suffix for path in files if path.startswith("cases/run_1/")}
    assert kinds >= {".vtu", ".h5", ".npz", ".csv", ".json", ""}
    assert {"huge/fields.h5", "huge/rows.npy"} <= files.keys()


def test_same_seed_same_bytes_however_many_processes(own: Path, tmp_path: Path) -> None:
    again = contents(write_small(tmp_path / "again", processes=2))
    assert again == contents(own)
    other = contents(write_small(tmp_path / "other", seed=2))
    for path in ("large/large_0.bin", "huge/rows.npy", "huge/fields.h5"):
        assert other[path] != again[path]


def test_no_two_files_hold_the_same_and_none_can_be_compressed(own: Path) -> None:
    large = [path.read_bytes() for path in sorted((own / "large").iterdir())]
    assert len({content[:4096] for content in large}) == len(large)
    assert len(zlib.compress(large[0])) > 0.99 * len(large[0])
    assert len(zlib.compress(b"".join(content[:4096] for content in large))) > 0.99 * 4096 * 4


def test_the_manifest_has_every_file_and_its_digest(own: Path) -> None:
    files = contents(own)
    document = json.loads(files.pop(MANIFEST_NAME))
    assert document["files"] == {
        path: {"size": len(content), "xxh3_64": xxhash.xxh3_64_hexdigest(content)}
        for path, content in files.items()
    }


def test_progress_grows_to_the_size_of_all_files(tmp_path: Path) -> None:
    seen: list[int] = []
    write_own(tmp_path / "data", 8 * MIB, 1, processes=1, progress=seen.append)
    files = contents(tmp_path / "data")
    del files[MANIFEST_NAME]
    assert seen == sorted(set(seen))
    assert seen[-1] == sum(map(len, files.values()))


def test_it_writes_into_new_folders_only(own: Path, tmp_path: Path) -> None:
    before = contents(own)
    with pytest.raises(BenchError, match="is there already"):
        write_small(own)
    assert contents(own) == before
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot write the data: Not a directory"):
        write_small(tmp_path / "file" / "data")


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with _disk(tmp_path, 7 * MIB) as disk:
        with pytest.raises(BenchError, match="no space for 8 MiB: give a smaller --size"):
            write_small(disk / "data")
        assert contents(disk) == {}


def test_a_disk_that_becomes_full_is_one_line(tmp_path: Path) -> None:
    # Files take whole pages, so that there is not quite enough.
    with _disk(tmp_path, 8 * MIB + 16 * KIB) as disk:
        with pytest.raises(BenchError, match="no space for 8 MiB: give a smaller --size"):
            write_small(disk / "data")
        assert "data/huge/fields.h5" in contents(disk)
        assert f"data/{MANIFEST_NAME}" not in contents(disk)


@pytest.mark.parametrize("room", [KIB * 64, MIB])
def test_hdf5_lets_go_of_a_file_on_a_full_disk(tmp_path: Path, room: int) -> None:
    # The disk itself complains when a file on it is still open.
    with _disk(tmp_path, room) as disk:
        with pytest.raises(OSError, match="No space left"):
            write_huge_hdf5(disk, 2 * MIB, seed=1)
        gc.collect()


@contextmanager
def _disk(folder: Path, room: int) -> Iterator[Path]:
    if (problem := why_no_tmpfs()) is not None:
        pytest.skip(problem)
    with small_tmpfs(folder / "disk", room) as disk:
        yield disk.path


def test_a_copy_is_the_same(own: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    copy_own(own, mounted(tmp_path), "copy", progress=seen.append)
    assert contents(tmp_path / "copy") == contents(own)
    assert seen[-1] == sum(map(len, contents(own).values())) - (own / MANIFEST_NAME).stat().st_size


def test_a_source_that_changed_is_noticed_and_the_copy_is_incomplete(tmp_path: Path) -> None:
    own = write_small(tmp_path / "own")
    damaged = own / "large" / "large_1.bin"
    content = bytearray(damaged.read_bytes())
    content[1000] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(BenchError, match=r"large_1\.bin is not what was written"):
        copy_own(own, mounted(tmp_path), "copy")
    assert not (tmp_path / "copy" / MANIFEST_NAME).exists()
