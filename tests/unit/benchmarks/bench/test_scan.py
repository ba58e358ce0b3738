"""Which files a data set has, and whether targets hold the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.data.files import DataSet, Format
from cloudfs_benchmarks.bench.data.manifest import MANIFEST_NAME
from cloudfs_benchmarks.bench.data.scan import read_data_set, relative_sizes, same_everywhere
from cloudfs_benchmarks.bench.errors import BenchError
from tests.unit.benchmarks.bench.data_support import MIB, contents, mounted, set_of, write_small


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("own") / "data")


def _write(folder: Path, **sizes: int) -> None:
    """Sparse files; `__` stands for a slash, `_` for a dot."""
    for name, size in sizes.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.truncate(size)


def test_own_data_are_read_from_the_manifest(own: Path) -> None:
    found = read_data_set(mounted(own.parent), "data")
    assert found.own
    assert {file.path for file in found.files} == {
        f"data/{path}" for path in contents(own) if path != MANIFEST_NAME
    }
    assert {file.path.split("/")[1] for file in found.large} == {"large"}
    assert {file.path.split("/")[1] for file in found.small} == {"small"}
    assert {sample.path.split("/")[1] for sample in found.samples} == {"cases", "huge"}
    assert {sample.format for sample in found.samples} == set(Format)
    per_case = [sample for sample in found.samples if "/run_1/" in sample.path]
    assert len(per_case) == 6
    assert all(file.digest for file in found.files)
    assert found.bytes == sum(size for size in relative_sizes(found).values())


def test_samples_of_own_data_are_all_bytes_of_their_files(own: Path) -> None:
    found = read_data_set(mounted(own), "")
    files = [file for file in found.files if file.path.startswith(("cases/", "huge/"))]
    assert sum(sample.size for sample in found.samples) == sum(file.size for file in files)


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_an_incomplete_copy_of_own_data_is_noticed(own: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(own, copy)
    # Whatever was lost: a copy that is cut short lacks whole folders.
    for path in (copy / "cases").rglob("*.*"):
        if path.is_file():
            path.unlink() if damage == "missing" else path.write_bytes(b"")
    with pytest.raises(BenchError, match=r"cases/.* (is missing|has 0 bytes), .*copy the data"):
        read_data_set(mounted(copy), "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"layout": 1, "seed": 1, "size": 1, "files": [1]}', "is damaged"),
        ('{"layout": 1, "seed": 1, "size": 1, "files": {"a": {"size": 1}}}', "is damaged"),
        ('{"layout": 1, "seed": 1, "size": 1, "files": {"../a": {"size": 1}}}', "leads out"),
        ('{"layout": 2}', "has layout 2, this version knows 1"),
        ('{"layout": 1, "seed": 1, "size": 1, "files": {}}', "holds no data"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(BenchError, match=message) as raised:
        read_data_set(mounted(tmp_path), "")
    assert "\n" not in str(raised.value)


def test_a_walk_sorts_files_by_what_they_are_good_for(tmp_path: Path) -> None:
    _write(
        tmp_path,
        data__a_bin=20 * MIB,
        data__b_bin=16 * MIB,
        data__c_bin=16 * MIB - 1,
        data__d_bin=MIB,
        data__e_bin=MIB + 1,
        data__empty_bin=0,
        other__f_bin=30 * MIB,
    )
    found = read_data_set(mounted(tmp_path), "data")
    assert not found.own
    assert [file.path for file in found.large] == ["data/a.bin", "data/b.bin"]
    assert [file.path for file in found.small] == ["data/d.bin"]
    assert len(found.files) == 6
    assert "data/empty.bin" not in {sample.path for sample in found.samples}


def test_without_large_files_the_largest_quarter_takes_their_place(tmp_path: Path) -> None:
    _write(tmp_path, a_bin=300, b_bin=200, c_bin=250, d_bin=450, e_bin=800)
    found = read_data_set(mounted(tmp_path), "")
    assert [file.path for file in found.large] == ["e.bin"]
    _write(tmp_path, f_bin=1400)
    found = read_data_set(mounted(tmp_path), "")
    assert [file.path for file in found.large] == ["f.bin"]
    (tmp_path / "f.bin").unlink()
    (tmp_path / "e.bin").unlink()
    _write(tmp_path, g_bin=420, h_bin=410)
    found = read_data_set(mounted(tmp_path), "")
    assert [file.path for file in found.large] == ["d.bin", "g.bin"]


def test_samples_are_told_by_their_names(tmp_path: Path) -> None:
    _write(
        tmp_path,
        a_vtu=1,
        b_VTP=1,
        c_h5=1,
        d_hdf5=1,
        e_npz=1,
        f_npy=1,
        g_csv=1,
        manifest_json=1,
        _hidden=1,
        _git__config=1,
        one_zarr__c__0__0=1,
        one_zarr__zarr_json=1,
        two__x__zarr_json=1,
        two__zarr_json=1,
        two__x__c__0=1,
        three___zgroup=1,
        three__sub___zarray=1,
        three__sub__0_0=1,
        four__sub__data_npy=1,
    )
    found = read_data_set(mounted(tmp_path), "")
    assert {sample.path: (sample.format.value, sample.size) for sample in found.samples} == {
        "a.vtu": ("vtu", 1),
        "b.VTP": ("vtu", 1),
        "c.h5": ("hdf5", 1),
        "d.hdf5": ("hdf5", 1),
        "e.npz": ("npz", 1),
        "f.npy": ("npy", 1),
        "g.csv": ("raw", 1),
        "one.zarr": ("zarr", 2),
        "two": ("zarr", 3),
        "three": ("zarr", 3),
        "four/sub/data.npy": ("npy", 1),
    }
    assert not any("hidden" in file.path or "git" in file.path for file in found.files)


def test_a_run_s_own_folder_is_no_data_of_the_user(tmp_path: Path) -> None:
    _write(tmp_path, a_bin=1)
    (tmp_path / ".cloudfs-bench-r1").mkdir()
    (tmp_path / ".cloudfs-bench-r1" / "file").write_text("x")
    assert [file.path for file in read_data_set(mounted(tmp_path), "").files] == ["a.bin"]


@pytest.mark.parametrize("name", ["a_h5", "a_npy", "a_bin", "a_zarr__c__0"])
def test_huge_arrays_are_read_in_parts(tmp_path: Path, name: str) -> None:
    _write(tmp_path, **{name: 100 * MIB + 3})
    samples = read_data_set(mounted(tmp_path), "").samples
    assert [sample.part for sample in samples] == list(range(6))
    assert {sample.parts for sample in samples} == {6}
    assert sum(sample.size for sample in samples) == 100 * MIB + 3
    assert max(sample.size for sample in samples) < 17 * MIB


@pytest.mark.parametrize("name", ["a_vtu", "a_npz"])
def test_what_cannot_be_divided_is_one_sample(tmp_path: Path, name: str) -> None:
    _write(tmp_path, **{name: 100 * MIB})
    assert len(read_data_set(mounted(tmp_path), "").samples) == 1


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, a=1, b=1, c=1)
    assert len(read_data_set(mounted(tmp_path), "", files_max=3).files) == 3
    with pytest.raises(BenchError, match="more than 2 files: name a folder with fewer"):
        read_data_set(mounted(tmp_path), "", files_max=2)


@pytest.mark.parametrize("root", ["empty", "missing", "file", "hollow"])
def test_a_folder_without_data_is_refused_with_the_fix(tmp_path: Path, root: str) -> None:
    (tmp_path / "empty").mkdir()
    _write(tmp_path, file=1, hollow__x=0)
    with pytest.raises(BenchError, match=r"holds no data: .*cloudfs bench data DIR"):
        read_data_set(mounted(tmp_path), root)


def test_targets_with_the_same_files_are_accepted() -> None:
    same_everywhere({"a": set_of(x=1, y=2), "b": set_of("sub", y=2, x=1), "c": set_of(x=1, y=2)})
    same_everywhere({"a": set_of(x=1)})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (set_of(x=1, y=3), "y has 2 bytes on a and 3 on b"),
        (set_of(x=1), "y is on a and not on b"),
        (set_of(w=1, x=1, y=2), "w is on b and not on a"),
    ],
)
def test_the_first_difference_between_targets_is_named(other: DataSet, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        same_everywhere({"a": set_of(x=1, y=2), "b": other})
    with pytest.raises(BenchError, match=message.replace("b", "c").replace("cytes", "bytes")):
        same_everywhere({"0": set_of(x=1, y=2), "a": set_of(x=1, y=2), "c": other})
