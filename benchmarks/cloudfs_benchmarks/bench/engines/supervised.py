"""Running an engine's process to its end, or to the end of its time."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.demo.processes import Children, kill, stop


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended: its status, its standard output and its standard error."""

    status: int
    output: str
    messages: str


@dataclass(frozen=True, slots=True)
class Running:
    """An engine's process. `task` is what it does, for the message when it does not end."""

    children: Children
    name: str
    child: subprocess.Popen[str]
    log_size: int
    task: str

    def end(self, limit_s: float) -> Ended:
        """Wait for its end; after `limit_s` it is killed with everything that it has started.

        `TargetError` says then that the task hangs. Returns within a few seconds, also when the
        processes cannot end because the kernel waits for a target that does not answer.
        """
        try:
            output, _ = self.child.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            kill(self.child)
            stop(self.child)
            raise TargetError(
                f"{self.task} did not end within {limit_s:g} s; "
                "does its daemon or server still answer?"
            ) from None
        with self.children.log(self.name).open("rb") as file:
            file.seek(self.log_size)
            messages = file.read().decode("utf-8", errors="replace")
        return Ended(self.child.returncode, output, messages)


def start_engine(
    children: Children, name: str, command: Sequence[str], *, text: str = "", task: str
) -> Running:
    """Start a command with `text` as its standard input; what it says goes to the log of `name`."""
    log = children.log(name)
    before = log.stat().st_size if log.exists() else 0
    # A file and no pipe: nobody has to feed it, and no argument may be longer than 128 KiB.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as given:
        given.write(text)
        given.seek(0)
        child = children.start(name, command, stdin=given.fileno(), pipe=True)
    return Running(children, name, child, before, task)


def run_engine(
    children: Children,
    name: str,
    command: Sequence[str],
    *,
    text: str = "",
    limit_s: float,
    task: str,
) -> Ended:
    """Start a command as `start_engine` does, and wait for its end as `Running.end` does."""
    return start_engine(children, name, command, text=text, task=task).end(limit_s)
