"""The checks of cache directories, on real file systems and with a real index."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks.cache import cache
from cloudfs.doctor.checks.disk import disk
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, Result
from cloudfs.doctor.probes import disk_speed
from cloudfs.errors import ExitCode
from cloudfs.units import GIB, MIB
from cloudfs_cache.disk.open import DiskSettings, open_disk_tier
from tests.contract.in_trio import in_trio
from tests.support import disks as bad_disks

OK, WARNING, FAILURE = Result.OK, Result.WARNING, Result.FAILURE

needs_tmpfs = pytest.mark.skipif(
    bad_disks.why_no_tmpfs() is not None, reason=bad_disks.why_no_tmpfs() or ""
)
needs_loop = pytest.mark.skipif(
    bad_disks.why_no_loop_disk() is not None, reason=bad_disks.why_no_loop_disk() or ""
)


def context(*directories: Path | str, **flags: str) -> Context:
    given = {"cache_dir": tuple(map(str, directories)), **flags}
    return Context(resolve(None, None, flags=given, required=()), {})


async def found_of(*directories: Path | str, **flags: str) -> Sequence[Finding]:
    return await cache(context(*directories, **flags))


def room(path: Path) -> dict[str, str]:
    """Settings that leave no doubt about the space, however full the machine is."""
    return {"max_cache_size": "1MiB", "min_free_space": "0"}


class TestDirectories:
    @in_trio
    async def test_one_that_is_not_there_yet(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b"
        (found,) = await found_of(path, **room(path))
        assert found.result is OK
        assert str(path) in found.text
        assert (found.facts["exists"], found.facts["capacity_bytes"]) == (False, MIB)
        assert not list(tmp_path.iterdir())

    @in_trio
    async def test_one_in_use(self, tmp_path: Path) -> None:
        settings = DiskSettings(capacity_bytes=MIB, min_free_bytes=0)
        tier = open_disk_tier(str(tmp_path / "c"), "s3://bucket/", settings)
        try:
            (found,) = await found_of(tmp_path / "c", **room(tmp_path))
        finally:
            await tier.aclose()
        assert (found.result, found.facts["mounts"]) == (OK, 1)
        assert "1 mount" in found.text
        (found,) = await found_of(tmp_path / "c", **room(tmp_path))
        assert found.facts["mounts"] == 0

    @in_trio
    async def test_of_another_layout(self, tmp_path: Path) -> None:
        (tmp_path / "cloudfs-cache.json").write_text(json.dumps({"format": 1}))
        (found,) = await found_of(tmp_path, **room(tmp_path))
        assert (found.result, found.exit_code) == (FAILURE, ExitCode.CACHE)
        assert f"{tmp_path} has layout 1" in found.text

    @in_trio
    async def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        (found,) = await found_of(tmp_path / "file" / "c")
        assert (found.result, found.exit_code) == (FAILURE, ExitCode.CACHE)
        assert f"{tmp_path}/file " in found.text

    @in_trio
    async def test_one_that_others_may_enter(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        first, second = await found_of(tmp_path, **room(tmp_path))
        assert (first.result, second.result) == (OK, WARNING)
        assert second.fix == f"chmod 700 {tmp_path}"

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")
    @in_trio
    async def test_of_another_user(self, tmp_path: Path) -> None:
        (tmp_path / "c").mkdir(mode=0o700)
        os.chown(tmp_path / "c", 65534, 65534)
        _, doubt = await found_of(tmp_path / "c", **room(tmp_path))
        assert doubt.result is WARNING
        assert "65534" in doubt.text
        assert f"chown -R 0 {tmp_path}/c" in doubt.fix

    @in_trio
    async def test_two_on_one_disk(self, tmp_path: Path) -> None:
        *_, last = await found_of(tmp_path / "a", tmp_path / "b", **room(tmp_path))
        assert last.result is WARNING
        assert f"{tmp_path}/a" in last.text
        assert f"{tmp_path}/b" in last.text

    @in_trio
    async def test_turned_off(self, tmp_path: Path) -> None:
        (found,) = await found_of(tmp_path / "a", max_cache_size="0")
        assert (found.result, found.facts["capacity_bytes"]) == (OK, 0)
        (measured,) = await disk(context(tmp_path / "a", max_cache_size="0"))
        assert measured.result is Result.SKIPPED


class TestSpace:
    @needs_tmpfs
    @in_trio
    async def test_in_memory_and_small(self, tmp_path: Path) -> None:
        with bad_disks.small_tmpfs(tmp_path / "disk", 64 * MIB) as small:
            path = small.path / "c"
            first, second = await found_of(path, min_free_space="0")
            assert (first.result, second.result) == (WARNING, WARNING)
            assert (first.facts["capacity_bytes"], first.facts["fstype"]) == (
                *(64 * MIB * 8 // 10, "tmpfs"),
            )
            assert "tmpfs" in second.text
            asked, _ = await found_of(f"{path}:1GiB", min_free_space="32MiB")
            assert asked.result is WARNING
            assert all(size in asked.text for size in ("32 MiB", "1 GiB"))
            small.fill(512 * 1024)
            full, _ = await found_of(path, min_free_space="0")
            assert (full.result, full.exit_code) == (FAILURE, ExitCode.CACHE)
            assert str(path) in full.text

    @needs_loop
    @in_trio
    async def test_a_disk_that_has_fallen_read_only(self, tmp_path: Path) -> None:
        with bad_disks.loop_disk(tmp_path / "disk", 32 * MIB) as loop:
            loop.remount_read_only()
            (found,) = await found_of(loop.path / "c", **room(loop.path))
            loop.remount_read_write()
        assert (found.result, found.exit_code) == (FAILURE, ExitCode.CACHE)
        assert str(loop.path) in found.text

    @needs_loop
    @in_trio
    async def test_a_disk_is_told_apart(self, tmp_path: Path) -> None:
        with bad_disks.loop_disk(tmp_path / "disk", 32 * MIB) as loop:
            (found,) = await found_of(loop.path / "c", **room(loop.path))
            assert (found.facts["fstype"], found.facts["source"]) == ("ext4", loop.device)
            assert found.facts["rotational"] in {True, False}
            (skipped,) = await disk(context(loop.path / "c", **room(loop.path)))
        assert skipped.result is Result.SKIPPED
        assert str(loop.path) in skipped.text


class TestSpeed:
    @in_trio
    async def test_nothing_is_left_behind(self, tmp_path: Path) -> None:
        subject = context(tmp_path / "c")
        if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 2 * GIB:
            pytest.skip("the disk is full")
        (found,) = await disk(subject)
        assert found.facts["directory"] == str(tmp_path)
        assert subject.disk_read_bytes_per_s == pytest.approx(
            found.facts["read_bytes_per_s"], abs=1
        )
        assert not list(tmp_path.iterdir())

    @needs_tmpfs
    def test_a_full_disk_is_an_error_and_not_a_speed(self, tmp_path: Path) -> None:
        with bad_disks.small_tmpfs(tmp_path / "disk", 16 * MIB) as small:
            with pytest.raises(OSError, match="No space left"):
                disk_speed.measure(small.path)
            assert not list(small.path.iterdir())
            assert small.free_bytes() > 15 * MIB
