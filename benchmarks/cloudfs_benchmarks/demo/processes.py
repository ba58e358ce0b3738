"""Child processes whose end is ours to decide.

Every child leads its own session, so that a Ctrl-C at the terminal reaches the demo alone, and
carries a mark in its environment, by which one that escaped (a daemon whose parent was ended half
way) is found. Nothing is ever ended by name.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cloudfs_benchmarks.demo.signals import SignalGate

MARK_NAME = "_CLOUDFS_DEMO_MARK"
_GRACE_S = 5.0
_POLL_S = 0.05
_TAIL_LINES = 15


class StageError(Exception):
    """A stage of the demo failed: the message is for the user and holds the end of the log."""


@dataclass(frozen=True, slots=True)
class Children:
    """Starts children with one environment, logs each to `logs`/NAME.log, stops them on `stack`.

    Main thread only, because of `gate`.
    """

    environment: Mapping[str, str]
    logs: Path
    stack: ExitStack
    gate: SignalGate

    def start(
        self, name: str, command: Sequence[str], *, stdin: int | None = None, pipe: bool = False
    ) -> subprocess.Popen[str]:
        """Start a child that `stack` stops; with `pipe`, its standard output is ours to read."""
        with self.gate.deferred(), self.log(name).open("a", encoding="utf-8") as log:
            child = subprocess.Popen(
                command,
                stdin=stdin if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else log,
                stderr=log,
                text=True,
                env=dict(self.environment),
                start_new_session=True,
            )
            self.stack.callback(stop, child)
        return child

    def run(self, name: str, command: Sequence[str], *, timeout_s: float) -> None:
        """Run a command to its end; `StageError` when it fails or takes longer than `timeout_s`."""
        child = self.start(name, command)
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(name, f"did not end within {timeout_s:.0f} s") from None
        if status != 0:
            raise self.failure(name, f"ended with status {status}")

    def read(self, name: str, command: Sequence[str], *, timeout_s: float) -> str:
        """Like `run`, and return the command's standard output."""
        child = self.start(name, command, pipe=True)
        try:
            output, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(name, f"did not end within {timeout_s:.0f} s") from None
        if child.returncode != 0:
            raise self.failure(name, f"ended with status {child.returncode}")
        return output

    def log(self, name: str) -> Path:
        """Where the child `name` writes what it says."""
        return self.logs / f"{name}.log"

    def failure(self, name: str, what: str) -> StageError:
        """An error that says what happened, with the end of the child's log."""
        lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        return StageError("\n".join([f"{name} {what}", *lines[-_TAIL_LINES:]]))


def stop(child: subprocess.Popen[str]) -> None:
    """End a child and its process group: SIGTERM, and SIGKILL after a grace of seconds."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            break
        _signal_group(child.pid, signum)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
    _close(child.stdin)
    _close(child.stdout)


def kill(child: subprocess.Popen[str]) -> None:
    """End a child's process group at once; safe from any thread, and does not wait."""
    _signal_group(child.pid, signal.SIGKILL)


def sweep(mark: str) -> list[int]:
    """End every process of ours that carries `mark`; returns those that were there, by pid."""
    found = marked(mark)
    for signum in (signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signum)
        deadline_s = time.monotonic() + _GRACE_S
        while marked(mark) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    return found


def marked(mark: str) -> list[int]:
    """The pids of running processes whose environment carries `mark`, this process left out."""
    wanted = f"{MARK_NAME}={mark}".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    pids.append(int(entry.name))
    return pids


def _signal_group(pid: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signum)


def _close(stream: IO[str] | None) -> None:
    if stream is not None:
        with suppress(OSError):
            stream.close()
