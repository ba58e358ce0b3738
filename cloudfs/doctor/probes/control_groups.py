"""Limits of the control groups of this process, v1 and v2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/")


def folders(controller: str, root: Path = _ROOT) -> Iterator[Path]:
    """Yield the folder of this process's group for a controller, and of every group above it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        # In a container the path may be the host's, of which only `base` is visible.
        folder = base / group.lstrip("/")
        yield from (level for level in (folder, *folder.parents) if level.is_relative_to(base))


def task_headroom(root: Path = _ROOT) -> int | None:
    """Return how many more threads the control groups allow, None without a limit."""
    headrooms = []
    for folder in folders("pids", root):
        maximum, current = (
            _text(folder / "pids.max").strip(),
            _text(folder / "pids.current").strip(),
        )
        if maximum.isdigit() and current.isdigit():
            headrooms.append(max(0, int(maximum) - int(current)))
    return min(headrooms, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
