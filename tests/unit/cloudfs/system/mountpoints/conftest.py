"""Fixtures: a mount table of our own, and a user who is not root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudfs.system.mountpoints import checks, table

MOUNTINFO = (
    rb"""21 28 0:19 / /proc rw,nosuid - proc proc rw
40 28 0:45 / /mnt/my\040data\134x\011y\012z ro - fuse.cloudfs s3://a\040b\043c rw,user_id=0
41 28 0:46 / /mnt/other rw shared:1 master:2 - fuse.s3fs s3fs rw
42 28 0:47 / /mnt/other rw - fuse.cloudfs file:///b rw
43 28 0:48 / /mnt/caf\303\251-"""
    + b"\xff"
    + rb""" rw - tmpfs  rw
"""
)


@pytest.fixture
def mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mountinfo"
    path.write_bytes(MOUNTINFO)
    monkeypatch.setattr(table, "_MOUNTINFO", str(path))


@pytest.fixture
def plain_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fuse").write_text("")
    monkeypatch.setattr(checks, "FUSE_DEVICE", str(tmp_path / "fuse"))
    monkeypatch.setattr(checks, "_FUSE_CONF", str(tmp_path / "fuse.conf"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    program = tmp_path / "fusermount3"
    program.write_text("#!/bin/sh\necho 'fusermount3: failed: Device or resource busy' >&2\nexit 1")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
