"""Mount lifecycle: start and end by signals, by umount, by a crash, under load."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounting import Mounted, cloudfs, is_mounted, wait_until

MountFunction = Callable[..., Mounted]


@pytest.fixture
def url(folder: Path) -> str:
    (folder / "a.bin").write_bytes(os.urandom(3 << 20))
    return f"file://{folder}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_mount(mount: MountFunction, url: str, number: signal.Signals) -> None:
    mounted = mount(url)
    assert (mounted.path / "a.bin").stat().st_size == 3 << 20
    assert mounted.stop(number) == 0
    assert not is_mounted(mounted.path)
    assert list(mounted.path.iterdir()) == []


def test_umount_command_waits_for_the_daemon(mount: MountFunction, url: str) -> None:
    mounted = mount(url)
    done = cloudfs("umount", str(mounted.path))
    assert (done.returncode, done.stderr) == (0, "")
    assert not is_mounted(mounted.path)
    assert mounted.wait(timeout=1) == 0


def test_plain_umount_ends_the_daemon(mount: MountFunction, url: str) -> None:
    mounted = mount(url)
    subprocess.run(["fusermount3", "-u", str(mounted.path)], check=True)
    assert mounted.wait() == 0


def test_killed_daemon_leaves_an_error_and_a_new_mount_clears_it(
    mount: MountFunction, url: str
) -> None:
    mounted = mount(url)
    mounted.process.kill()
    mounted.process.wait(10)
    with pytest.raises(OSError, match="not connected") as caught:
        os.listdir(mounted.path)
    assert caught.value.errno == errno.ENOTCONN
    again = mount(url, path=mounted.path, allowed=["dead|cleared"])
    assert os.listdir(again.path) == ["a.bin"]


def test_umount_clears_a_dead_mountpoint(mount: MountFunction, url: str) -> None:
    mounted = mount(url)
    mounted.process.kill()
    mounted.process.wait(10)
    assert cloudfs("umount", str(mounted.path)).returncode == 0
    assert os.listdir(mounted.path) == []


def test_background_returns_once_the_mount_answers(tmp_path: Path, url: str) -> None:
    path = tmp_path / "m"
    path.mkdir()
    options = ["--background", "--cache-dir", str(tmp_path / "cache"), "--min-free-space", "1MiB"]
    done = cloudfs("mount", url, str(path), *options, env={**os.environ, "HOME": str(tmp_path)})
    try:
        assert done.returncode == 0, done.stderr
        assert os.listdir(path) == ["a.bin"]
        assert cloudfs("status", str(path)).returncode == 0
    finally:
        ended = cloudfs("umount", str(path))
    assert ended.returncode == 0, ended.stderr


def test_mounting_twice_is_refused(mount: MountFunction, url: str, tmp_path: Path) -> None:
    mounted = mount(url)
    second = cloudfs("mount", url, str(mounted.path), "--cache-dir", str(tmp_path / "cache"))
    assert second.returncode == 3
    assert len(second.stderr.splitlines()) == 1
    assert os.listdir(mounted.path) == ["a.bin"]


@pytest.mark.parametrize("end", ["SIGTERM", "umount"])
def test_ends_within_seconds_with_reads_in_flight(
    tmp_path: Path, mount: MountFunction, url: str, end: str
) -> None:
    mounted = mount(url, command=_patched(tmp_path, _STALL))
    reader = subprocess.Popen(
        [sys.executable, "-c", f"open({str(mounted.path / 'a.bin')!r}, 'rb').read()"],
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: mounted.status()["fuse"]["inflight"] > 0, 10, "the read is waiting")
        started = time.monotonic()
        if end == "SIGTERM":
            mounted.stop()
        else:
            assert cloudfs("umount", str(mounted.path)).returncode == 0
            mounted.wait()
        assert time.monotonic() - started < 10
        assert reader.wait(5) != 0
    finally:
        reader.kill()
        reader.wait()


def test_requests_that_come_while_the_mount_ends_do_not_hold_it_up(
    tmp_path: Path, mount: MountFunction, url: str
) -> None:
    mounted = mount(url, command=_patched(tmp_path, _STALL))
    path = str(mounted.path / "a.bin")
    script = f"""
