"""Real bad disks for tests of the SSD cache: full, read-only, failing, stalled, without power.

Every context manager yields a disk whose `path` is a file system of its own: O_DIRECT, holes,
locks and SQLite's WAL work there (no O_TMPFILE on a `stalling_disk`). It repairs and removes
everything on the way out, and fails the test that still has files open on it by then. Needs root.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import functools
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mounting import can_mount, is_mounted, wait_until

# How long a file system may stay busy once the test is over: killed processes take a moment.
_BUSY_S = 5.0
_COMMAND_S = 30.0
_SOURCE = Path(__file__).with_name("passthrough.c")
# EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2: what is not on the disk yet is lost.
_PAGE = 4096
_SHUTDOWN = 0x8004587D
_SHUTDOWN_WITHOUT_FLUSH = 2


def need(reason: str | None) -> None:
    """Skip the test if there is a reason, as the `why_no_...` functions return it."""
    if reason:
        pytest.skip(reason)


def why_no_tmpfs() -> str | None:
    """Return why this machine has no `small_tmpfs`, or None when it has."""
    return _root("mount", "umount") or _works(_try_tmpfs)


def why_no_loop_disk(fstype: str = "ext4") -> str | None:
    """Return why this machine has no `loop_disk` of this type, or None when it has."""
    return _root("mount", "umount", "losetup", "fsfreeze", f"mkfs.{fstype}") or _works(_try_loop)


def why_no_stalling_disk() -> str | None:
    """Return why this machine has no `stalling_disk`, or None when it has."""
    return _root("umount", "gcc", "pkg-config") or can_mount() or _works(_passthrough)


def why_no_faulty_loop_disk() -> str | None:
    """Return why this machine has no `faulty_loop_disk`, or None when it has."""
    return why_no_loop_disk() or why_no_stalling_disk()


class CommandError(RuntimeError):
    """A tool of the system refused."""


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system of its own on `path`."""

    path: Path

    def fill(self, leave_bytes: int) -> Path:
        """Write a file so that about `leave_bytes` stay free, and return it.

        Truncate it to make room: xfs frees unlinked files a moment later only.
        """
        file = self.path / "filling"
        with file.open("ab", buffering=0) as out:
            step = 1 << 62
            while (more := min(step, self.free_bytes() - leave_bytes)) >= _PAGE:
                try:
                    os.posix_fallocate(out.fileno(), out.seek(0, os.SEEK_END), more)
                except OSError as error:
                    # Metadata needs some of what is called free.
                    if error.errno != errno.ENOSPC:
                        raise
                    step = more // 2
            os.fsync(out.fileno())
        return file

    def free_bytes(self) -> int:
        """Return the bytes that an ordinary user can still write."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize


@dataclass(frozen=True, slots=True)
class LoopDisk(Disk):
    """A file system on a loop device."""

    device: str
    fstype: str

    def remount_read_only(self) -> None:
        """Remount as an operator does; CommandError while a file is open for writing."""
        _run("mount", "-o", "remount,ro", str(self.path))

    def remount_read_write(self) -> None:
        """Undo `remount_read_only`."""
        _run("mount", "-o", "remount,rw", str(self.path))

    def fall_read_only(self) -> None:
        """Become read-only as ext4 (only) does after an error of its metadata, open files or not.

        Only `power_on` reverts that.
        """
        name = os.path.basename(self.device)
        Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("a test of cloudfs\n")

    def freeze(self) -> None:
        """Block writes, unkillable, until `thaw`; reads go on."""
        _run("fsfreeze", "-f", str(self.path))

    def thaw(self) -> None:
        """Let the waiting writes go on."""
        _run("fsfreeze", "-u", str(self.path))

    def cut_power(self) -> None:
        """Discard what is not on the device yet; everything fails (EIO) until `power_on`."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _SHUTDOWN_WITHOUT_FLUSH))
        finally:
            os.close(fd)

    def power_on(self) -> None:
        """Mount again, replaying the journal, once every process has closed its files there."""
        _unmount(self.path)
        self.mount()

    def mount(self) -> None:
        """Mount the device; once at the start, and by `power_on`."""
        options = "errors=remount-ro" if self.fstype == "ext4" else "defaults"
        _run("mount", "-t", self.fstype, "-o", options, self.device, str(self.path))


