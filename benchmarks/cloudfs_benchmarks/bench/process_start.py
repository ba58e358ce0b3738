"""When a process started: with its pid, what tells it from a later one of the same pid."""

from __future__ import annotations

from pathlib import Path


def start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to the start of the process; None when there is none, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command name before the last parenthesis may hold anything.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
