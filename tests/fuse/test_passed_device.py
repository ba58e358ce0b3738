"""`cloudfs mount URL /dev/fd/N`: the caller opens the FUSE device and mounts it, as a CSI driver
does, and cloudfs only serves it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.support.mounting import cloudfs, is_mounted, wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to call mount(2)")

_READ_ONLY, _NOSUID, _NODEV, _DETACH = 1, 2, 4, 2
_LIBC = ctypes.CDLL(None, use_errno=True)
DATA = bytes(range(256)) * 4096


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One folder of control sockets for all processes of a test."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    return folder


class Driver:
    """The caller: a device that it has opened and mounted at `path`."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.path = path
        self.descriptor = os.open("/dev/fuse", os.O_RDWR)
        self._is_open = True
        options = f"fd={self.descriptor},rootmode=40000,user_id=0,group_id=0,default_permissions"
        flags = _READ_ONLY | _NOSUID | _NODEV
        source, kind = b"cloudfs-test", b"fuse"
        if _LIBC.mount(source, os.fsencode(path), kind, flags, options.encode()):
            pytest.skip(f"cannot mount: {os.strerror(ctypes.get_errno())}")

    def unmount(self) -> None:
        """Unmount it, as the driver does when no pod needs it any more."""
        assert _LIBC.umount2(os.fsencode(self.path), 0) == 0

    def close_device(self) -> None:
        """Close the device once it was passed on: another copy would keep the mount alive."""
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)

    def close(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        self.close_device()
        while is_mounted(self.path):
            assert _LIBC.umount2(os.fsencode(self.path), _DETACH) == 0


@contextmanager
def driver(path: Path) -> Iterator[Driver]:
    found = Driver(path)
    try:
        yield found
    finally:
        found.close()


def _until_mounted(log: IO[str]) -> Iterator[str]:
    """Yield the lines of the log to the one that says so, or to its end."""
    for line in log:
        yield line
        if " mounted " in line:
            return


@contextmanager
def served(driver: Driver, folder: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Serve the device with cloudfs; the caller closes its own descriptor."""
    command = [
        *(sys.executable, "-m", "cloudfs", "mount", f"file://{folder}"),
        *(f"/dev/fd/{driver.descriptor}", "--cache-dir", str(cache), "--min-free-space", "1MiB"),
    ]
    with subprocess.Popen(
        command, pass_fds=[driver.descriptor], stderr=subprocess.PIPE, text=True
    ) as process:
        driver.close_device()
        try:
            assert process.stderr is not None
            said = list(_until_mounted(process.stderr))
            assert f"mounted file://{folder} on /dev/fd/" in said[-1], said
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def documents_of(driver: Driver) -> list[dict[str, Any]]:
    """Return the documents of `cloudfs status` for the descriptor: other mounts may run here."""
    documents = json.loads(cloudfs("status", "--json").stdout)
    path = f"/dev/fd/{driver.descriptor}"
    return [document for document in documents if document["mountpoint"] == path]


def test_a_device_that_was_mounted_by_the_caller(folder: Path, tmp_path: Path) -> None:
    (folder / "data.bin").write_bytes(DATA)
    with driver(tmp_path / "mnt") as pod, served(pod, folder, tmp_path / "cache") as process:
        assert (pod.path / "data.bin").read_bytes() == DATA
        (document,) = documents_of(pod)
        assert document["pid"] == process.pid
        assert document["fuse"]["read_bytes"] >= len(DATA)
        pod.unmount()
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "unmounted /dev/fd/" in process.stderr.read()


@pytest.mark.slow
def test_a_signal_ends_it_and_leaves_the_mount_to_the_caller(folder: Path, tmp_path: Path) -> None:
    (folder / "data.bin").write_bytes(DATA)
    with driver(tmp_path / "mnt") as pod, served(pod, folder, tmp_path / "cache") as process:
        assert (pod.path / "data.bin").read_bytes() == DATA
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert is_mounted(pod.path), "the caller unmounts it"
        with pytest.raises(OSError, match="not connected"):
            os.listdir(pod.path)


@pytest.mark.slow
def test_two_processes_with_the_same_descriptor_share_a_folder_of_sockets(
    folder: Path, tmp_path: Path, sockets: Path
) -> None:
    cache = tmp_path / "cache"
    with driver(tmp_path / "a") as a, served(a, folder, cache) as first:
        # The number is free again, since the caller has closed it.
        with driver(tmp_path / "b") as b, served(b, folder, cache) as second:
            assert a.descriptor == b.descriptor
            assert {document["pid"] for document in documents_of(a)} == {first.pid, second.pid}
            b.unmount()
            assert second.wait(20) == 0
        a.unmount()
        assert first.wait(20) == 0
    wait_until(lambda: not list(sockets.iterdir()), 10, "the sockets are gone")


def refused(path: str, *options: str, descriptors: tuple[int, ...] = ()) -> str:
    """Return the line with which a mount on `path` is refused."""
    done = cloudfs("mount", "file:///tmp", path, *options, pass_fds=descriptors)
    assert done.returncode in {2, 3}, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert f" {path} " in done.stderr
    return done.stderr


@pytest.mark.slow
def test_what_cannot_be_served(tmp_path: Path) -> None:
    assert "not open" in refused("/dev/fd/200")
    with open(tmp_path / "file", "w") as file:
        number = file.fileno()
        said = refused(f"/dev/fd/{number}", descriptors=(number,))
        assert "FUSE device" in said
    device = os.open("/dev/fuse", os.O_RDWR)
    try:
        path = f"/dev/fd/{device}"
        assert f"fd={device}" in refused(path, descriptors=(device,))
        assert "--background" in refused(path, "--background", descriptors=(device,))
    finally:
        os.close(device)
