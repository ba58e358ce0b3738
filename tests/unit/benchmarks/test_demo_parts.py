"""The demo's parts that need neither a mount nor a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from PIL import Image

from cloudfs_benchmarks.demo import processes
from cloudfs_benchmarks.demo.mount import Counters, is_mounted
from cloudfs_benchmarks.demo.plot import plot_steps
from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.demo.report import format_table, page_cache_bytes
from cloudfs_benchmarks.demo.rounds import Epoch
from cloudfs_benchmarks.demo.signals import SignalGate, Stopped
from cloudfs_benchmarks.training import train


def _epoch(served: Counters | None, bytes_read: int = 100_000_000) -> Epoch:
    return Epoch(
        number=1,
        cases=256,
        bytes_read=bytes_read,
        step_median_s=0.0123,
        wait_fraction=0.25,
        first_batch_s=0.5,
        loss=0.04,
        served=served,
    )


def _children(stack: ExitStack, logs: Path, mark: str = "test") -> Children:
    environment = {**os.environ, processes.MARK_NAME: mark}
    return Children(environment, logs, stack, SignalGate())


def test_the_page_cache_is_the_rest_and_never_negative() -> None:
    served = Counters(memory_bytes=10, disk_bytes=20, store_bytes=30)
    assert page_cache_bytes(_epoch(served, bytes_read=100)) == 40
    assert page_cache_bytes(_epoch(served, bytes_read=50)) == 0
    assert page_cache_bytes(_epoch(None)) is None


def test_the_table_says_where_the_bytes_came_from() -> None:
    served = Counters(store_bytes=60_000_000, disk_bytes=30_000_000, get_requests=77)
    head, row = format_table([_epoch(served)]).splitlines()
    cells = dict(zip(head.split("  "), row.split("  "), strict=False))
    assert len(head) == len(row)
    assert cells
    for value in ("60.0", "30.0", "10.0", "77", "12.3 ms", "25%", "256"):
        assert value in row


def test_counters_come_from_the_status_document() -> None:
    document = {
        "sources": {"memory_bytes": 1, "disk_bytes": 2, "store_bytes": 3},
        "store": {"requests": {"head": 9, "list": 9, "get": 4}, "received_bytes": 5},
    }
    counters = Counters.of(document)
    assert counters == Counters(1, 2, 3, 5, 4)
    assert counters.since(Counters(1, 1, 1, 1, 1)) == Counters(0, 1, 2, 4, 3)


def test_the_picture_is_a_png_of_a_legible_size(tmp_path: Path) -> None:
    steps = [
        {"epoch": epoch, "wait_s": 0.01 / epoch, "compute_s": 0.01}
        for epoch in (1, 2)
        for _ in range(5)
    ]
    train.save(tmp_path / "steps.json", {"steps": steps})
    plot_steps(tmp_path / "steps.json", tmp_path / "curve.png", ["epoch 1", "epoch 2"])
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert picture.width >= 1000


def test_a_signal_stops_once_and_not_while_deferred() -> None:
    gate = SignalGate()
    kept = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    kept[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)
    try:
        gate.install()
        reached = False
        with pytest.raises(Stopped) as caught, gate.deferred():  # noqa: PT012 - the point
            signal.raise_signal(signal.SIGTERM)
            reached = True
        assert reached
        assert caught.value.exit_status == 128 + signal.SIGTERM
        signal.raise_signal(signal.SIGINT)
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)


def test_leaving_the_stack_ends_children_and_their_children(tmp_path: Path) -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with ExitStack() as stack:
        mark = f"test-{os.getpid()}-tree"
        children = _children(stack, tmp_path, mark)
        children.start("parent", [sys.executable, "-c", script], stdin=subprocess.PIPE)
    assert processes.marked(mark) == []


def test_a_process_that_escaped_is_found_by_its_mark(tmp_path: Path) -> None:
    mark = f"test-{os.getpid()}-escaped"
    # The grandchild leaves the session before its parent ends, as a daemon does.
    script = (
        "import subprocess, sys;"
        "p = subprocess.Popen([sys.executable, '-c', 'print(1, flush=True); input()'],"
        " stdin=sys.stdin, stdout=subprocess.PIPE, start_new_session=True);"
        "p.stdout.readline(); print(p.pid)"
    )
    reading, writing = os.pipe()
    try:
        with ExitStack() as stack:
            children = _children(stack, tmp_path, mark)
            child = children.start(
                "daemon", [sys.executable, "-c", script], stdin=reading, pipe=True
            )
            output, _ = child.communicate(timeout=30)
        pid = int(output)
        assert processes.marked(mark) == [pid]
        assert processes.sweep(mark) == [pid]
        assert processes.marked(mark) == []
    finally:
        os.close(reading)
        os.close(writing)


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with ExitStack() as stack:
        children = _children(stack, tmp_path)
        script = "import sys; print('the reason', file=sys.stderr); sys.exit(3)"
        with pytest.raises(StageError, match=r"thing ended with status 3\nthe reason"):
            children.run("thing", [sys.executable, "-c", script], timeout_s=30)


def test_a_command_that_hangs_is_bounded(tmp_path: Path) -> None:
    with ExitStack() as stack:
        children = _children(stack, tmp_path)
        reading, writing = os.pipe()
        stack.callback(os.close, writing)
        stack.callback(os.close, reading)
        child = children.start("other", ["true"])
        assert child.wait(30) == 0
        with pytest.raises(StageError, match="did not end within"):
            children.run("hang", ["tail", "-f", "/dev/null"], timeout_s=0.2)


def test_the_mount_table_is_read_without_touching_the_mount(tmp_path: Path) -> None:
    assert is_mounted(Path("/proc"))
    assert not is_mounted(tmp_path)
