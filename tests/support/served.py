"""The benchmarks' object server for tests: S3, GCS and Azure from one folder, without a link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.demo.signals import SignalGate
from cloudfs_benchmarks.servers.link import Link
from cloudfs_benchmarks.servers.store import Served, serve_folder


@contextmanager
def serving(work: Path) -> Iterator[Served]:
    """Serve an empty folder below `work` as the bucket `bench` until the block ends."""
    root = work / "bucket"
    root.mkdir()
    with ExitStack() as stack:
        children = Children(dict(os.environ), work, stack, SignalGate())
        link = Link(0, 0, 0)
        yield serve_folder(children, work / "nginx", root, bucket="bench", link=link, workers=1)
