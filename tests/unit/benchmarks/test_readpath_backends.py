"""The comparison of the backends as a user runs it, with little data, and what it leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs_benchmarks.readpath.backends import SCHEMES

TIMEOUT_S = 280
MEASURES = 7

pytestmark = pytest.mark.skipif(
    not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="needs /dev/fuse"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Short, because a control socket's path has room for about a hundred characters.
    made = Path(tempfile.mkdtemp(prefix="t-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_all_backends_are_in_one_table(folder: Path, tmp_path: Path) -> None:
    written = tmp_path / "run.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cloudfs_benchmarks.readpath", "backends"),
            # Enough for the daemon's CPU to show: the kernel counts it in hundredths of a second.
            *("--trials", "1", "--warm-ups", "0", "--size", "16M", "--json", str(written)),
            *("--directory", str(folder), "--store-directory", str(folder)),
            *("--first-byte-ms", "0", "--connection-mb", "0", "--link-gbit", "0"),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for scheme in SCHEMES:
        values, ratios = (line for line in lines if line.startswith(f"{scheme}://"))
        assert len(values.split("  ")) > MEASURES
        assert ratios.count("(") == MEASURES
    results = json.loads(written.read_text(encoding="utf-8"))["results"]
    assert len(results) == len(SCHEMES) * MEASURES
    assert all(min(result["values"]["values"]) >= 0 for result in results)
    by = {result["backend"]: result["notes"] for result in results}
    assert {by[f"{scheme}://"] for scheme in ("s3", "gs", "az")} == {"obstore"}
    assert list(folder.iterdir()) == []
    assert str(folder) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")
