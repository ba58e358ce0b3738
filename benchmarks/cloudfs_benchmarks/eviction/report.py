"""The results as a table and as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.eviction.simulate import POLICIES, Result

_HEAD = ("trace", *POLICIES, "of Belady", "over best", "spread", "written", "target")


def markdown(results: Sequence[Result]) -> str:
    """A table: hit ratios in percent, the mean over the seeds."""
    lines = [_HEAD, ("---", *["---:"] * (len(_HEAD) - 2), "---")]
    lines += [_cells(result) for result in results]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def write_json(path: Path, conditions: dict[str, Any], results: Sequence[Result]) -> None:
    """Write every value of every seed, with the conditions."""
    rows = [
        asdict(r) | {"of_belady": r.of_belady, "over_best": r.over_best, "met": r.met}
        for r in results
    ]
    document = {"conditions": conditions, "results": rows}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _cells(result: Result) -> tuple[str, ...]:
    bound = "0.9 of Belady" if result.is_epoch else "5 points"
    return (
        result.trace,
        *(f"{100 * result.mean(name):.1f}" for name in POLICIES),
        f"{result.of_belady:.3f}",
        f"{100 * result.over_best:+.1f}",
        f"{100 * result.spread:.1f}",
        f"{sum(result.admitted) / len(result.admitted):.1f}x",
        f"{bound}: {'met' if result.met else 'MISSED'}",
    )
