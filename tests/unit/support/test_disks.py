"""The bad disks themselves: they are what they say, and nothing of them is left behind."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.support import disks
from tests.support.mounting import is_mounted, wait_until

MIB = 1 << 20
_PUNCH_HOLE_KEEP_SIZE = 3
_WAITING_S = 10.0

Make = Callable[[Path], AbstractContextManager[disks.Disk]]

KINDS: dict[str, tuple[Callable[[], str | None], Make]] = {
    "tmpfs": (disks.why_no_tmpfs, lambda path: disks.small_tmpfs(path, 32 * MIB)),
    "ext4": (disks.why_no_loop_disk, lambda path: disks.loop_disk(path, 32 * MIB)),
    "xfs": (
        lambda: disks.why_no_loop_disk("xfs"),
        lambda path: disks.loop_disk(path, 320 * MIB, "xfs"),
    ),
    "stalling": (
        disks.why_no_stalling_disk,
        lambda path: disks.stalling_disk(path, path.with_name("backing")),
    ),
    "faulty": (
        disks.why_no_faulty_loop_disk,
        lambda path: disks.faulty_loop_disk(path, 32 * MIB),
    ),
}


@pytest.fixture(autouse=True)
def nothing_attached(tmp_path: Path) -> Iterator[None]:
    """No mount and no loop device of the test is left."""
    yield
    assert f" {tmp_path}" not in Path("/proc/self/mountinfo").read_text()
    images = [p.read_text() for p in Path("/sys/block").glob("loop*/loop/backing_file")]
    assert [image for image in images if str(tmp_path) in image] == []


@contextmanager
def made(kind: str, path: Path) -> Iterator[disks.Disk]:
    reason, make = KINDS[kind]
    disks.need(reason())
    with make(path) as disk:
        yield disk


def media_of(disk: disks.Disk) -> disks.StallingDisk:
    """What stalls and fails on command."""
    media = disk.media if isinstance(disk, disks.FaultyLoopDisk) else disk
    assert isinstance(media, disks.StallingDisk)
    return media


@contextmanager
def opened_direct(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def aligned(content: bytes) -> mmap.mmap:
    buffer = mmap.mmap(-1, len(content))
    buffer[:] = content
    return buffer


def waiting(process: subprocess.Popen[bytes]) -> Callable[[], bool]:
    """Whether a child waits in the kernel for a disk rather than runs or has ended."""
    places = ("fuse", "request_wait", "folio", "percpu_rwsem", "iomap", "jbd2")
    wchan = Path(f"/proc/{process.pid}/wchan")
    return lambda: any(place in wchan.read_text() for place in places)


@contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        yield process


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_can_hold_a_cache(kind: str, tmp_path: Path) -> None:
    with made(kind, tmp_path / "disk") as disk:
        assert os.stat(disk.path).st_dev != os.stat(tmp_path).st_dev
        content = os.urandom(MIB)
        with aligned(content) as out, aligned(bytes(MIB)) as back:
            with opened_direct(disk.path / "data") as fd:
                assert os.pwritev(fd, [out], 0) == MIB
                assert os.preadv(fd, [back], 0) == MIB
                assert back[:] == content
                allocated = os.fstat(fd).st_blocks
                hole = ctypes.c_long(0), ctypes.c_long(MIB // 2)
                assert ctypes.CDLL(None).fallocate(fd, _PUNCH_HOLE_KEEP_SIZE, *hole) == 0
                assert os.fstat(fd).st_blocks == allocated - MIB // 2 // 512
                assert os.preadv(fd, [back], 0) == MIB
            assert back[:] == bytes(MIB // 2) + content[MIB // 2 :]
        path = disk.path / "index.sqlite"
        with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path)) as two:
            assert one.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
            one.execute("CREATE TABLE t (a)")
            one.execute("INSERT INTO t VALUES (1)")
            one.commit()
            assert two.execute("SELECT a FROM t").fetchall() == [(1,)]
            assert (disk.path / "index.sqlite-shm").stat().st_size > 0


@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs", "faulty"])
def test_a_full_disk_takes_what_was_left_and_no_more(kind: str, tmp_path: Path) -> None:
    with made(kind, tmp_path / "disk") as disk:
        filling = disk.fill(4 * MIB)
        assert disk.free_bytes() <= 4 * MIB
        with (disk.path / "more").open("wb", buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, MIB)
            with pytest.raises(OSError, match="No space left"):
                os.posix_fallocate(file.fileno(), MIB, 8 * MIB)
        disk.fill(0)
        assert disk.free_bytes() < MIB // 4
        os.truncate(filling, 0)
        assert disk.free_bytes() > 4 * MIB


def test_a_read_only_disk_can_be_written_again_later(tmp_path: Path) -> None:
    disks.need(disks.why_no_loop_disk())
    with disks.loop_disk(tmp_path / "disk", 16 * MIB) as disk:
        file = disk.path / "file"
        with file.open("wb"), pytest.raises(disks.CommandError, match="busy"):
            disk.remount_read_only()
        disk.remount_read_only()
        with pytest.raises(OSError, match="Read-only"):
            file.write_bytes(b"x")
        disk.remount_read_write()
        file.write_bytes(b"x")


def test_a_disk_falls_read_only_under_open_files(tmp_path: Path) -> None:
    disks.need(disks.why_no_loop_disk())
    with disks.loop_disk(tmp_path / "disk", 16 * MIB) as disk:
        file = disk.path / "file"
        with file.open("w+b", buffering=0) as out:
            out.write(b"before")
            disk.fall_read_only()
            with pytest.raises(OSError, match="Read-only"):
                out.write(b"after")
            assert os.pread(out.fileno(), 10, 0) == b"before"
        disk.power_on()
        file.write_bytes(b"x")


@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_writes_wait_for_a_frozen_disk(fstype: str, tmp_path: Path) -> None:
    disks.need(disks.why_no_loop_disk(fstype))
    with disks.loop_disk(tmp_path / "disk", 320 * MIB, fstype) as disk:
        (disk.path / "old").write_bytes(b"old")
        disk.freeze()
        with child("touch", str(disk.path / "new")) as process:
            try:
                wait_until(waiting(process), _WAITING_S, "touch does not wait")
                assert (disk.path / "old").read_bytes() == b"old"
            finally:
                disk.thaw()
            assert process.wait(_WAITING_S) == 0


@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
def test_a_power_cut_loses_what_was_not_synced(fstype: str, tmp_path: Path) -> None:
    disks.need(disks.why_no_loop_disk(fstype))
    with disks.loop_disk(tmp_path / "disk", 320 * MIB, fstype) as disk:
        safe, lost = disk.path / "safe", disk.path / "lost"
        with safe.open("wb") as out:
            out.write(b"safe")
            out.flush()
            os.fsync(out.fileno())
        lost.write_bytes(b"lost")
        disk.cut_power()
        with pytest.raises(OSError, match="Input/output error"):
            safe.read_bytes()
        disk.power_on()
        assert safe.read_bytes() == b"safe"
        assert not lost.exists() or lost.read_bytes() == b""


@pytest.mark.parametrize("kind", ["stalling", "faulty"])
def test_reads_wait_for_a_stalled_disk(kind: str, tmp_path: Path) -> None:
    with made(kind, tmp_path / "disk") as disk:
        media = media_of(disk)
        with aligned(b"x" * MIB) as out, opened_direct(disk.path / "file") as fd:
            os.pwritev(fd, [out], 0)
        media.stall()
        with child("dd", f"if={disk.path}/file", "bs=1M", "iflag=direct", "status=none") as reader:
            try:
                wait_until(waiting(reader), _WAITING_S, "the reader does not wait")
            finally:
                media.resume()
            assert reader.communicate(timeout=_WAITING_S)[0] == b"x" * MIB


@pytest.mark.parametrize("kind", ["stalling", "faulty"])
def test_reads_and_writes_fail_until_mended(kind: str, tmp_path: Path) -> None:
    with made(kind, tmp_path / "disk") as disk:
        media = media_of(disk)
        with aligned(b"x" * 4096) as block, opened_direct(disk.path / "file") as fd:
            os.pwritev(fd, [block], 0)
            media.break_reads()
            with pytest.raises(OSError, match="Input/output error") as failure:
                os.preadv(fd, [block], 0)
            assert failure.value.errno == errno.EIO
            media.repair()
            assert os.preadv(fd, [block], 0) == 4096
            media.break_writes()
            with pytest.raises(OSError, match=r"Input/output error|Read-only"):
                os.pwritev(fd, [block], 0)
            assert os.preadv(fd, [block], 0) == 4096
            media.repair()


def test_an_errno_of_choice(tmp_path: Path) -> None:
    disks.need(disks.why_no_stalling_disk())
    with disks.stalling_disk(tmp_path / "disk", tmp_path / "backing") as disk:
        disk.break_writes(errno.ENOSPC)
        with pytest.raises(OSError, match="No space left"):
            (disk.path / "file").touch()


class BrokenTestError(Exception):
    """What a failing test raises."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_test_leaves_nothing(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with pytest.raises(BrokenTestError), made(kind, path) as disk:  # noqa: PT012
        (disk.path / "file").write_bytes(b"x" * MIB)
        if kind in ("stalling", "faulty"):
            media_of(disk).stall()
        elif isinstance(disk, disks.LoopDisk):
            disk.freeze()
        raise BrokenTestError
    assert not is_mounted(path)


@pytest.mark.parametrize("kind", ["stalling", "faulty"])
def test_a_disk_that_died_leaves_nothing(kind: str, tmp_path: Path) -> None:
    with made(kind, tmp_path / "disk") as disk:
        media = media_of(disk)
        file = disk.path / "file"
        with aligned(b"x" * MIB) as out, opened_direct(file) as fd:
            os.pwritev(fd, [out], 0)
        media.die()
        with child("dd", f"if={file}", "bs=1M", "iflag=direct", "status=none") as reader:
            assert reader.communicate(timeout=_WAITING_S)[0] == b""
        assert reader.returncode != 0


def test_open_files_fail_the_test_that_forgot_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks.need(disks.why_no_tmpfs())
    monkeypatch.setattr(disks, "_BUSY_S", 0.1)
    with ExitStack() as still_open:
        with (
            pytest.raises(AssertionError, match=r"busy.*disk/forgotten"),
            disks.small_tmpfs(tmp_path / "disk", MIB) as disk,
        ):
            still_open.enter_context((disk.path / "forgotten").open("wb"))
        assert not is_mounted(disk.path)
