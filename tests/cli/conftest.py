"""Runs the real command line in a subprocess, and stands in for daemons without a store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pytest

from cloudfs.system import mountpoints

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    def only_error_line(self) -> str:
        """Return the single line on stderr, having checked that it is one of ours."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("cloudfs: ")
        assert "Traceback" not in self.out
        return lines[0].removeprefix("cloudfs: ")


Run: TypeAlias = Callable[..., Finished]
Daemon: TypeAlias = Callable[..., AbstractContextManager[int]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without the user's own settings, whose sockets are the test's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CLOUDFS_", "AWS_"))}
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return {**kept, "RUNTIME_DIRECTORY": str(runtime)}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `python -m cloudfs` with the given arguments and input; keywords are environment."""

    def run(*arguments: str | Path, stdin: str = "", **variables: str) -> Finished:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "cloudfs", *map(str, arguments)],
            capture_output=True,
            check=False,
            text=True,
            cwd=tmp_path,
            input=stdin,
            env={**environment, **variables},
            timeout=60,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """An empty directory, unmounted afterwards."""
    path = tmp_path / "a mount"
    path.mkdir()
    yield path
    while mountpoints.mount_at(path) is not None:
        mountpoints.unmount(path, lazy=True)


@pytest.fixture
def daemon(environment: Mapping[str, str], mountpoint: Path) -> Daemon:
    """Start the fake daemon on the mountpoint, in the given mode; gives its process id."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("needs root and /dev/fuse")

    @contextmanager
    def started(mode: str) -> Iterator[int]:
        command = [sys.executable, "-m", "tests.cli.fake_daemon", str(mountpoint), mode]
        environ = dict(environment)
        with subprocess.Popen(command, stdin=-1, stdout=-1, env=environ, cwd=ROOT) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            try:
                yield process.pid
            finally:
                process.stdin.close()
                process.kill()

    return started
