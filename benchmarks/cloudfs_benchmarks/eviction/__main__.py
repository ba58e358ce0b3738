"""`python -m cloudfs_benchmarks.eviction`: see `--help` and docs/eviction.md."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from cloudfs_benchmarks.eviction.cache import Trace
from cloudfs_benchmarks.eviction.recorded import TraceFormatError, load_traces
from cloudfs_benchmarks.eviction.report import markdown, write_json
from cloudfs_benchmarks.eviction.simulate import Result, simulate
from cloudfs_benchmarks.eviction.traces import EPOCH_RATIOS, GENERATORS, Generator


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit status: 0, or 1 for a trace that cannot be read.

    A missed target is a result and no failure.
    """
    options = _parse(arguments)
    seeds = range(1, options.seeds + 1)
    try:
        recorded = load_traces(options.trace) if options.trace else []
    except (OSError, TraceFormatError) as error:
        print(f"cannot read {options.trace}: {error}", file=sys.stderr)
        return 1
    kinds = (
        [partial(_always, trace) for trace in recorded]
        if options.trace
        else [partial(_generate, generator, options.items) for generator in GENERATORS]
    )
    results: list[Result] = []
    for kind in kinds:
        results.append(simulate(kind, seeds, options.sample))
        print(results[-1].trace, file=sys.stderr, flush=True)
    print(markdown(results))
    if options.json:
        conditions = {"items": options.items, "seeds": list(seeds), "sample": options.sample}
        write_json(options.json, conditions | {"trace": str(options.trace)}, results)
    if options.plot:
        from cloudfs_benchmarks.eviction.plot import plot  # noqa: PLC0415 - matplotlib is slow

        plot(results, [] if options.trace else EPOCH_RATIOS, options.plot)
    return 0


def _always(trace: Trace, seed: int) -> Trace:
    del seed
    return trace


def _generate(generator: Generator, items: int, seed: int) -> Trace:
    return generator(items, seed)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m cloudfs_benchmarks.eviction",
        description="Replay traces through the eviction policies and compare the hit ratios.",
    )
    parser.add_argument("--items", type=int, default=2000, help="extents of a dataset (2000)")
    parser.add_argument("--seeds", type=int, default=3, help="how often, with other seeds (3)")
    parser.add_argument("--sample", type=int, default=64, help="extents ranked per eviction (64)")
    parser.add_argument("--trace", type=Path, help="replay a recorded trace instead")
    parser.add_argument("--json", type=Path, help="write every value to a file")
    parser.add_argument("--plot", type=Path, help="draw a PNG")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
