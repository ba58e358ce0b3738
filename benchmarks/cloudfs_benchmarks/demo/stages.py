"""The demo's stages in order, on a stack that undoes each of them whatever happens."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo import bucket, report
from cloudfs_benchmarks.demo.mount import detach, is_mounted, mount, read_counters
from cloudfs_benchmarks.demo.plot import plot_steps
from cloudfs_benchmarks.demo.processes import MARK_NAME, Children, StageError, marked, sweep
from cloudfs_benchmarks.demo.rounds import Epoch, Hooks, run_training
from cloudfs_benchmarks.demo.signals import SignalGate
from cloudfs_benchmarks.interpreter import python

_DATASET_TIMEOUT_S = 300.0
_DROP_TIMEOUT_S = 60.0
_MEMORY_LIMIT = "64MiB"
"""Less than the dataset, as with datasets of a real size: the SSD cache has something to do."""
_COLD_EPOCH = 2
"""The epoch that starts with the page cache dropped, so that the SSD cache has to answer."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line decided; `target` is a plain directory to train from instead."""

    size: str
    epochs: int
    out: Path
    target: Path | None


def run_demo(options: DemoOptions, gate: SignalGate) -> None:
    """Run every stage, print as it goes, and leave only `options.out` behind.

    Raises `StageError` for a failed stage and `Stopped` for a signal, in both cases after the
    clean-up, which takes a bounded time and ignores further signals.
    """
    mark = uuid.uuid4().hex
    say = _Narrator()
    with ExitStack() as stack:
        try:
            with gate.deferred():
                work = Path(tempfile.mkdtemp(prefix="cloudfs-demo-"))
                stack.callback(_remove, work)
                stack.callback(sweep, mark)
            children = Children(_environment(work, mark), _made(work / "logs"), stack, gate)
            _run_stages(options, children, work, say)
        finally:
            gate.close()
            say("cleaning up")
    if marked(mark):
        raise StageError(f"processes that could not be ended: {marked(mark)}")
    say("no process, mount or temporary file is left")
    print(f"\n{report.CLOSING}")


def _run_stages(
    options: DemoOptions, children: Children, work: Path, say: Callable[[str], None]
) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    steps_path = options.out / "steps.json"
    data_dir = options.target or _mount_bucket(options.size, children, work, say)
    say("training")
    hooks = Hooks(
        read_counters=None if options.target else lambda: read_counters(children, data_dir),
        before_epoch=lambda number: _drop_pages(children, data_dir, number),
        say=lambda line: print(f"    {line}", flush=True),
    )
    epochs = run_training(children, data_dir, steps_path, epochs=options.epochs, hooks=hooks)
    print(f"\n{report.format_table(epochs)}\n\n{report.LEGEND}\n")
    picture_path = options.out / "step-time.png"
    plot_steps(steps_path, picture_path, [_caption(epoch) for epoch in epochs])
    say(f"wrote {picture_path} and {steps_path}")


def _mount_bucket(size: str, children: Children, work: Path, say: Callable[[str], None]) -> Path:
    say(f"writing a dataset of {size}: flow round aerofoils, as VTU, HDF5 and NPZ")
    dataset = work / "dataset"
    command = python("-m", "cloudfs_benchmarks.dataset", str(dataset), "--size", size)
    children.run("dataset", command, timeout_s=_DATASET_TIMEOUT_S)
    say("starting an object store on loopback")
    endpoint_url = bucket.start_server(children)
    say(f"filling the bucket at {endpoint_url}")
    sent = bucket.upload(dataset, endpoint_url)
    shutil.rmtree(dataset)
    mountpoint = _made(work / "mnt")
    say(f"mounting s3://{bucket.BUCKET} ({sent / 1e6:.0f} MB) at {mountpoint}")
    flags = ["--endpoint-url", endpoint_url, "--cache-dir", str(work / "cache")]
    # Else root's mounts log to /var/log, and the demo leaves nothing outside its own folder.
    flags += ["--log-file", str(children.log("cloudfs"))]
    flags += ["--memory-limit", _MEMORY_LIMIT]
    mount(children, f"s3://{bucket.BUCKET}", mountpoint, *flags)
    return mountpoint


def _drop_pages(children: Children, data_dir: Path, epoch: int) -> None:
    if epoch == _COLD_EPOCH:
        command = python("-m", "cloudfs_benchmarks.demo.drop_pages", str(data_dir))
        children.run("drop-pages", command, timeout_s=_DROP_TIMEOUT_S)


def _caption(epoch: Epoch) -> str:
    """An epoch's number, its median step, and where most of its bytes came from."""
    title = f"epoch {epoch.number}: median {epoch.step_median_s * 1e3:.0f} ms"
    if epoch.served is None:
        return title
    origins = {
        "the bucket": epoch.served.store_bytes,
        "the SSD cache": epoch.served.disk_bytes,
        "memory": epoch.served.memory_bytes,
        "the page cache": report.page_cache_bytes(epoch) or 0,
    }
    return f"{title}\nmostly from {max(origins, key=lambda name: origins[name])}"


def _environment(work: Path, mark: str) -> dict[str, str]:
    """The children's environment: their files in `work`, fake credentials, no proxy, our mark."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "CLOUDFS_")) and not name.lower().endswith("_proxy")
    }
    return kept | {
        MARK_NAME: mark,
        "TMPDIR": str(_made(work / "tmp")),
        # Control sockets: the first for a user's mounts, the second for root's.
        "XDG_RUNTIME_DIR": str(_made(work / "run")),
        "RUNTIME_DIRECTORY": str(_made(work / "run")),
        # Loaders, mount and server share the cores with the model, whose threads would spin.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "AWS_ACCESS_KEY_ID": bucket.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": bucket.SECRET_KEY,
        "AWS_DEFAULT_REGION": bucket.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _made(path: Path) -> Path:
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def _remove(work: Path) -> None:
    """Remove the temporary files, unless a mount below them survived: its files are not ours.

    A daemon that was ended while it was starting may have mounted after the stage's own clean-up.
    """
    detach(work / "mnt")
    if is_mounted(work / "mnt"):
        raise StageError(f"{work / 'mnt'} is still mounted: umount it, then remove {work}")
    shutil.rmtree(work)


class _Narrator:
    """Prints a line per stage with the seconds since the start."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def __call__(self, line: str) -> None:
        print(f"[{time.monotonic() - self._started_s:5.1f} s] {line}", flush=True)
