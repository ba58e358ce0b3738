"""Caches are emptied and filled, and what is said of them is so."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench import residency
from cloudfs_benchmarks.bench.caches import Caches, Proof, of_names
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import CacheState, Kind
from cloudfs_benchmarks.bench.targets.inspection import inspect
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.spec import TargetSpec
from tests.support.mounting import Mounted, cloudfs
from tests.unit.benchmarks.bench.conftest import MOUNTED_FILES

_SIZE = 3_000_000
_DATA = ["data/a", "data/inner/b"]
_OTHER = "other/c"


def _caches(location: object) -> Caches:
    target = inspect(TargetSpec("t", str(location)))
    return Caches(target, open_tree(target.location))


def _files(folder: Path) -> list[str]:
    for name in ("one", "two"):
        (folder / name).write_bytes(os.urandom(_SIZE))
    (folder / "empty").write_bytes(b"")
    return ["empty", "one", "two"]


def _resident(*paths: Path) -> float | None:
    return residency.resident_share([str(path) for path in paths])


def test_local_files_are_cold_then_warm_then_cold(tmp_path: Path) -> None:
    paths, caches = _files(tmp_path), _caches(tmp_path)
    assert caches.can_prove_cold()
    cold = caches.make_cold(paths, "")
    assert cold == Proof(CacheState.COLD, "0.0% of the pages are in the page cache")
    assert _resident(tmp_path / "one") == 0
    warm = caches.make_ram_warm(paths)
    assert warm.state is CacheState.RAM_WARM
    assert warm.text == "read once; 100.0% of the pages are in the page cache"
    assert caches.make_cold(paths, "").state is CacheState.COLD
    with pytest.raises(ValueError, match="no SSD tier"):
        caches.make_ssd_warm(paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
def test_what_cannot_be_dropped_is_unproven(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "t", str(tmp_path)], check=True)
    try:
        paths, caches = _files(tmp_path), _caches(tmp_path)
        assert not caches.can_prove_cold()
        proof = caches.make_cold(paths, "")
        assert proof == Proof(CacheState.UNPROVEN, "100.0% of the pages are in the page cache")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_both_ways_to_count_pages_agree(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(_SIZE))
    residency.drop(str(path))
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # or more is read
        os.pread(file.fileno(), 1_000_000, 0)
        pages = -(-_SIZE // 4096)
        expected = -(-1_000_000 // 4096)
        assert residency._mincore(file.fileno(), _SIZE, pages) == expected
        assert residency._cachestat(file.fileno()) in (expected, None)
    assert _resident(path) == pytest.approx(expected / pages)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_pages_of_other_users_files_are_not_known() -> None:
    with tempfile.TemporaryDirectory() as folder:  # where another user gets at
        os.chmod(folder, 0o755)
        path = Path(folder, "file")
        path.write_bytes(b"1")
        assert _resident(path) == 1
        os.seteuid(65534)
        try:
            assert _resident(path) is None
        finally:
            os.seteuid(0)


def test_a_sample_is_spread_over_the_files() -> None:
    names = [str(number) for number in range(1000)]
    assert residency.spread(names[:64]) == names[:64]
    sample = residency.spread(names)
    assert len(sample) == len(set(sample)) == 64
    assert (sample[0], sample[-1]) == ("0", "999")


def test_a_missing_file_is_the_targets_error(tmp_path: Path) -> None:
    caches = _caches(tmp_path)
    for prepare in (lambda: caches.make_cold(["gone"], ""), lambda: caches.make_ram_warm(["gone"])):
        with pytest.raises(TargetError, match=r"target t: .*gone: No such file"):
            prepare()


def test_an_export_is_always_cold(nfs_folder: str) -> None:
    caches = _caches(nfs_folder)
    assert caches.can_prove_cold()
    assert caches.cold_method() == "nothing to drop: libnfs keeps nothing"
    proof = caches.make_cold([], "")
    assert proof.state is CacheState.COLD
    words = "this machine, whose page cache was dropped" if os.geteuid() == 0 else "out of reach"
    assert proof.text.startswith("libnfs keeps nothing; the server")
    assert proof.text.endswith(words)
    assert caches.make_ram_warm([]).state is CacheState.UNPROVEN


def _received(mount: Mounted) -> int:
    return int(mount.status()["store"]["received_bytes"])


def test_a_mount_is_emptied_and_filled(cloudfs_mount: Mounted) -> None:
    caches = _caches(cloudfs_mount.path)
    assert caches.can_prove_cold()
    every = [*_DATA, _OTHER]
    assert caches.make_ram_warm(every).state is CacheState.RAM_WARM

    cold = caches.make_cold(_DATA, "data")
    assert cold.state is CacheState.COLD
    assert "user.cloudfs.cached counts 0 bytes local" in cold.text
    # What is not below the folder stays.
    size = MOUNTED_FILES[_OTHER]
    kept = os.getxattr(cloudfs_mount.path / _OTHER, "user.cloudfs.cached")
    assert kept == f"{size}/{size}".encode()

    before = _received(cloudfs_mount)
    warm = caches.make_ssd_warm(_DATA)
    assert warm.state is CacheState.SSD_WARM
    assert "100.0% of the bytes are local" in warm.text
    assert _received(cloudfs_mount) - before == sum(MOUNTED_FILES[name] for name in _DATA)
    assert _resident(*(cloudfs_mount.path / name for name in _DATA)) == 0

    assert caches.make_ram_warm(_DATA).state is CacheState.RAM_WARM
    assert _received(cloudfs_mount) - before == sum(MOUNTED_FILES[name] for name in _DATA)


def test_the_root_of_a_mount_is_emptied_too(cloudfs_mount: Mounted) -> None:
    caches = _caches(cloudfs_mount.path)
    every = [*_DATA, _OTHER]
    caches.make_ram_warm(every)
    assert caches.make_cold(every, "").state is CacheState.COLD
    assert os.getxattr(cloudfs_mount.path / _OTHER, "user.cloudfs.cached").startswith(b"0/")


def test_pages_do_not_keep_a_mount_from_being_filled(cloudfs_mount: Mounted) -> None:
    caches = _caches(cloudfs_mount.path)
    caches.make_ram_warm(_DATA)
    assert cloudfs("cache", "evict", str(cloudfs_mount.path / "data")).returncode == 0
    assert caches.make_ssd_warm(_DATA).state is CacheState.SSD_WARM


def test_pinned_data_are_not_cold(cloudfs_mount: Mounted) -> None:
    caches = _caches(cloudfs_mount.path)
    pinned = str(cloudfs_mount.path / "data")
    assert cloudfs("cache", "pin", pinned).returncode == 0
    try:
        caches.make_cold(_DATA, "data")
        assert cloudfs("warmup", pinned).returncode == 0
        proof = caches.make_cold(_DATA, "data")
        assert proof.state is CacheState.UNPROVEN
        assert "1000000 bytes are still local" in proof.text
        assert "1 pinned" in proof.text
    finally:
        cloudfs("cache", "unpin", pinned)


@pytest.mark.parametrize(
    ("kind", "dropped", "state"),
    [
        (Kind.LOCAL, False, CacheState.UNPROVEN),
        (Kind.NFS, False, CacheState.UNPROVEN),
        (Kind.LOCAL, True, CacheState.COLD),
        (Kind.CLOUDFS, False, CacheState.COLD),
        (Kind.LIBNFS, False, CacheState.COLD),
    ],
)
def test_names_are_cold_only_where_somebody_has_dropped_them(
    kind: Kind, dropped: bool, state: CacheState
) -> None:
    proof = of_names(Proof(CacheState.COLD, "0 pages"), kind, dropped=dropped)
    assert proof.state is state
    assert proof.text.startswith("0 pages")
    assert ("only root can drop" in proof.text) == (state is CacheState.UNPROVEN)