import os
fd = os.open({path!r}, os.O_RDONLY)
while True:
    try:
        os.pread(fd, 4096, 1 << 20)
    except OSError as error:
        if error.errno != 5:
            break
"""
    readers = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(4)]
    try:
        wait_until(lambda: mounted.status()["fuse"]["inflight"] > 0, 10, "the readers wait")
        started = time.monotonic()
        assert mounted.stop() == 0
        assert time.monotonic() - started < 10
    finally:
        for reader in readers:
            reader.kill()
            reader.wait(10)


@pytest.mark.parametrize("how", ["stat", "read", "mmap", "direct", "direct-in-a-fork"])
def test_killed_process_is_gone_within_five_seconds(
    tmp_path: Path, mount: MountFunction, url: str, how: str
) -> None:
    mounted = mount(url, command=_patched(tmp_path, _STALL))
    waiting = subprocess.Popen(
        [sys.executable, "-c", _WAITER, str(mounted.path), how], stdout=subprocess.PIPE, text=True
    )
    assert waiting.stdout is not None
    with waiting.stdout:
        pid = int(waiting.stdout.readline())
        wait_until(lambda: mounted.status()["fuse"]["inflight"] > 0, 10, "the process waits")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not _alive(pid), 5, "the killed process is gone")
    waiting.wait(5)


def test_a_bug_in_a_handler_is_eio_and_the_mount_goes_on(
    tmp_path: Path, mount: MountFunction, url: str
) -> None:
    mounted = mount(url, command=_patched(tmp_path, _BUG), allowed=["bug", "Traceback"])
    with pytest.raises(OSError, match="Input/output") as caught:
        os.stat(mounted.path / "bug")
    assert caught.value.errno == errno.EIO
    assert len((mounted.path / "a.bin").read_bytes()) == 3 << 20
    assert "ZeroDivisionError" in mounted.log


def test_no_descriptor_or_thread_is_left_by_reads(mount: MountFunction, url: str) -> None:
    mounted = mount(url)

    def counts() -> tuple[int, int]:
        proc = Path(f"/proc/{mounted.pid}")
        return len(list((proc / "fd").iterdir())), len(list((proc / "task").iterdir()))

    for _ in range(3):
        (mounted.path / "a.bin").read_bytes()
    before = counts()
    for _ in range(50):
        (mounted.path / "a.bin").read_bytes()
        os.listdir(mounted.path)
    after = counts()
    assert after[0] <= before[0] + 1
    assert after[1] <= before[1] + 8
    wait_until(
        lambda: mounted.status()["fuse"]["operations"]["release"]["requests"] == 53,
        5,
        "every handle is released",
    )


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def _patched(tmp_path: Path, patch: str) -> list[str]:
    """The command line in an interpreter where one function of the mount was replaced."""
    script = tmp_path / "patched_cloudfs.py"
    script.write_text(f"{patch}\nfrom cloudfs.cli.main import main\nmain()\n", encoding="utf-8")
    return [sys.executable, str(script)]


_STALL = """
import trio
from cloudfs_backends.wrappers.store import PipelinedStore

async def never(*args, **kwargs):
    await trio.sleep_forever()

PipelinedStore.get_range = never
plain_head = PipelinedStore.head

async def head(self, key):
    if key == "stall":
        await trio.sleep_forever()
    return await plain_head(self, key)

PipelinedStore.head = head
"""

_BUG = """
from cloudfs.vfs.tree import Tree
plain = Tree.lookup

async def lookup(self, parent, name):
    if name == b"bug":
        1 / 0
    return await plain(self, parent, name)

Tree.lookup = lookup
"""

_WAITER = """
import mmap, os, sys
folder, how = sys.argv[1:]
if how == "stat":
    print(os.getpid(), flush=True)
    os.stat(folder + "/stall")
direct = os.O_DIRECT if how.startswith("direct") else 0
fd = os.open(folder + "/a.bin", os.O_RDONLY | direct)
if how == "direct-in-a-fork" and os.fork():
    os._exit(0)
print(os.getpid(), flush=True)
if how == "read":
    os.read(fd, 100_000)
elif how == "mmap":
    mmap.mmap(fd, 1 << 20, prot=mmap.PROT_READ)[500_000]
else:
    os.preadv(fd, [mmap.mmap(-1, 1 << 20)], 0)
"""