@dataclass(frozen=True, slots=True)
class _Switch:
    """The process behind a passthrough mount."""

    process: subprocess.Popen[str]

    def command(self, what: str, number: int) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what} {number}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n"


@dataclass(frozen=True, slots=True)
class StallingDisk(Disk):
    """A passthrough FUSE mount. A process that waits for it may be unkillable until it resumes."""

    _switch: _Switch

    def stall(self) -> None:
        """Block every operation until `resume`, those in flight included."""
        self._switch.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: _is_stopped(self._switch.process.pid), _COMMAND_S, "not stopped")

    def resume(self) -> None:
        """Let the waiting operations go on."""
        self._switch.process.send_signal(signal.SIGCONT)

    def die(self) -> None:
        """Fail for good: every operation from now on, and those that wait."""
        self._switch.process.kill()
        self._switch.process.wait(_COMMAND_S)

    def break_reads(self, number: int = errno.EIO) -> None:
        """Fail reads that the page cache does not answer with this errno.

        SQLite reports EIO of a read as SQLITE_CORRUPT, and dies of SIGBUS where it has mapped the
        page (the WAL's shared memory), as it may on any disk that fails.
        """
        self._switch.command("read", number)

    def break_writes(self, number: int = errno.EIO) -> None:
        """Fail writes, syncs, and changes of names, sizes and attributes with this errno."""
        self._switch.command("write", number)

    def repair(self) -> None:
        """Let reads and writes work again."""
        self.break_reads(0)
        self.break_writes(0)


@dataclass(frozen=True, slots=True)
class FaultyLoopDisk(LoopDisk):
    """ext4 on a device whose requests stall and fail: `media.stall()`, `media.break_reads()` ..."""

    media: StallingDisk


@contextmanager
def small_tmpfs(path: Path, size_bytes: int, *options: str) -> Iterator[Disk]:
    """A tmpfs of limited size. O_DIRECT works, through memory all the same."""
    path.mkdir(exist_ok=True)
    words = ",".join([f"size={size_bytes}", "mode=0700", *options])
    _run("mount", "-t", "tmpfs", "-o", words, "testdisk", str(path))
    try:
        yield Disk(path)
    finally:
        _unmount(path)


@contextmanager
def loop_disk(path: Path, size_bytes: int, fstype: str = "ext4") -> Iterator[LoopDisk]:
    """A file system on an image file beside `path`; xfs needs 300 MiB."""
    with _device(path.with_name(path.name + ".image"), size_bytes) as device:
        disk = LoopDisk(path, device, fstype)
        with _mounted_loop(disk):
            yield disk


@contextmanager
def faulty_loop_disk(path: Path, size_bytes: int) -> Iterator[FaultyLoopDisk]:
    """ext4 on a device that stalls or fails on command.

    A process that waits for a stalled device cannot be killed, as with a real one: call
    `media.resume()` before waiting for its end.
    """
    media_path, backing = path.with_name(path.name + ".media"), path.with_name(path.name + ".back")
    backing.mkdir()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, backing)
        media = stack.enter_context(_passthrough_mount(media_path, backing, "uncached"))
        device = stack.enter_context(_device(media_path / "image", size_bytes))
        disk = FaultyLoopDisk(path, device, "ext4", media)
        stack.enter_context(_mounted_loop(disk))
        stack.callback(_calm, media)
        yield disk


@contextmanager
def stalling_disk(path: Path, backing: Path) -> Iterator[StallingDisk]:
    """The folder `backing` (made when absent) through a mount that stalls or fails on command."""
    with _passthrough_mount(path, backing) as disk:
        yield disk


