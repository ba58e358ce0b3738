"""Talking to a cloudfs mount through its command line, as its users do."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.interpreter import python

_STATUS_S = 20.0
_READ_BYTES = 1 << 16


def run(*arguments: str, timeout_s: float) -> str:
    """Run `cloudfs ...` and return its standard output.

    `TargetError` with the command's own message when it fails or takes longer than `timeout_s`.
    """
    command = python("-m", "cloudfs", *arguments)
    shown = " ".join(["cloudfs", *arguments])
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"`{shown}` did not end within {timeout_s:g} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise TargetError(f"`{shown}`: {said[-1]}")
    return done.stdout


def status(path: str) -> dict[str, Any]:
    """The status document of a mount, or of what is local below a path in one; `TargetError`."""
    output = run("status", path, "--json", timeout_s=_STATUS_S)
    try:
        document: dict[str, Any] = json.loads(output)
    except ValueError:
        raise TargetError(f"`cloudfs status {path} --json` printed no JSON") from None
    return document


class StatusStream:
    """One process that prints the status document of a mount every `every_s`, for as long as the
    children's stack lasts. Asking it costs no start of a process."""

    def __init__(self, children: Children, name: str, path: str, every_s: float) -> None:
        command = python("-m", "cloudfs", "status", path, "--json", f"--watch={every_s}")
        child = children.start(name, command, pipe=True)
        assert child.stdout is not None
        self._child = child
        self._descriptor = child.stdout.fileno()
        os.set_blocking(self._descriptor, False)
        self._begun = b""
        self._latest: dict[str, Any] | None = None

    def latest(self) -> dict[str, Any] | None:
        """Return the last document that has come, None before the first. Does not wait.

        `TargetError` when the process has ended.
        """
        line = b""
        while received := self._receive():
            whole, _, self._begun = (self._begun + received).rpartition(b"\n")
            line = whole or line
        line = line.rpartition(b"\n")[2]
        if line:
            self._latest = json.loads(line)
        if self._child.poll() is not None:
            status = self._child.returncode
            raise TargetError(f"`cloudfs status --watch` ended with status {status}")
        return self._latest

    def _receive(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return b""
