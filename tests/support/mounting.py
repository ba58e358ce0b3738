"""Real mounts for tests: `cloudfs mount` as a foreground subprocess, ended whatever happens.

A `Mounted` fails its test when the daemon logged an unexpected warning, left its mount behind, or
had to be killed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY_S = 30.0
STOP_S = 20.0

_PROBLEM = re.compile(
    r"\b(WARNING|ERROR|CRITICAL)\b|Traceback|was never awaited|ResourceWarning|Exception ignored"
)


def can_mount() -> str | None:
    """Return why this machine cannot mount FUSE file systems, or None when it can."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    return None


def is_mounted(path: Path) -> bool:
    """Return whether the path is in this process's mount table."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split()[4] == str(path) for line in table)


def cloudfs(
    *arguments: str, timeout: float = 60, **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "cloudfs", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **kwargs,
    )


class Mounted:
    """A running mount. `path` is the mountpoint, `pid` the daemon's."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        self.path = path
        self.process = process
        self.pid = process.pid
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()

    @property
    def log(self) -> str:
        """Everything the daemon has written so far."""
        return "".join(self.lines)

    def wait_for_log(self, pattern: str, timeout: float = READY_S) -> str:
        """Return the first log line that matches, waiting for it."""

        def found() -> str | None:
            return next((line for line in self.lines if re.search(pattern, line)), None)

        with self._changed:
            if not self._changed.wait_for(
                lambda: found() or not self._reader.is_alive(), timeout
            ) or not (line := found()):
                raise AssertionError(f"no {pattern!r} in the daemon's log:\n{self.log}")
            return line

    def status(self) -> dict[str, Any]:
        """The status document."""
        done = cloudfs("status", str(self.path), "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def gets(self) -> int:
        """Return the number of GET requests to the store."""
        return int(self.status()["store"]["requests"].get("get", 0))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon by a signal and return its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = STOP_S) -> int:
        """Return the daemon's exit status once it has ended."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def problems(self, allowed: Sequence[str]) -> list[str]:
        """Return the log lines that no test should leave behind."""
        return [
            line
            for line in self.lines
            if _PROBLEM.search(line) and not any(re.search(a, line) for a in allowed)
        ]

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()


@contextmanager
def mounted(
    url: str,
    path: Path,
    *options: str,
    cache_dir: Path,
    env: Mapping[str, str] | None = None,
    allowed: Sequence[str] = (),
    command: Sequence[str] = (sys.executable, "-m", "cloudfs"),
) -> Iterator[Mounted]:
    """Mount `url` on `path` (made when absent) and end the mount afterwards.

    `allowed` are patterns of warnings that the test provokes on purpose.
    """
    path.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*command, "mount", url, str(path), "--cache-dir", str(cache_dir),
         "--min-free-space", "64MiB", *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONWARNINGS": "default", **(env or {})},
        start_new_session=True,
    )  # fmt: skip
    mount = Mounted(process, path)
    killed = False
    try:
        mount.wait_for_log(r" mounted \S+ on ")
        yield mount
    finally:
        killed = _end(mount)
    assert not killed, f"the daemon had to be killed:\n{mount.log}"
    assert mount.problems(allowed) == [], mount.log
    assert not is_mounted(path), "the mount was left behind"


def _end(mount: Mounted) -> bool:
    """End the daemon and clear the mountpoint; True when it took force."""
    killed = False
    if mount.process.poll() is None:
        mount.process.send_signal(signal.SIGTERM)
        try:
            mount.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            killed = True
            mount.process.kill()
            mount.process.wait(STOP_S)
    mount._reader.join(STOP_S)
    if killed and is_mounted(mount.path):
        subprocess.run(["fusermount3", "-uz", str(mount.path)], check=False, capture_output=True)
    assert mount.process.stderr is not None
    mount.process.stderr.close()
    return killed


def wait_until(condition: Any, timeout: float, what: str) -> None:
    """Poll a condition of another process that gives no event; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s: {what}")
        time.sleep(0.02)
