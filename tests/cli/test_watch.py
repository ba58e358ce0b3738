"""`cloudfs status --watch`: streams for programs, and a terminal with its keys and sizes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from cloudfs.cli.watch import live, stream
from cloudfs.cli.watch.poll import Poll, PolledMount
from cloudfs.errors import ExitCode
from cloudfs.status.document import (
    SCHEMA,
    FuseOperation,
    FuseStatus,
    SourceBytes,
    StatusDocument,
    StoreOperation,
)
from cloudfs.system import mountpoints
from tests.cli.conftest import Daemon, Run
from tests.support import golden
from tests.support.mounting import wait_until
from tests.support.status_documents import document

GOLDEN = Path(__file__).parent / "golden"

ENDS_S = 20.0

StartWatch: TypeAlias = Callable[..., AbstractContextManager["Watch"]]


class Watch:
    """`cloudfs status --watch` as it runs; `said` is all that it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self.descriptor = descriptor
        self.said = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for(self, *words: str) -> None:
        """Return once it has printed these since the last `forget`."""
        wait_until(lambda: all(word.encode() in self.said for word in words), 20, f"{words}")

    def forget(self) -> None:
        """Forget what was printed so far."""
        self.said = b""

    def end(self, how: Callable[[], None]) -> int:
        """End it and return its exit code."""
        how()
        code = self.process.wait(ENDS_S)
        self._thread.join(ENDS_S)
        return code

    def close(self) -> None:
        """End it whatever happened."""
        self.process.kill()
        self.process.wait(ENDS_S)
        self._thread.join(ENDS_S)

    def _read(self) -> None:
        while True:
            try:
                received = os.read(self.descriptor, 1 << 16)
            except OSError:
                return  # the other end of a terminal is closed
            if not received:
                return
            self.said += received