@contextmanager
def _passthrough_mount(path: Path, backing: Path, *options: str) -> Iterator[StallingDisk]:
    path.mkdir(exist_ok=True)
    backing.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [_passthrough(), str(backing), str(path), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    disk = StallingDisk(path, _Switch(process))
    try:
        wait_until(
            lambda: is_mounted(path) or process.poll() is not None, _COMMAND_S, "no passthrough"
        )
        assert process.poll() is None, "the passthrough has ended"
        yield disk
    finally:
        _calm(disk)
        with ExitStack() as stack:
            stack.callback(_reap, process)
            if is_mounted(path):
                _unmount(path)


@contextmanager
def _device(image: Path, size_bytes: int) -> Iterator[str]:
    with image.open("xb") as file:
        file.truncate(size_bytes)
    try:
        device = _run("losetup", "-f", "--show", str(image)).strip()
        try:
            yield device
        finally:
            _run("losetup", "-d", device)
            # Detaching may lag behind: the image's own file system is busy until then.
            wait_until(lambda: not _attached(device), _BUSY_S, f"{device} is still attached")
    finally:
        with suppress(OSError):  # its own file system may be gone
            image.unlink()


@contextmanager
def _mounted_loop(disk: LoopDisk) -> Iterator[None]:
    block_size = "-bsize=4096" if disk.fstype == "xfs" else "-b4096"
    _run(f"mkfs.{disk.fstype}", "-q", block_size, disk.device)
    disk.path.mkdir(exist_ok=True)
    disk.mount()
    try:
        yield
    finally:
        with suppress(CommandError):
            disk.thaw()
        _unmount(disk.path)


def _calm(disk: StallingDisk) -> None:
    """Let everything that waits on the disk go on, unless its process is gone already."""
    disk.resume()
    with suppress(BrokenPipeError, AssertionError):
        disk.repair()


def _reap(process: subprocess.Popen[str]) -> None:
    """End a passthrough. A mount of it that is left fails from then on instead of blocking."""
    process.kill()
    process.wait(_COMMAND_S)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with suppress(BrokenPipeError):
            pipe.close()


def _unmount(path: Path) -> None:
    """Unmount; lazily if the file system stays busy, which fails the test."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        done = subprocess.run(
            ["umount", str(path)], capture_output=True, text=True, check=False, timeout=_COMMAND_S
        )
        if done.returncode == 0:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    users = _users(path)
    _run("umount", "--lazy", str(path))
    raise AssertionError(f"{done.stderr.strip()} (open files: {users})")


def _users(path: Path) -> list[str]:
    """Return the processes that have files open below the path, with the files."""
    found = []
    for link in [*Path("/proc").glob("[0-9]*/fd/*"), *Path("/proc").glob("[0-9]*/cwd")]:
        with suppress(OSError):
            target = str(link.readlink())
            if target == str(path) or target.startswith(f"{path}/"):
                found.append(f"{link.parts[2]}: {target}")
    return found


def _attached(device: str) -> bool:
    return Path("/sys/block", os.path.basename(device), "loop").exists()


def _is_stopped(pid: int) -> bool:
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    return all((t / "stat").read_text().rpartition(")")[2].split()[0] == "T" for t in tasks)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_S)
    if done.returncode:
        raise CommandError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _root(*tools: str) -> str | None:
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else None


def _works(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except (CommandError, subprocess.SubprocessError, OSError) as error:
        return str(error)
    return None


@functools.cache
def _passthrough() -> str:
    """Compile the passthrough, once per run of the tests."""
    folder = tempfile.mkdtemp(prefix="cloudfs-disks-")
    atexit.register(shutil.rmtree, folder)
    program = f"{folder}/passthrough"
    flags = _run("pkg-config", "--cflags", "--libs", "fuse3").split()
    _run("gcc", "-O1", "-o", program, str(_SOURCE), *flags)
    return program


@functools.cache
def _try_tmpfs() -> None:
    with tempfile.TemporaryDirectory() as folder, small_tmpfs(Path(folder, "disk"), 1 << 20):
        pass


@functools.cache
def _try_loop() -> None:
    with tempfile.TemporaryDirectory() as folder, _device(Path(folder, "image"), 1 << 20):
        pass
