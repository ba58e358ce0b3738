"""The parent and child of `--background`, with stand-ins for the daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cloudfs.cli.errors import INTERRUPTED, REPORT
from cloudfs.errors import ExitCode

PROGRAM = """
import logging, os, signal, sys, time
from pathlib import Path
from cloudfs.cli import background, errors
from cloudfs.config.settings import resolve
from cloudfs.errors import ExitCode, UserError

folder = Path(sys.argv[1])
settings = resolve("s3://bucket", "/mnt/none",
                   flags={"log_file": str(folder / "log"), "retry_budget": "0"}).settings

def send_pid():
    os.write(int(sys.argv[2]), b"%d " % os.getpid())

def ready_then_wait(settings, on_ready):
    send_pid()
    on_ready()
    print("after ready", flush=True)
    logging.getLogger("cloudfs").info("cwd %s sid %s", os.getcwd(), os.getsid(0) == os.getpid())
    signal.pause()

def ready_then_fail(settings, on_ready):
    send_pid()
    on_ready()
    raise UserError(ExitCode.CACHE, "a late failure: too late to report")

def refused(settings, on_ready):
    raise UserError(ExitCode.BUCKET, "no such bucket: create it")

def buggy(settings, on_ready):
    raise KeyError("the bug")

def killed(settings, on_ready):
    os.kill(os.getpid(), signal.SIGKILL)

def exits(settings, on_ready):
    os._exit(3)

def hangs(settings, on_ready):
    send_pid()
    signal.pause()

def fork_and_interrupt():
    pid = plain_fork()
    if pid:
        os.kill(os.getpid(), int(sys.argv[5]))
    return pid

if len(sys.argv) > 5:
    plain_fork, os.fork = os.fork, fork_and_interrupt

def run():
    background.serve(settings, globals()[sys.argv[3]], start_s=float(sys.argv[4]))

sys.exit(errors.run(run))
"""


class Started:
    """A run of PROGRAM; the pipe is open in the background process for as long as it lives."""

    def __init__(self, folder: Path, call: str, start_s: float = 60, *more: str) -> None:
        self.log_file = folder / "log"
        self._reader, writer = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder), str(writer), call, str(start_s), *more],
            stdout=-1,
            stderr=-1,
            text=True,
            pass_fds=[writer],
        )
        os.close(writer)

    def child(self) -> int:
        """Wait for the process id of the background process."""
        sent = b""
        while not sent.endswith(b" "):
            sent += os.read(self._reader, 1)
        return int(sent)

    def finish(self) -> tuple[int, str, str]:
        """Wait for the command to end and for its output to be closed by all processes."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def wait_for_child_end(self) -> None:
        """Wait until the background process has closed its end of the pipe, by ending."""
        while os.read(self._reader, 100):
            pass
        os.close(self._reader)


def test_the_command_ends_when_the_mount_is_ready(tmp_path: Path) -> None:
    started = Started(tmp_path, "ready_then_wait")
    child = started.child()
    assert started.finish() == (0, "", "")
    os.kill(child, signal.SIGTERM)
    started.wait_for_child_end()
    logged = started.log_file.read_text()
    assert "cwd / sid True" in logged
    assert "after ready\n" in logged


@pytest.mark.parametrize(
    ("call", "code", "named"),
    [
        ("refused", ExitCode.BUCKET, "cloudfs: no such bucket: create it\n"),
        ("killed", ExitCode.BUG, "signal 9"),
        ("exits", ExitCode.BUG, "code 3"),
    ],
)
def test_a_failed_start_ends_like_in_the_foreground(
    tmp_path: Path, call: str, code: ExitCode, named: str
) -> None:
    started = Started(tmp_path, call)
    returned, out, err = started.finish()
    assert (returned, out) == (code, "")
    assert named in err
    assert call == "refused" or str(started.log_file) in err
    assert len(err.splitlines()) == 1
    started.wait_for_child_end()


def test_the_log_file_has_the_failure_too(tmp_path: Path) -> None:
    started = Started(tmp_path, "refused")
    started.finish()
    assert "no such bucket: create it" in started.log_file.read_text()


def test_a_bug_shows_its_traceback(tmp_path: Path) -> None:
    code, _, err = Started(tmp_path, "buggy").finish()
    assert code == ExitCode.BUG
    assert "KeyError: 'the bug'" in err
    assert err.splitlines()[-1] == f"cloudfs: {REPORT}"


def test_a_failure_after_ready_is_logged(tmp_path: Path) -> None:
    started = Started(tmp_path, "ready_then_fail")
    assert started.finish() == (0, "", "")
    started.wait_for_child_end()
    assert "a late failure" in started.log_file.read_text()


def test_a_start_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    started = Started(tmp_path, "hangs", start_s=0.2)
    code, _, err = started.finish()
    assert code == ExitCode.TIMEOUT
    assert str(started.log_file) in err
    assert len(err.splitlines()) == 1
    started.wait_for_child_end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_child_too(tmp_path: Path, number: signal.Signals) -> None:
    started = Started(tmp_path, "hangs")
    started.child()
    started.process.send_signal(number)
    assert started.finish() == (INTERRUPTED, "", "")
    started.wait_for_child_end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_right_after_the_fork_ends_the_child_too(
    tmp_path: Path, number: signal.Signals
) -> None:
    started = Started(tmp_path, "hangs", 60, str(int(number)))
    assert started.finish() == (INTERRUPTED, "", "")
    started.wait_for_child_end()
