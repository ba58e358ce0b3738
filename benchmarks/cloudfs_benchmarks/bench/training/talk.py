"""Talking with a loader process: its lines, its silence and its end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from cloudfs_benchmarks.bench.training.job import LoaderJob
from cloudfs_benchmarks.demo.processes import Children

_CLOCK = time.monotonic
_READ_BYTES = 1 << 16
_END_S = 30.0
# How soon a loader's death is noticed whose workers still hold its output open.
_LOOK_S = 1.0


class LoaderError(Exception):
    """The loader cannot go on: one line that says why."""


class Meanwhile(Protocol):
    """What is to be done now and then while the loader works."""

    def due_in_s(self) -> float:
        """Seconds until it is to be done; 0 when it is overdue."""

    def sample(self) -> None:
        """Do it."""


class LoaderTalk:
    """The parent's end of a loader's standard input and output."""

    def __init__(
        self, children: Children, name: str, child: subprocess.Popen[str], stall_s: float
    ) -> None:
        self._children = children
        self._name = name
        self._child = child
        self._stall_s = stall_s
        self._lines: list[bytes] = []
        self._begun = b""

    @classmethod
    def start(cls, children: Children, name: str, job: LoaderJob, stall_s: float) -> LoaderTalk:
        """Start the loader; the children's stack stops it."""
        child = children.start(name, job.command(), stdin=subprocess.PIPE, pipe=True)
        return cls(children, name, child, stall_s)

    def next(self, meanwhile: Meanwhile) -> Mapping[str, Any]:
        """The loader's next line.

        `LoaderError` when that says what failed, when the loader has ended, and when there is no
        line for `stall_s`.
        """
        deadline_s = _CLOCK() + self._stall_s
        while not self._lines:
            left_s = deadline_s - _CLOCK()
            if left_s <= 0:
                raise LoaderError(f"the loader did nothing for {self._stall_s:g} s")
            self._receive(min(left_s, meanwhile.due_in_s(), _LOOK_S))
            if meanwhile.due_in_s() <= 0:
                meanwhile.sample()
        line: Mapping[str, Any] = json.loads(self._lines.pop(0))
        if "error" in line:
            raise LoaderError(line["error"])
        return line

    def go_on(self) -> None:
        """Let the loader begin its next epoch."""
        # Of a loader that has ended, `next` says so.
        with suppress(BrokenPipeError):
            if self._child.stdin is not None:
                self._child.stdin.write("\n")
                self._child.stdin.flush()

    def finish(self) -> None:
        """Wait for the loader's end after its last epoch; `LoaderError` unless it is in order."""
        try:
            status = self._child.wait(_END_S)
        except subprocess.TimeoutExpired:
            raise LoaderError(f"the loader did not end within {_END_S:g} s") from None
        if status != 0:
            raise self._ended(status)

    def _receive(self, timeout_s: float) -> None:
        """Take what the loader has said, waiting for it; its end is a `LoaderError`."""
        if self._child.stdout is None:
            raise ValueError("the loader's output goes elsewhere")
        descriptor = self._child.stdout.fileno()
        # Asked before: what it said to its end is in the pipe then.
        status = self._child.poll()
        if not select.select([descriptor], [], [], timeout_s if status is None else 0)[0]:
            if status is not None:
                raise self._ended(status)
            return
        received = os.read(descriptor, _READ_BYTES)
        if not received:
            self.finish()
            raise self._ended(0)
        *lines, self._begun = (self._begun + received).split(b"\n")
        self._lines += lines

    def _ended(self, status: int) -> LoaderError:
        log = self._children.log(self._name).read_text(encoding="utf-8", errors="replace")
        said = [line.strip() for line in log.splitlines() if line.strip()]
        end = f": {said[-1]}" if said else ""
        return LoaderError(f"the loader ended early with status {status}{end}")
