"""Daemonization: a child process serves, its parent waits until the mount responds or has failed.

The child is forked before anything that owns threads is imported. It reports to its parent with one
JSON line through a pipe: `{}` when the mount responds, else `{"exit_code": int, "message": str}`.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from cloudfs.cli.errors import REPORT, show_traceback
from cloudfs.config.settings import MountSettings
from cloudfs.errors import ExitCode, UserError
from cloudfs.telemetry import logs

Serve: TypeAlias = Callable[[MountSettings, Callable[[], None]], None]

START_S: Final = 60.0
_STOP_S: Final = 10.0
_RECORD_BYTES_MAX: Final = 65536

log = logging.getLogger(__name__)


def serve(settings: MountSettings, call: Serve, *, start_s: float = START_S) -> None:
    """Run `call` in the background and return once it is ready.

    Raises the child's `UserError`, or one that names the log file when the child ends without a
    report or is not ready within `start_s` seconds and the retry budget. No child is left behind
    after an error.
    """
    # The parent opens the log too, so that an unwritable file is an error before the fork.
    logs.setup(settings.log_file, settings.log_format, debug=settings.debug)
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that comes before the parent is ready to stop the child waits until it is.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _serve_in_child(settings, call, _Parent(writer), mask)
    os.close(writer)
    previous = signal.signal(signal.SIGTERM, _interrupted)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        record = _received(reader, start_s + settings.retry_budget)
    except BaseException:
        _stop(pid)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        os.close(reader)
    if record is None:
        _stop(pid)
    _raise_failure(record, pid, settings.log_file)


def _interrupted(_number: int, _frame: object) -> NoReturn:
    """End like an interrupted command: without its parent the mount must not be made."""
    raise KeyboardInterrupt


def _raise_failure(record: bytes | None, pid: int, log_file: Path | None) -> None:
    if record is None:
        message = f"the mount did not answer in time, and was stopped: see {log_file}"
        raise UserError(ExitCode.TIMEOUT, message)
    if not record.endswith(b"\n"):
        message = f"the background process {_end_of(pid)} without a word: see {log_file}"
        raise UserError(ExitCode.BUG, message)
    failure = json.loads(record)
    if failure:
        raise UserError(ExitCode(failure["exit_code"]), failure["message"])


def _received(reader: int, timeout_s: float) -> bytes | None:
    """Return the child's record, truncated if it ended before; None after the timeout."""
    received = b""
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], timeout_s)
        if not ready:
            return None
        chunk = os.read(reader, _RECORD_BYTES_MAX)
        if not chunk:
            break
        received += chunk
    return received


def _end_of(pid: int) -> str:
    """Wait for the child that closed the pipe; return how it ended."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _stop(pid: int) -> None:
    """End the child: with SIGTERM, so that it can unmount, then with SIGKILL."""
    process = os.pidfd_open(pid)
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(process, number)
            if select.select([process], [], [], _STOP_S)[0]:
                os.waitpid(pid, 0)
                return
    finally:
        os.close(process)


class _Parent:
    """The pipe to the parent, which waits for one record; `is_waiting` until it is sent."""

    def __init__(self, writer: int) -> None:
        self._writer = writer
        self.is_waiting = True

    def report(self, record: dict[str, object]) -> None:
        """Send the record and close the pipe. Later calls have no effect."""
        if not self.is_waiting:
            return
        self.is_waiting = False
        try:
            os.write(self._writer, json.dumps(record).encode() + b"\n")
        except BrokenPipeError:
            log.warning("the process that started this mount has ended before it was ready")
        os.close(self._writer)


def _serve_in_child(
    settings: MountSettings, call: Serve, parent: _Parent, mask: set[int]
) -> NoReturn:
    """Serve and end the process; the parent's stack must not unwind in the child.

    `mask` are the signals that were blocked before the fork.
    """
    code = ExitCode.OK
    try:
        # Ctrl-C reaches the parent, which stops this process.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.chdir("/")
        call(settings, lambda: _report_ready(settings.log_file, parent))
    except UserError as error:
        log.error("%s", error.message)  # noqa: TRY400 - what the user did is no traceback
        code = error.exit_code
        parent.report({"exit_code": int(code), "message": error.message})
    except BaseException:
        log.exception("bug in the background process")
        if parent.is_waiting:
            show_traceback()
        code = ExitCode.BUG
        parent.report({"exit_code": int(code), "message": REPORT})
    finally:
        logging.shutdown()
        sys.stderr.flush()
        os._exit(code)


def _report_ready(log_file: Path | None, parent: _Parent) -> None:
    """Detach from the terminal, then report to the parent, which ends when it reads the record.

    Not before: only systemd's process group may access an automount point that is being mounted.
    """
    os.setsid()
    sys.stdout.flush()
    sys.stderr.flush()
    _redirect(os.devnull, os.O_RDONLY, [0])
    _redirect(log_file or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, [1, 2])
    parent.report({})


def _redirect(path: str | Path, flags: int, targets: list[int]) -> None:
    opened = os.open(path, flags, 0o600)
    for target in targets:
        os.dup2(opened, target)
    if opened > 2:
        os.close(opened)
