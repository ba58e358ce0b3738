"""Talking to a cloudfs mount through its command line, as its users do."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from cloudfs_benchmarks.bench.errors import TargetError

_STATUS_S = 20.0


def run(*arguments: str, timeout_s: float) -> str:
    """Run `cloudfs ...` and return its standard output.

    `TargetError` with the command's own message when it fails or takes longer than `timeout_s`.
    """
    command = [sys.executable, "-m", "cloudfs", *arguments]
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
