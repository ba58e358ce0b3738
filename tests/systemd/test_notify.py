"""Notifications of a mount on NOTIFY_SOCKET, and its signals, without systemd."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import can_mount, is_mounted, mounted

pytestmark = pytest.mark.skipif(can_mount() is not None, reason=f"cannot mount: {can_mount()}")

_WAIT_S = 10.0


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "a.txt").write_text("1\n")
    return folder


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The manager's end of the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(_WAIT_S)
        yield listening


def _next(manager: socket.socket, word: str) -> str:
    """The next message that begins with a word; fails when none comes."""
    while True:
        message = manager.recv(4096).decode()
        if message.startswith(word):
            return message


def test_ready_reload_and_stop_are_told(
    tmp_path: Path, bucket: Path, manager: socket.socket
) -> None:
    path = tmp_path / "m"
    env = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
    options = ("--metadata-ttl", "1h", "--negative-ttl", "1h")
    url, cache_dir = f"file://{bucket}", tmp_path / "cache"
    with mounted(url, path, *options, cache_dir=cache_dir, env=env) as mount:
        assert f"STATUS={url} on {path}: " in _next(manager, "READY=1\n")
        assert os.listdir(path) == ["a.txt"]
        (bucket / "b.txt").write_text("2\n")
        assert os.listdir(path) == ["a.txt"]
        with open(path / "a.txt") as file:
            mount.process.send_signal(signal.SIGHUP)
            _next(manager, "RELOADING=1\n")
            _next(manager, "READY=1\n")
            assert sorted(os.listdir(path)) == ["a.txt", "b.txt"]
            assert file.read() == "1\n"
        _next(manager, "WATCHDOG=1")
        mount.process.send_signal(signal.SIGTERM)
        assert "EXTEND_TIMEOUT_USEC=" in _next(manager, "STOPPING=1\n")
        assert mount.wait() == 0


@pytest.mark.slow
def test_a_mount_in_a_terminal_ends_with_the_terminal(tmp_path: Path, bucket: Path) -> None:
    ours, theirs = os.openpty()
    # The first terminal that the leader of a session opens becomes its own.
    script = f"""
import os, sys
os.open({os.ttyname(theirs)!r}, os.O_RDWR)
os.execv(sys.executable, [sys.executable, "-m", "cloudfs", *sys.argv[1:]])
"""
    command = (sys.executable, "-c", script)
    try:
        with mounted(
            f"file://{bucket}", tmp_path / "m", cache_dir=tmp_path / "cache", command=command
        ) as mount:
            os.close(theirs)
            os.close(ours)
            ours = theirs = -1
            assert mount.wait() == 0
            assert not is_mounted(mount.path)
            assert "SIGHUP: ending the mount" in mount.log
    finally:
        for descriptor in {ours, theirs} - {-1}:
            os.close(descriptor)


@pytest.mark.slow
def test_nohup_is_respected(tmp_path: Path, bucket: Path) -> None:
    script = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "cloudfs", *sys.argv[1:]])
"""
    command = (sys.executable, "-c", script)
    cache_dir = tmp_path / "cache"
    with mounted(f"file://{bucket}", tmp_path / "m", cache_dir=cache_dir, command=command) as mount:
        mount.process.send_signal(signal.SIGHUP)
        assert mount.stop() == 0
        assert "SIGHUP" not in mount.log
