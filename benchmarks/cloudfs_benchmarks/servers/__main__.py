"""`python -m cloudfs_benchmarks.servers FOLDER`: serve a folder as a bucket until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.demo.signals import SignalGate, Stopped
from cloudfs_benchmarks.servers.link import Link
from cloudfs_benchmarks.servers.store import serve_folder


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
        description="Serve a folder as an S3 bucket behind a link like a cloud's.",
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
        store = serve_folder(
            children,
            work / "nginx",
            parsed.folder.resolve(),
            bucket=parsed.bucket,
            link=link_of(parsed),
            workers=parsed.workers,
        )
        print(f"{store.url} at {store.endpoint}: {store.link}")
        print(
            f"cloudfs mount {store.url} DIR --endpoint-url {store.endpoint} --region us-east-1 "
            "--force-path-style --no-sign-request",
            flush=True,
        )
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
