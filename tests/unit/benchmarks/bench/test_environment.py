"""The machine and what ran on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import numpy as np

from cloudfs_benchmarks.bench.environment import finish, gather


def test_the_machine_is_described(tmp_path: Path) -> None:
    environment = gather([str(tmp_path), str(tmp_path / "missing"), "nfs://server/export"])
    assert environment.kernel == platform.release()
    assert environment.root == (os.geteuid() == 0)
    assert environment.cpus == len(os.sched_getaffinity(0))
    assert environment.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert environment.versions["numpy"] == np.__version__
    assert environment.versions["python"] == platform.python_version()
    assert "cloudfs" in environment.versions
    assert environment.cpu
    assert environment.distribution
    assert list(environment.disks) == [str(tmp_path)]
    assert environment.disks[str(tmp_path)]


def test_the_end_is_added(tmp_path: Path) -> None:
    before = gather()
    assert before.page_cache_bytes[1] is before.load[1] is None
    after = finish(before)
    assert after.page_cache_bytes[0] == before.page_cache_bytes[0]
    assert (after.page_cache_bytes[1] or 0) > 0
    assert after.load[1] is not None
    assert after.kernel == before.kernel
