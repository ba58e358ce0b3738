"""One run: make the work folders and the store, run the benchmarks, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.demo.mount import detach, is_mounted
from cloudfs_benchmarks.demo.processes import MARK_NAME, Children, StageError, marked, sweep
from cloudfs_benchmarks.demo.signals import SignalGate
from cloudfs_benchmarks.readpath import kernel, memory, pages, random_access, report, sequential
from cloudfs_benchmarks.readpath.backends import backends
from cloudfs_benchmarks.readpath.bench import CONNECTIONS, RANGE_BYTES, Bench
from cloudfs_benchmarks.readpath.epochs import epochs
from cloudfs_benchmarks.readpath.figures import Row
from cloudfs_benchmarks.readpath.options import Options
from cloudfs_benchmarks.readpath.small_files import small_files
from cloudfs_benchmarks.readpath.ssd_readers import ssd_readers
from cloudfs_benchmarks.servers.store import serve_folder

CASES: dict[str, Callable[[Bench], list[Row]]] = {
    "cold-sequential": sequential.cold_sequential,
    "page-cache": sequential.page_cache,
    "ssd": sequential.ssd,
    "ssd-readers": ssd_readers,
    "epochs": epochs,
    "memory": memory.memory,
    "kernel-read-ahead": kernel.kernel_read_ahead,
    "random": random_access.random_access,
    "small-files": small_files,
    "backends": backends,
}

SUMMARIES = {name: str(case.__doc__).partition("\n")[0] for name, case in CASES.items()}
"""What each benchmark measures, in a line."""

_USERS_SETTINGS = (
    *("AWS_", "AZURE_", "CLOUDFS_", "CLOUDSDK_", "GCE_", "GCLOUD_", "GOOGLE_", "STORAGE_"),
)
# Nobody may ask this machine's metadata service who it is.
_NOWHERE_ELSE = {"NO_GCE_CHECK": "true", "AWS_EC2_METADATA_DISABLED": "true"}
_PREFIX = "cloudfs-bench-"
_BUCKET = "bench"
_TMPFS = Path("/dev/shm")
# More than any benchmark puts into the bucket at its own size.
_BUCKET_BYTES = 5 << 30


def run(options: Options, gate: SignalGate) -> None:
    """Run the chosen benchmarks and print, and write, what they found.

    Raises `StageError` for a failure and `Stopped` for a signal, in both cases after the clean-up.
    """
    mark = uuid.uuid4().hex
    with ExitStack() as stack:
        try:
            with gate.deferred():
                work = _folder(stack, options.directory)
                bucket = _folder(stack, options.store_directory or _store_directory(options))
                stack.callback(sweep, mark)
            children = Children(_environment(mark), _made(work / "logs"), stack, gate)
            served = serve_folder(
                children,
                work / "nginx",
                bucket,
                bucket=_BUCKET,
                link=options.link,
                workers=options.workers,
            )
            _measure(Bench(options, children, work, served, options.scheme))
        finally:
            gate.close()
    if marked(mark):
        raise StageError(f"processes that could not be ended: {marked(mark)}")


def _measure(bench: Bench) -> None:
    options = bench.options
    for folder in (bench.native, bench.mountpoint):
        folder.mkdir()
    conditions = _conditions(bench)
    for name, value in conditions.items():
        print(f"{name}: {value}")
    rows: list[Row] = []
    for name in options.names:
        print(f"{name}: {SUMMARIES[name]}", flush=True)
        rows += CASES[name](bench)
        # Written after each, so that a long run that is stopped leaves what it has.
        if options.json is not None:
            report.write_json(options.json, conditions, rows)
    print(f"\n{report.table(rows)}")
    if options.markdown:
        print(f"\n{report.markdown(rows)}")


def _conditions(bench: Bench) -> dict[str, Any]:
    options = asdict(bench.options)
    return {
        "link": bench.served.link,
        "ceiling": f"best of {CONNECTIONS} connections, ranges of {RANGE_BYTES >> 20} MiB",
        "store": f"nginx as {bench.store.url}, files in {bench.bucket_folder.parent}",
        "disk": str(bench.work.parent),
        "pages dropped by": pages.method(),
        "trials": f"{options['trials']} after {options['warm_ups']} warm-up, candidates in turn",
        "memory limit": f"{options['memory_limit'] >> 20} MiB",
        "mount flags": " ".join(options["mount_flags"]) or "none",
    }


def _store_directory(options: Options) -> Path:
    """Memory if there is plenty: what the store's disk does is not what is measured."""
    if _TMPFS.is_dir() and shutil.disk_usage(_TMPFS).free > 2 * _BUCKET_BYTES:
        return _TMPFS
    return options.directory


def _folder(stack: ExitStack, parent: Path) -> Path:
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    stack.callback(_remove, path)
    return path


def _made(path: Path) -> Path:
    path.mkdir()
    return path


def _remove(work: Path) -> None:
    """Remove a work folder, but never through a mount."""
    mountpoint = work / "mnt"
    detach(mountpoint)
    if not is_mounted(mountpoint):
        shutil.rmtree(work, ignore_errors=True)


def _environment(mark: str) -> dict[str, str]:
    """The environment of children: no setting of the user's may leak into a measurement."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_USERS_SETTINGS) and "proxy" not in name.lower()
    }
    return kept | _NOWHERE_ELSE | {MARK_NAME: mark}
