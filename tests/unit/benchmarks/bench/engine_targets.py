"""A small directory for the engines to read, and what they are started with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cloudfs_benchmarks.bench.engines.job import Job, Shape
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.demo.signals import SignalGate

KIB = 1024
MIB = 1024 * KIB

PLAIN = ("large/one", "large/two", "large/three")
"""Whole MiB each."""
SMALL = ("small/a", "small/b:ü;#", "small/ends-in-half-a-block", "small/empty", "small/e$")
ODD = ("odd/with space", "odd/colon:here", "odd/ünï'\"", "odd/brace}{%,")

_SIZES = {
    **dict(zip(PLAIN, (3 * MIB, 2 * MIB, MIB), strict=True)),
    **dict(zip(SMALL, (1000, 70_000, MIB + MIB // 2, 0, 5000), strict=True)),
    **dict.fromkeys(ODD, 64 * KIB),
}


def fill(folder: Path) -> str:
    """Write the files below a folder; returns the target's location."""
    for path, size in _SIZES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(os.urandom(size))
    return str(folder)


def job(shape: Shape, *hands: Sequence[str], sized: bool = True, **options: int | float) -> Job:
    """A job on files of `fill`; `hands` are the files of each reader."""
    sizes = tuple(tuple(_SIZES[path] for path in hand) for hand in hands) if sized else ()
    fields = {"block": MIB, "time_limit_s": 60.0, **options}
    return Job(shape, tuple(map(tuple, hands)), sizes=sizes, **fields)  # type: ignore[arg-type]


def make_children(stack: ExitStack, logs: Path, **environment: str) -> Children:
    """Children with this process's environment but for `environment`."""
    logs.mkdir(exist_ok=True)
    return Children({**os.environ, **environment}, logs, stack, SignalGate())


def snapshot(folder: str) -> dict[str, tuple[str, int]]:
    """Digest and modification time of every file below a folder."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }
