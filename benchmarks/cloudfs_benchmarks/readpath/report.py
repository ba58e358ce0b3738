"""What a run found, for the terminal, the README and a file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.readpath.figures import Row

_PACKAGES = ("cloudfs", "pyfuse3", "trio", "obstore", "boto3")


def environment() -> dict[str, Any]:
    """The machine and the versions that a figure depends on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_bytes": memory,
        "python": platform.python_version(),
        "root": os.geteuid() == 0,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }


def table(rows: Sequence[Row]) -> str:
    """The rows in columns: median (least-most) and ratios."""
    cells = [("benchmark", "what", "median (least-most)", "ratio", "target", "notes")]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(5)]
    return "\n".join(
        "  ".join([*(c.ljust(w) for c, w in zip(line, widths, strict=False)), line[5]]).rstrip()
        for line in cells
    )


def markdown(rows: Sequence[Row]) -> str:
    """The rows as lines of a Markdown table, without its head."""
    return "\n".join("| " + " | ".join(_cells(row)) + " |" for row in rows)


def write_json(path: Path, conditions: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write every value of every trial, with the environment and the conditions."""
    results = [asdict(row) | {"median": row.values.median, "met": row.met} for row in rows]
    document = {"environment": environment(), "conditions": conditions, "results": results}
    path.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")


def _cells(row: Row) -> tuple[str, str, str, str, str, str]:
    largest = max(row.values.values)
    digits = 0 if largest >= 100 else 1 if largest >= 10 else 2
    ratio = f"{row.ratio.show(2)} of {row.against}" if row.ratio else ""
    return (
        row.case,
        row.what,
        f"{row.values.show(digits)} {row.unit}",
        ratio,
        _target(row),
        row.notes,
    )


def _target(row: Row) -> str:
    if row.met is None:
        return ""
    bound = f"{row.target:g}" if row.target is not None else f"at most {row.at_most:g}"
    return f"{bound}: {'met' if row.met else 'MISSED'}"
