"""`python -m cloudfs_benchmarks.demo`: the demo; `make demo` runs it after the set-up."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cloudfs_benchmarks.demo.processes import StageError
from cloudfs_benchmarks.demo.signals import SignalGate, Stopped
from cloudfs_benchmarks.demo.stages import DemoOptions, run_demo


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; returns the exit status: 0, 1 for a failed stage, 128+N for signal N."""
    parser = argparse.ArgumentParser(
        prog="python -m cloudfs_benchmarks.demo",
        description="Train from a mounted bucket on this machine and draw the step times.",
    )
    parser.add_argument("--size", default="200MB", help="of the dataset, default 200MB")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="default demo-out")
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args(arguments)
    gate = SignalGate()
    gate.install()
    try:
        run_demo(DemoOptions(parsed.size, parsed.epochs, parsed.out, parsed.target), gate)
    except Stopped as stopped:
        print(f"stopped by {stopped}, everything cleaned up", file=sys.stderr)
        return stopped.exit_status
    except StageError as error:
        print(f"the demo failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
