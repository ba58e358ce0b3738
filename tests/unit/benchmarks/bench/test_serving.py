"""What the process behind a target has cost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.targets.inspection import inspect
from cloudfs_benchmarks.bench.targets.serving import Serving
from cloudfs_benchmarks.bench.targets.spec import TargetSpec
from tests.support.mounting import Mounted, cloudfs, mounted, wait_until
from tests.unit.benchmarks.bench.data_support import children_in


def _serving(location: object) -> Serving:
    return Serving(inspect(TargetSpec("cloud", str(location))))


def test_the_daemon_of_a_mount(cloudfs_mount: Mounted) -> None:
    file = cloudfs_mount.path / "data" / "a"
    assert cloudfs("cache", "evict", str(file)).returncode == 0
    descriptor = os.open(file, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    serving = _serving(cloudfs_mount.path / "data")
    before = serving.usage()
    data = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    after = serving.usage()
    assert before is not None
    assert after is not None
    used = after.since(before)
    assert used.store_received_bytes == len(data) == 700_000
    assert used.memory_bytes + used.disk_bytes + used.store_bytes == len(data)
    assert used.store_requests >= 1
    assert 0 <= used.cpu_s <= after.cpu_s
    assert after.cpu_s > 0
    assert 1 << 20 < used.rss_bytes <= used.peak_rss_bytes


def test_nobody_serves_a_local_directory(tmp_path: Path) -> None:
    assert _serving(tmp_path).usage() is None


def test_a_daemon_that_died_is_named(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    url = f"file://{tmp_path}/bucket"
    with mounted(url, tmp_path / "mnt", cache_dir=tmp_path / "cache") as mount:
        serving = _serving(mount.path)
        serving.usage()
        mount.stop(signal.SIGKILL)
        try:
            with pytest.raises(TargetError, match=rf"daemon of {mount.path} \(pid {mount.pid}\)"):
                serving.usage()
        finally:
            cloudfs("umount", str(mount.path))


def test_a_watched_mount_is_asked_by_one_process(cloudfs_mount: Mounted, tmp_path: Path) -> None:
    serving = _serving(cloudfs_mount.path / "data")
    file = cloudfs_mount.path / "data" / "a"
    with children_in(tmp_path) as children, serving.watched(children, 0.1) as latest:
        wait_until(lambda: latest() is not None, 20, "the first document")
        before = latest()
        assert before is not None
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.pread(descriptor, 1 << 20, 0)
        os.close(descriptor)

        def delivered() -> int:
            now = latest()
            assert now is not None
            used = now.since(before)
            return used.memory_bytes + used.disk_bytes + used.store_bytes

        wait_until(lambda: delivered() == 700_000, 20, "the bytes in a later document")
