"""`python -m cloudfs_benchmarks.dataset DIR --size 200MB`: write the dataset."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from cloudfs_benchmarks.dataset.sizes import parse_size
from cloudfs_benchmarks.dataset.writer import DatasetSpec, write_dataset


def main(arguments: list[str] | None = None) -> int:
    """Write the dataset that the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m cloudfs_benchmarks.dataset",
        description="Write potential flows round Joukowski aerofoils as VTU, HDF5, NPZ and CSV.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--size", type=parse_size, default="200MB", help="total, default 200MB")
    parser.add_argument("--cases", type=_positive, help="default 256, more above 16 GB")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same bytes; default 1")
    parser.add_argument("--processes", type=_positive, default=min(4, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    spec = DatasetSpec.of(options.size, options.cases, options.seed)
    started_s = time.monotonic()
    written = write_dataset(options.directory, spec, processes=options.processes)
    took_s = time.monotonic() - started_s
    print(f"{options.directory}: {spec.cases} cases, {written / 1e6:.1f} MB in {took_s:.1f} s")
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
