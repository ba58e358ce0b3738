"""The mount is read-only: whatever would change something answers EROFS."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounting import Mounted

ATTEMPTS: dict[str, Callable[[Path], object]] = {
    "open for writing": lambda m: os.open(m / "a", os.O_WRONLY),
    "open for update": lambda m: os.open(m / "a", os.O_RDWR),
    "truncate at open": lambda m: os.open(m / "a", os.O_WRONLY | os.O_TRUNC),
    "create": lambda m: os.open(m / "new", os.O_CREAT | os.O_WRONLY),
    "truncate": lambda m: os.truncate(m / "a", 0),
    "unlink": lambda m: os.unlink(m / "a"),
    "mkdir": lambda m: os.mkdir(m / "new"),
    "rmdir": lambda m: os.rmdir(m / "d"),
    "rename": lambda m: os.rename(m / "a", m / "b"),
    "link": lambda m: os.link(m / "a", m / "b"),
    "symlink": lambda m: os.symlink("a", m / "b"),
    "mknod": lambda m: os.mknod(m / "fifo", 0o10600),
    "chmod": lambda m: os.chmod(m / "a", 0o600),
    "chown": lambda m: os.chown(m / "a", os.getuid(), os.getgid()),
    "utime": lambda m: os.utime(m / "a"),
    "setxattr": lambda m: os.setxattr(m / "a", "user.x", b"1"),
    "removexattr": lambda m: os.removexattr(m / "a", "user.cloudfs.etag"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    (folder / "a").write_bytes(b"content")
    (folder / "d").mkdir()
    (folder / "d" / "inside").write_bytes(b"x")
    return folder


def test_every_write_is_refused(tree: Path, mount: Callable[..., Mounted]) -> None:
    mounted = mount(f"file://{tree}")
    answers = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt(mounted.path)
        except OSError as error:
            answers[name] = errno.errorcode[error.errno or 0]
        else:
            answers[name] = "allowed"
    assert answers == dict.fromkeys(ATTEMPTS, "EROFS")
    assert (mounted.path / "a").read_bytes() == b"content"
