"""Kernel tuning of a mount: read-ahead and background requests, set after mounting."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounting import Mounted

CONNECTIONS = Path("/sys/fs/fuse/connections")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set the kernel's read-ahead")
@pytest.mark.parametrize("kib", [256, 1024])
def test_read_ahead_is_what_was_asked_for(
    mount: Callable[..., Mounted], folder: Path, kib: int
) -> None:
    (folder / "f").write_bytes(b"1")
    mounted = mount(f"file://{folder}", "--kernel-read-ahead", f"{kib}KiB")
    device = os.stat(mounted.path).st_dev
    bdi = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    assert int(bdi.read_text()) == kib
    assert mounted.status()["kernel"]["read_ahead_bytes"] == kib << 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set max_background")
def test_background_requests(mount: Callable[..., Mounted], folder: Path) -> None:
    (folder / "f").write_bytes(b"1")
    mounted = mount(f"file://{folder}")
    connection = CONNECTIONS / str(os.minor(os.stat(mounted.path).st_dev))
    if connection.exists():
        assert int((connection / "max_background").read_text()) == 128
        assert mounted.status()["kernel"]["max_background"] == 128
    else:
        # No fusectl file system here, as in many containers: one line says what to run.
        line = mounted.wait_for_log("mount -t fusectl")
        assert "max_background" in line
