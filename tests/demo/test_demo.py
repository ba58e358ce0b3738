"""The demo as a user runs it, and its cleanup after success, Ctrl-C and failure."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloudfs_benchmarks.dataset.writer import DatasetSpec, write_dataset

TIMEOUT_S = 120
MARK_NAME = "DEMO_TEST_MARK"
BUCKET_COLUMN = 7
"""Of a row cut at blanks: two of the columns before it hold a number and a unit."""
GETS_COLUMN = -2

needs_fuse = pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="/dev/fuse")


@dataclass(frozen=True)
class Demo:
    """A place to run the demo in, and the means to see what it left there."""

    temporary: Path
    out: Path
    mark: str

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "cloudfs_benchmarks.demo", "--out", str(self.out)),
                *map(str, arguments),
            ],
            env={**os.environ, "TMPDIR": str(self.temporary), MARK_NAME: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def assert_nothing_left(self) -> None:
        assert list(self.temporary.iterdir()) == []
        assert str(self.temporary) not in Path("/proc/self/mountinfo").read_text()
        assert self._processes() == []

    def _processes(self) -> list[str]:
        wanted = f"{MARK_NAME}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(str((entry / "cmdline").read_bytes()))
                except OSError:
                    continue
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    # Short, because a control socket's path has room for about a hundred characters.
    temporary = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    yield Demo(temporary, tmp_path / "out", uuid.uuid4().hex)
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    write_dataset(root, DatasetSpec(1_000_000, 12, seed=1), processes=1)
    return root


def _stop_at(process: subprocess.Popen[str], text: str, signum: int, times: int = 1) -> str:
    """Send the signal when `text` is printed; returns standard error at the end."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if text in line:
            break
    else:
        pytest.fail(f"{text!r} never came: {seen}")
    for _ in range(times):
        process.send_signal(signum)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    return errors


def test_a_directory_is_trained_from_and_drawn(demo: Demo, dataset: Path) -> None:
    process = demo.start("--target", dataset, "--epochs", "2")
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, errors
    assert "epoch 2/2" in output
    assert "data wait" in output
    assert (demo.out / "step-time.png").read_bytes().startswith(b"\x89PNG")
    assert len(json.loads((demo.out / "steps.json").read_text())["steps"]) == 2 * 3
    demo.assert_nothing_left()


@pytest.mark.parametrize(
    ("signum", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 3), (signal.SIGTERM, 1)]
)
def test_a_signal_in_training_leaves_nothing(
    demo: Demo, dataset: Path, signum: int, times: int
) -> None:
    process = demo.start("--target", dataset, "--epochs", "1000")
    errors = _stop_at(process, "epoch 1/1000", signum, times)
    assert process.returncode == 128 + signum
    assert "Traceback" not in errors
    demo.assert_nothing_left()


def test_a_failed_training_leaves_nothing_and_says_why(demo: Demo, tmp_path: Path) -> None:
    process = demo.start("--target", tmp_path)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "run_*" in errors
    assert "Traceback" not in errors
    demo.assert_nothing_left()


def test_a_failed_dataset_leaves_nothing_and_says_why(demo: Demo) -> None:
    process = demo.start("--size", "nonsense")
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "nonsense" in errors
    demo.assert_nothing_left()


@pytest.mark.slow
@needs_fuse
def test_the_whole_demo(demo: Demo) -> None:
    process = demo.start("--size", "20MB")
    output, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output + errors
    rows = [line.split() for line in output.splitlines() if line.split()[1:2] == ["256"]]
    assert len(rows) == 3
    assert float(rows[0][BUCKET_COLUMN]) > 15
    assert int(rows[0][GETS_COLUMN]) >= 256
    # What a busy disk did not take in time in the first epoch is fetched again in the second.
    second, third = (int(row[GETS_COLUMN]) for row in rows[1:])
    assert second <= 128
    assert third == 0
    assert (demo.out / "step-time.png").read_bytes().startswith(b"\x89PNG")
    demo.assert_nothing_left()


@pytest.mark.slow
@needs_fuse
@pytest.mark.parametrize(
    "stage",
    [
        *("writing a dataset", "starting an object store", "filling the bucket"),
        *("mounting s3://", "] training", "epoch 1/3"),
    ],
)
def test_ctrl_c_at_any_stage_leaves_nothing(demo: Demo, stage: str) -> None:
    process = demo.start("--size", "10MB")
    errors = _stop_at(process, stage, signal.SIGINT)
    assert process.returncode == 128 + signal.SIGINT, errors
    assert "Traceback" not in errors
    demo.assert_nothing_left()
