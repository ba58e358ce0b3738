"""A server in a process of its own, which ends with the test that started it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_STOP_TIMEOUT_S = 10.0


@contextmanager
def server_process(
    command: Sequence[str | Path], env: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Run a server until the block ends.

    It has to end when its standard input does: so it never outlives the test, even one that was
    killed.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(env), text=True
    )
    try:
        yield process
    finally:
        _end(process)


def first_line(process: subprocess.Popen[str], mark: str = "") -> str:
    """Wait for the first line of output with `mark` in it, and return it."""
    assert process.stdout is not None
    for line in process.stdout:
        if mark in line:
            return line.strip()
    raise RuntimeError(f"{process.args!r} ended with status {process.wait(_STOP_TIMEOUT_S)}")


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
