"""`python -m cloudfs_benchmarks.compression`: see `--help` and docs/compression.md."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.compression import alternatives, corpus, lock, measure
from cloudfs_benchmarks.compression.fields import Effort, solve

_TINY = Effort(
    wake_width=40, settle_steps=20, snapshots=2, stride_steps=10, box_points=12, box_steps=2
)


def main(arguments: list[str] | None = None) -> int:
    """Print Markdown tables; returns the exit status."""
    options = _parse(arguments)
    result: dict[str, Any] = {}
    if options.lock:
        result["lock"] = [dataclasses.asdict(row) for row in lock.waits(options.seconds)]
        _print_lock(result["lock"])
    else:
        with tempfile.TemporaryDirectory(prefix="cloudfs-compression-") as folder:
            print("running the solvers", file=sys.stderr)
            samples = corpus.write(Path(folder), solve(_TINY if options.tiny else Effort()))
            result = _of_samples(samples, options)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cloudfs_benchmarks.compression",
        description="What the SSD tier's compression saves on simulation files, and how fast.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--alternatives", action="store_true", help="ratios of every method that was tried"
    )
    what.add_argument("--lock", action="store_true", help="waits for the interpreter's lock")
    parser.add_argument("--tiny", action="store_true", help="tiny files: tries the command out")
    parser.add_argument("--rounds", type=int, default=9, help="default 9; figures are medians")
    parser.add_argument("--blocks", type=int, default=8, help="timed per sample, default 8")
    parser.add_argument("--seconds", type=float, default=2.0, help="per action of --lock")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args(arguments)


def _of_samples(samples: Iterable[corpus.Sample], options: argparse.Namespace) -> dict[str, Any]:
    if options.alternatives:
        _print_cells(["sample", *alternatives.METHODS])
        _print_cells(["---"] * (1 + len(alternatives.METHODS)))
        found = {}
        for sample in samples:
            found[sample.name] = alternatives.ratios(sample.blocks())
            _print_cells([sample.name, *(f"{value:.2f}" for value in found[sample.name].values())])
        return {"alternatives": found}
    heads = [
        "sample",
        "MB",
        "codec of its blocks",
        "ratio",
        "probe, us",
        "encode",
        "decode",
        "copy",
    ]
    _print_cells(heads)
    _print_cells(["---"] * len(heads))
    rows = []
    for sample in samples:
        row = measure.measure(sample, rounds=options.rounds, timed_blocks=options.blocks)
        rows.append(dataclasses.asdict(row))
        _print_cells(_cells(row))
    return {"formats": rows}


def _cells(row: measure.Row) -> list[str]:
    counts = sorted(row.chosen.items(), key=lambda item: -item[1])
    rates = (row.pace.encode_rate, row.pace.decode_rate, row.pace.copy_rate)
    return [
        row.name,
        f"{row.raw_bytes / 1e6:.1f}",
        ", ".join(f"{name} {count}" for name, count in counts),
        f"{row.ratio:.2f}",
        f"{row.pace.probe_us:.0f}",
        *("-" if rate is None else f"{rate:.0f}" for rate in rates),
    ]


def _print_lock(rows: Sequence[dict[str, Any]]) -> None:
    _print_cells(["worker", "p50, us", "p99, us", "p99.9, us", "1 thread, MB/s", "2 threads, MB/s"])
    _print_cells(["---"] * 6)
    for row in rows:
        name, *figures = row.values()
        _print_cells([name, *(f"{figure:.0f}" for figure in figures)])


def _print_cells(cells: Sequence[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