@pytest.fixture
def watch(environment: dict[str, str], tmp_path: Path) -> StartWatch:
    """Start it with these arguments, on a pipe or, `size` being given, on a terminal."""

    @contextmanager
    def started(*arguments: str | Path, size: tuple[int, int] | None = None) -> Iterator[Watch]:
        ours, theirs = os.pipe() if size is None else pty.openpty()
        if size is not None:
            resize(ours, size)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "cloudfs", "status", *map(str, arguments)],
            stdin=subprocess.DEVNULL if size is None else theirs,
            stdout=theirs,
            cwd=tmp_path,
            env={**environment, "TERM": "xterm", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        running = Watch(process, ours)
        try:
            yield running
        finally:
            running.close()
            os.close(ours)

    return started


def resize(terminal: int, size: tuple[int, int]) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def test_a_program_gets_a_document_a_line(
    daemon: Daemon, mountpoint: Path, watch: StartWatch
) -> None:
    with daemon("serving") as pid, watch("--json", "--watch=100ms", mountpoint) as running:
        wait_until(lambda: running.said.count(b"\n") >= 3, 20, "three lines")
        os.kill(pid, signal.SIGSTOP)
        try:
            running.wait_for("not answering", f"kill -CONT {pid}")
        finally:
            os.kill(pid, signal.SIGCONT)
        running.forget()
        wait_until(lambda: running.said.count(b"\n") >= 3, 20, "three lines")
        # The first may have begun before, the last may go on.
        lines = running.said.splitlines()[1:-1]
        assert running.end(lambda: running.process.send_signal(signal.SIGINT)) == 0
    documents = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert {document["schema"] for document in documents} == {SCHEMA}


def test_rows_are_what_happened_in_between(
    daemon: Daemon, mountpoint: Path, watch: StartWatch
) -> None:
    with daemon("serving"), watch("--watch", "0.1", mountpoint) as running:
        running.wait_for("recv/s", "512M")
        assert running.end(lambda: running.process.send_signal(signal.SIGINT)) == 0
    first, second, row, *_ = running.said.decode().splitlines()
    assert len(first) <= len(second) == len(row) <= 80
    assert " ".join(row.split()[1:]) == "512M 5M 0 - 0B 0 - 0.0 - 0B 0 1"


def scaled(scale: int) -> StatusDocument:
    """A document of a daemon that has done so many times the same."""
    read = FuseOperation(50 * scale, scale, float(scale), {}, ())
    get = StoreOperation(4 * scale, 0, 0, 0, float(scale), {}, (), (), 0.0)
    example = document(uptime_s=2.0 * scale, sources=SourceBytes(300 * scale, 0, 100 * scale))
    store = replace(example.store, received_bytes=4096 * scale, errors=scale)
    return replace(
        example,
        fuse=FuseStatus({"read": read}, 0, 0),
        store=replace(store, operations={"get": get}),
    )


def test_a_row_between_two_documents() -> None:
    row = stream.row(scaled(1), scaled(2))
    golden.check(GOLDEN / "stream.txt", "\n".join([*stream.head(), "00:00:00" + row[8:], ""]))
    assert stream.per_s_between(scaled(1), scaled(2)) == (200.0, 2048.0)


def test_the_live_view(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its head and rates; the page below them has its own golden text."""
    polls = iter([Poll(scaled(number), 0.0, None) for number in (1, 2, 4)])
    mount = PolledMount(Path("/mnt/data"))
    monkeypatch.setattr(mount, "poll", lambda _: next(polls))
    view = live.View(mount, 0.0)
    for _ in range(3):
        view.poll_if_due()
    lines = view.lines(80, 10, coloured=False)
    golden.check(GOLDEN / "watch.txt", "\n".join(["00:00:00" + lines[0][8:], *lines[1:4], ""]))
    assert len(lines) == 10


def test_the_terminal_shows_it_and_obeys(
    daemon: Daemon, mountpoint: Path, watch: StartWatch
) -> None:
    with watch_on_terminal(daemon, mountpoint, watch) as (running, pid):
        running.wait_for("\x1b[?1049h", "1,234 FUSE requests/s", "more lines")
        running.forget()
        resize(running.descriptor, (60, 120))
        running.wait_for("/var/log/my.log")
        running.forget()
        os.kill(pid, signal.SIGSTOP)
        try:
            running.wait_for("NOT ANSWERING", "figures of", f"kill -CONT {pid}")
        finally:
            os.kill(pid, signal.SIGCONT)
        code = running.end(lambda: void(os.write(running.descriptor, b"q")))
        assert (code, b"\x1b[?1049l" in running.said) == (0, True)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_signals_leave_the_terminal_as_it_was(
    daemon: Daemon,
    mountpoint: Path,
    watch: StartWatch,
    number: signal.Signals,
    expected: int,
) -> None:
    with watch_on_terminal(daemon, mountpoint, watch) as (running, _):
        running.wait_for("FUSE requests/s")
        code = running.end(lambda: running.process.send_signal(number))
        assert (code, b"\x1b[?1049l" in running.said) == (expected, True)


def test_it_goes_on_when_the_daemon_is_started_anew(
    daemon: Daemon, mountpoint: Path, watch: StartWatch
) -> None:
    with daemon("serving") as pid, watch("--json", "--watch=100ms", mountpoint) as running:
        running.wait_for("last_errors")
        os.kill(pid, signal.SIGKILL)
        running.wait_for('"health": "dead"')
        mountpoints.unmount(mountpoint, lazy=True)
        running.wait_for('"health": "not mounted"')
        running.forget()
        with daemon("serving"):
            running.wait_for("last_errors")


def test_what_cannot_be_watched(run: Run, mountpoint: Path) -> None:
    for value, problem in (("x", "write seconds"), ("10ms", "between 100ms and 1h")):
        done = run("status", f"--watch={value}", mountpoint)
        assert done.code == ExitCode.USAGE
        assert problem in done.only_error_line()
    done = run("status", "--watch", mountpoint)
    assert done.code == ExitCode.NOT_MOUNTED


@contextmanager
def watch_on_terminal(
    daemon: Daemon, mountpoint: Path, watch: StartWatch
) -> Iterator[tuple[Watch, int]]:
    """Yield it on a terminal of 24 lines, with the daemon's process id."""
    with daemon("serving") as pid, watch("--watch=0.2", mountpoint, size=(24, 80)) as running:
        yield running, pid


def void(_: object) -> None:
    """Take a result that does not matter."""
