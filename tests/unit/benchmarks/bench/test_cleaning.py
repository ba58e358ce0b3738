"""The run's own folder: what is removed of it, and what is left alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.data import cleaning
from cloudfs_benchmarks.bench.data.cleaning import (
    MARKER_NAME,
    PREFIX,
    Leftover,
    Owner,
    OwnerState,
    RunFolder,
    clean_leftovers,
    leftovers,
)
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.process_start import start_ticks
from tests.support.disks import small_tmpfs, why_no_tmpfs
from tests.unit.benchmarks.bench.data_support import MIB, mounted, write_small


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("own") / "data")


@pytest.fixture
def run_folder(tmp_path: Path) -> Iterator[RunFolder]:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "theirs").write_text("kept")
    folder = RunFolder.create(mounted(tmp_path / "target"), "r1")
    (tmp_path / "target" / folder.path / "a" / "b").mkdir(parents=True)
    (tmp_path / "target" / folder.path / "a" / "b" / "file").write_text("ours")
    yield folder
    assert (tmp_path / "target" / "theirs").read_text() == "kept"


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_removal_takes_the_run_s_folder_and_nothing_else(
    run_folder: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder.create(run_folder.tree, "r2")
    run_folder.remove()
    assert _names(tmp_path / "target") == {"theirs", other.path}
    run_folder.remove()


@pytest.mark.parametrize("text", [None, "", "{}", '["run"]'])
def test_a_folder_without_its_marker_is_refused(
    run_folder: RunFolder, tmp_path: Path, text: str | None
) -> None:
    marker = tmp_path / "target" / run_folder.path / MARKER_NAME
    marker.unlink()
    if text is not None:
        marker.write_text(text)
    with pytest.raises(BenchError, match="has no marker of run r1"):
        run_folder.remove()
    assert (marker.parent / "a" / "b" / "file").exists()


def test_a_folder_of_another_run_is_refused(run_folder: RunFolder, tmp_path: Path) -> None:
    folder = tmp_path / "target" / run_folder.path
    folder.rename(folder.with_name(f"{PREFIX}r2"))
    with pytest.raises(BenchError, match="has no marker of run r2"):
        RunFolder(run_folder.tree, "r2").remove()
    assert (folder.with_name(f"{PREFIX}r2") / "a" / "b" / "file").exists()


def test_no_link_is_followed(run_folder: RunFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    inside = tmp_path / "target" / run_folder.path / "a"
    (inside / "to_file").symlink_to(outside / "file")
    run_folder.remove()
    assert not inside.exists()
    # The run's own folder, exchanged for a link to a copy of it.
    moved = RunFolder.create(run_folder.tree, "r2")
    (tmp_path / "target" / moved.path).rename(tmp_path / "moved")
    (tmp_path / "target" / moved.path).symlink_to(tmp_path / "moved")
    with pytest.raises((BenchError, FileNotFoundError)):
        _removed_or_not_there(moved)
    assert (tmp_path / "moved" / MARKER_NAME).exists()
    assert (outside / "file").read_text() == "kept"
    assert leftovers(run_folder.tree) == []


def _removed_or_not_there(folder: RunFolder) -> None:
    """A link to a folder is in no listing, so that there is nothing to remove."""
    folder.remove()
    raise FileNotFoundError(folder.path)


def test_a_folder_that_holds_a_link_to_a_folder_stays_and_can_be_cleaned_later(
    run_folder: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("kept")
    link = tmp_path / "target" / run_folder.path / "a" / "link"
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="not empty"):
        run_folder.remove()
    assert (tmp_path / "outside" / "file").read_text() == "kept"
    link.unlink()
    run_folder.remove()
    assert _names(tmp_path / "target") == {"theirs"}


def test_no_other_filesystem_is_entered(run_folder: RunFolder, tmp_path: Path) -> None:
    if (problem := why_no_tmpfs()) is not None:
        pytest.skip(problem)
    inside = tmp_path / "target" / run_folder.path / "a" / "b"
    with small_tmpfs(inside, MIB):
        (inside / "theirs").write_text("kept")
        with pytest.raises(BenchError, match="is a mount"):
            run_folder.remove()
        assert (inside / "theirs").read_text() == "kept"


def test_a_folder_that_gets_no_marker_is_not_left_behind(tmp_path: Path) -> None:
    class FullTree(type(mounted(tmp_path))):  # type: ignore[misc]
        def write(self, *_: object, **__: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        RunFolder.create(FullTree(str(tmp_path)), "r1")
    assert _names(tmp_path) == set()


@pytest.mark.parametrize("run", ["", "a/b", "..", "-x", "x" * 65])
def test_unfit_run_ids_are_refused(tmp_path: Path, run: str) -> None:
    with pytest.raises(ValueError, match="no run id"):
        RunFolder.create(mounted(tmp_path), run)
    assert _names(tmp_path) == set()


def _owned(target: Path, owner: Owner) -> None:
    folder = RunFolder.create(mounted(target), owner.run)
    (target / folder.path / "file").touch()
    (target / folder.path / MARKER_NAME).write_text(json.dumps(asdict(owner)))


def test_only_what_runs_that_are_gone_left_is_cleaned(tmp_path: Path) -> None:
    mine = Owner.this_process("mine")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as ended:
        ticks = start_ticks(ended.pid)
        assert ticks is not None
        _owned(tmp_path, replace(mine, run="gone", pid=ended.pid, start_ticks=ticks))
    _owned(tmp_path, mine)
    _owned(tmp_path, replace(mine, run="reused", start_ticks=mine.start_ticks - 1))
    _owned(tmp_path, replace(mine, run="rebooted", boot="earlier"))
    _owned(tmp_path, replace(mine, run="elsewhere", host="another"))
    (tmp_path / f"{PREFIX}unmarked").mkdir()
    (tmp_path / f"{PREFIX}file").touch()
    tree = mounted(tmp_path)
    states = {found.name.removeprefix(PREFIX): found.state for found in leftovers(tree)}
    assert states == {
        "gone": OwnerState.GONE,
        "mine": OwnerState.RUNNING,
        "reused": OwnerState.GONE,
        "rebooted": OwnerState.GONE,
        "elsewhere": OwnerState.UNKNOWN,
        "unmarked": OwnerState.UNKNOWN,
    }
    assert clean_leftovers(tree) == [f"{PREFIX}{name}" for name in ("gone", "rebooted", "reused")]
    left = {f"{PREFIX}{name}" for name in ("mine", "elsewhere", "unmarked", "file")}
    assert _names(tmp_path) == left
    assert Leftover(f"{PREFIX}mine", OwnerState.RUNNING) in leftovers(tree)
    assert cleaning.clean_leftovers(tree) == []
