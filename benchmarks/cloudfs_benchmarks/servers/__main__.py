"""`python -m cloudfs_benchmarks.servers FOLDER`: serve a folder as buckets until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.demo.signals import SignalGate, Stopped
from cloudfs_benchmarks.servers.link import Link
from cloudfs_benchmarks.servers.store import Store, serve_folder


def add_link_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `link_of` reads."""
    link = Link()
    parser.add_argument(
        "--first-byte-ms", type=float, default=link.first_byte_ms, help="default 30; 0: off"
    )
    parser.add_argument(
        "--connection-mb",
        type=float,
        default=link.connection_rate / 1e6,
        help="MB/s of one connection, default 90; 0: off",
    )
    parser.add_argument(
        "--link-gbit",
        type=float,
        default=link.total_gbit,
        help="Gbit/s in all, root only, default 5; 0: off",
    )
    parser.add_argument("--workers", type=int, default=1, help="of nginx, default 1")


def link_of(parsed: argparse.Namespace) -> Link:
    """The link that the options describe."""
    return Link(parsed.first_byte_ms, int(parsed.connection_mb * 1e6), parsed.link_gbit)


def main(arguments: list[str] | None = None) -> int:
    """Serve; returns the exit status: 1 when the server cannot start, 128+N for signal N."""
    parser = argparse.ArgumentParser(
        prog="python -m cloudfs_benchmarks.servers",
        description="Serve a folder as a bucket of S3, GCS and Azure behind a link like a cloud's.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bucket", default="bench")
    add_link_arguments(parser)
    parsed = parser.parse_args(arguments)
    gate = SignalGate()
    gate.install()
    try:
        _serve(parsed, gate)
    except Stopped as stopped:
        return stopped.exit_status
    except StageError as error:
        print(f"the server did not start: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(parsed: argparse.Namespace, gate: SignalGate) -> None:
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloudfs-server-")))
        stack.callback(gate.close)
        children = Children(dict(os.environ), work, stack, gate)
        served = serve_folder(
            children,
            work / "nginx",
            parsed.folder.resolve(),
            bucket=parsed.bucket,
            link=link_of(parsed),
            workers=parsed.workers,
        )
        print(f"{parsed.folder.resolve()}: {served.link}")
        for scheme in served.endpoints:
            print(_mount_command(served.store(scheme)))
        sys.stdout.flush()
        signal.pause()


def _mount_command(store: Store) -> str:
    variables = [f"{name}={shlex.quote(value)}" for name, value in store.environment.items()]
    return " ".join([*variables, "cloudfs mount", store.url, "DIR", *store.flags])


if __name__ == "__main__":
    sys.exit(main())
