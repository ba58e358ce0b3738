"""What a run found, for the terminal, the README and a file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from cloudfs import __version__
from cloudfs_benchmarks.readpath.figures import Row

_PACKAGES = (
    *("pyfuse3", "trio", "obstore"),
    *("boto3", "google-cloud-storage", "azure-storage-blob"),
)


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
        "packages": _versions(),
    }


def table(rows: Sequence[Row]) -> str:
    """The rows in columns: median (least-most) and ratios; comparisons of backends as grids."""
    blocks = [_columns(grid) for grid in grids(rows)]
    plain = [row for row in rows if not row.backend]
    if plain:
        head = ("benchmark", "what", "median (least-most)", "ratio", "target", "notes")
        blocks.insert(0, _columns([head, *map(_cells, plain)]))
    return "\n\n".join(blocks)


def markdown(rows: Sequence[Row]) -> str:
    """The rows as lines of a Markdown table, without its head; the grids with theirs."""
    blocks = [_pipes(_cells(row) for row in rows if not row.backend)]
    for head, *lines in grids(rows):
        blocks.append(_pipes([head, ["---"] * len(head), *lines]))
    return "\n\n".join(block for block in blocks if block)


def grids(rows: Sequence[Row]) -> list[list[list[str]]]:
    """The rows that compare backends as two tables with a line for each: values, and ratios."""
    by_backend: dict[str, list[Row]] = {}
    for row in rows:
        if row.backend:
            by_backend.setdefault(row.backend, []).append(row)
    if not by_backend:
        return []
    of_one = next(iter(by_backend.values()))
    values = [["backend", *(f"{row.what}, {row.unit}" for row in of_one), "bytes by"]]
    ratios = [[f"ratio to {of_one[0].against}", *(row.what for row in of_one)]]
    for backend, line in by_backend.items():
        values.append([backend, *(row.values.show() for row in line), line[0].notes])
        ratios.append([backend, *(row.ratio.show(2) if row.ratio else "" for row in line)])
    return [values, ratios]


def write_json(path: Path, conditions: dict[str, Any], rows: Sequence[Row]) -> None:
    """Write every value of every trial, with the environment and the conditions."""
    results = [asdict(row) | {"median": row.values.median, "met": row.met} for row in rows]
    document = {"environment": environment(), "conditions": conditions, "results": results}
    path.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")


def _versions() -> dict[str, str]:
    """Of the packages that are there: not every benchmark needs all."""
    versions = {"cloudfs": __version__}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _columns(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _pipes(lines: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(row: Row) -> tuple[str, str, str, str, str, str]:
    ratio = f"{row.ratio.show(2)} of {row.against}" if row.ratio else ""
    return (
        row.case,
        row.what,
        f"{row.values.show()} {row.unit}",
        ratio,
        _target(row),
        row.notes,
    )


def _target(row: Row) -> str:
    if row.met is None:
        return ""
    bound = f"{row.target:g}" if row.target is not None else f"at most {row.at_most:g}"
    return f"{bound}: {'met' if row.met else 'MISSED'}"
