"""`python -m cloudfs_benchmarks.readpath NAME`: see `--help` and docs/benchmarking.md."""

from __future__ import annotations

import sys

from cloudfs_benchmarks.demo.processes import StageError
from cloudfs_benchmarks.demo.signals import SignalGate, Stopped
from cloudfs_benchmarks.readpath.options import parse
from cloudfs_benchmarks.readpath.run import SUMMARIES, run


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit status: 0, 1 for a failed benchmark, 128+N for signal N.

    A missed target is a result and no failure.
    """
    options = parse(SUMMARIES, arguments)
    gate = SignalGate()
    gate.install()
    try:
        run(options, gate)
    except Stopped as stopped:
        print(f"stopped by {stopped}, everything cleaned up", file=sys.stderr)
        return stopped.exit_status
    except StageError as error:
        print(f"the benchmark failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
