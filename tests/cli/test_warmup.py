from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cloudfs.admin import messages
from cloudfs.admin.messages import JobKind, JobState, JobStatus, WarmUpProgress
from cloudfs.cli import client
from cloudfs.cli.commands import warmup as warmup_module
from cloudfs.cli.errors import INTERRUPTED
from cloudfs.cli.jobs import RemoteJob
from cloudfs.cli.render.progress import Speed
from cloudfs.control.protocol import NoArguments
from cloudfs.errors import ExitCode, UserError
from tests.cli.conftest import Daemon, Finished, Run
from tests.cli.fake_daemon import FILES
from tests.support import golden

GOLDEN = Path(__file__).parent / "golden"


def normalised(text: str, mountpoint: Path) -> str:
    """Return a golden text: without times and this test's mountpoint."""
    return re.sub(r" in [^ ]+ \([^)]*\)", " in TIME", text).replace(str(mountpoint), "/mnt/data")


def only_job(done: Finished) -> dict[str, Any]:
    """Return the only job of a document."""
    (job,) = json.loads(done.out)["jobs"]
    return dict(job)


def test_a_tree_is_warmed_up_once(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        first = run("warmup", mountpoint / "train")
        again = run("warmup", mountpoint / "train")
        third = run("warmup", "--json", mountpoint / "train")
    assert [(done.code, done.err) for done in (first, again, third)] == [(0, "")] * 3
    golden.check(GOLDEN / "warmup.txt", normalised(first.out + again.out, mountpoint))
    job = only_job(third)
    assert (job["files_done"], job["files_total"], job["fetched_bytes"]) == (FILES, FILES, 0)


def test_the_progress() -> None:
    """The line, or the text beside the bar, of a warm-up that runs."""
    progress = WarmUpProgress(
        check=False,
        files_total=40,
        files_done=10,
        bytes_total=40 << 20,
        bytes_done=10 << 20,
        fetched_bytes=8 << 20,
        failed=1,
    )
    rows = [warmup_module.describe(running(replace(progress, counting=c))) for c in (True, False)]
    text = "".join(f"{row.title}: {row.done}/{row.total} {row.text}\n" for row in rows)
    golden.check(GOLDEN / "warmup-progress.txt", text)


def running(progress: WarmUpProgress) -> RemoteJob:
    """A warm-up that runs for so long that its speed is a round number."""
    job = RemoteJob(
        client.Daemon(Path("/mnt/data")),
        JobStatus(
            job="1a2b",
            kind=JobKind.WARMUP,
            state=JobState.RUNNING,
            elapsed_s=4.0,
            error="",
            exit_code=0,
            progress=progress,
        ),
    )
    job.speed.add = lambda count, _now: count / 4  # type: ignore[method-assign]
    return job


def test_a_check_fetches_nothing_and_ends_with_a_code_of_its_own(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving"):
        before = run("warmup", "--check", "--json", mountpoint)
        run("warmup", mountpoint)
        after = run("warmup", "--check", "--json", mountpoint)
    assert (before.code, after.code) == (ExitCode.INCOMPLETE, 0)
    counts = [
        [job[name] for name in ("files_done", "files_total", "fetched_bytes", "left_out_files")]
        for job in (only_job(before), only_job(after))
    ]
    assert counts == [[0, FILES + 1, 0, 1], [FILES + 1, FILES + 1, 0, 1]]
    for done in (before, after):
        assert done.only_error_line() == f"{mountpoint}: {only_job(done)['notes'][0]}"


def test_patterns_and_a_rate(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("warmup", "--json", "--glob", "0?.h5", "--glob", "*.txt", "--rate", "1GiB/s",
                   mountpoint / "train")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert (only_job(done)["files_done"], only_job(done)["bytes_done"]) == (10, 10 << 20)


def test_paths_below_others_are_not_counted_twice(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving"):
        done = run("warmup", "--json", mountpoint / "train", mountpoint, f"{mountpoint}/train/")
    assert only_job(done)["files_total"] == FILES + 1


def test_what_failed_is_named_with_its_whole_path(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving"):
        done = run("warmup", mountpoint / "train" / "01.h5", mountpoint / "none\x1b")
    assert done.code == ExitCode.INCOMPLETE
    assert done.only_error_line().startswith(f"{mountpoint}/none\\x1b: ")


def test_more_failures_than_are_named(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("warmup", *(mountpoint / f"none{number}" for number in range(25)))
    assert done.code == ExitCode.INCOMPLETE
    lines = done.err.splitlines()
    assert len(lines) == 21
    assert lines[-1].startswith(f"cloudfs: {mountpoint}: 25 paths ")


def test_lists_are_relative_to_the_path_or_absolute(
    run: Run, daemon: Daemon, mountpoint: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "list"
    listed.write_text(f"00.h5\n\n{mountpoint}/train/01.h5\r\n../notes \x1b[31m.txt\n")
    absolute = "".join(f"{mountpoint}/train/{number:02}.h5\n" for number in range(FILES))
    with daemon("serving"):
        relative = run("warmup", "--json", "-f", listed, mountpoint / "train")
        full = run("warmup", "--json", "-f", "-", stdin=absolute)
    assert [(done.code, done.err) for done in (relative, full)] == [(0, "")] * 2
    assert only_job(relative)["files_done"] == 3
    assert (only_job(full)["files_done"], only_job(full)["fetched_bytes"]) == (FILES, 38 << 20)


def test_a_long_list_is_sent_in_pieces(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    deep = "/".join(["é" * 100] * 5)
    lines = [f"train/{number % FILES:02}.h5" for number in range(6000)]
    lines += [f"{deep}/{number}" for number in range(400)]
    with daemon("serving"):
        done = run("warmup", "--json", "-f", "-", mountpoint, stdin="\n".join(lines))
    (job,) = json.loads(done.out)["jobs"]
    assert done.code == ExitCode.INCOMPLETE
    assert job["failed"] == 400
    assert job["files_done"] == job["files_total"] >= FILES


def test_pieces_fit_into_a_line() -> None:
    keys = ["é" * 1000] * 300 + ["x" * 600_000] + ["y"]
    pieces = [piece for _, piece in warmup_module._cut(Path("/m"), keys)]
    assert [key for piece in pieces for key in piece] == keys
    assert all(len(json.dumps(piece)) < 1_000_000 for piece in pieces)
    assert 3 <= len(pieces) <= 8


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        ([], ExitCode.USAGE, "-f"),
        (["/etc"], ExitCode.NOT_MOUNTED, "/etc"),
        (["--rate", "fast", "/"], ExitCode.USAGE, "'fast' for --rate"),
        (["--rate", "0", "/"], ExitCode.USAGE, "'0' for --rate"),
        (["--cancel", "/"], ExitCode.USAGE, "--job"),
        (["--job", "x"], ExitCode.USAGE, "PATH"),
        (["-f", "/none", "/"], ExitCode.USAGE, "'/none'"),
        (["-f", "-", "/a", "/b"], ExitCode.USAGE, "PATH"),
        ([""], ExitCode.USAGE, "empty"),
        (["-f", "-", ""], ExitCode.USAGE, "empty"),
        (["-f", "-", "/a"], ExitCode.USAGE, "<stdin>"),
    ],
)
def test_a_wrong_command_is_one_line(
    run: Run, arguments: list[str], code: ExitCode, named: str
) -> None:
    done = run("warmup", *arguments)
    assert done.code == code
    assert named in done.only_error_line()
    assert done.out == ""


def test_a_line_outside_of_the_mount_ends_what_was_started(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    lines = [*["train/00.h5"] * 5000, "/etc/passwd"]
    with daemon("stalled"):
        done = run("warmup", "-f", "-", mountpoint, stdin="\n".join(lines))
        shown = run("cache", "info", mountpoint)
    assert done.code == ExitCode.NOT_MOUNTED
    assert done.only_error_line().startswith("<stdin> line 5001: /etc/passwd ")
    assert re.search(r"^job \w+: warmup, cancelled", shown.out, re.MULTILINE)


def test_a_bad_pattern_is_one_line(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("warmup", "--glob", "[", mountpoint)
    assert done.code == ExitCode.USAGE
    assert done.only_error_line().startswith(f"{mountpoint}: bad pattern '[': ")


def test_the_document(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("warmup", "--json", mountpoint / "train", mountpoint / "none")
    document = json.loads(done.out)
    assert done.code == ExitCode.INCOMPLETE
    assert document["schema"] == 1
    (job,) = document["jobs"]
    assert (job["mountpoint"], job["state"]) == (str(mountpoint), "done")
    assert (job["files_done"], job["files_total"], job["failed"]) == (40, 40, 1)
    assert job["failures"] == [{"path": "none", "reason": "no such file or directory"}]


def test_a_job_in_the_background_is_shown_and_cancelled(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("stalled"):
        started = run("warmup", "--background", mountpoint)
        assert (started.code, started.err) == (0, "")
        found = re.fullmatch(
            f"{mountpoint}: job (\\w+) warms up: 'cloudfs warmup --job \\1 '{mountpoint}''"
            " shows how far it is\n",
            started.out,
        )
        assert found is not None
        job = found[1]
        running = run("warmup", "--job", job, mountpoint)
        assert running.code == 0
        assert re.match(f"{mountpoint}: job {job} runs for .*: 0 of 41 files, 0 B", running.out)
        cancelled = run("warmup", "--job", job, "--cancel", mountpoint)
        assert (cancelled.code, cancelled.err) == (0, "")
        assert re.match(f"{mountpoint}: cancelled job {job}", cancelled.out)
        ended = run("warmup", "--job", job, mountpoint)
        assert ended.code == ExitCode.INCOMPLETE
        assert f"{mountpoint}: the warmup job {job} was cancelled" in ended.err
        unknown = run("warmup", "--job", "x", mountpoint)
        assert unknown.code == ExitCode.USAGE
        assert "'x'" in unknown.only_error_line()


def test_a_job_that_has_ended_is_reported(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        started = run("warmup", "--background", "--json", mountpoint / "train")
        (job,) = json.loads(started.out)["jobs"]
        while "runs for" in (ended := run("warmup", "--job", job["job"], mountpoint)).out:
            pass
    assert (ended.code, ended.err) == (0, "")
    assert "40 of 40 files" in ended.out


class Interrupted:
    """`cloudfs warmup` on a mount whose store answers nothing, interrupted after a sign of it."""

    def __init__(self, mountpoint: Path, environment: dict[str, str], stderr: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "cloudfs", "warmup", str(mountpoint)],
            stdout=-1,
            stderr=stderr,
            env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        )

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)
        return self.process.returncode


def test_an_interrupt_cancels_the_job_and_says_so(
    run: Run, daemon: Daemon, mountpoint: Path, environment: dict[str, str]
) -> None:
    reader, writer = os.pipe()
    with daemon("stalled"), os.fdopen(reader) as said:
        command = Interrupted(mountpoint, environment, writer)
        os.close(writer)
        # Plain lines: this is no terminal.
        assert said.readline() == f"{mountpoint}: 0 of 41 files, 0 B of 40.0 MiB\n"
        assert command.interrupt() == INTERRUPTED
        line = said.read()
        job = re.fullmatch(
            rf"cloudfs: cancelled the warmup job (\w+) of {mountpoint}: what is done stays\n", line
        )
        assert job is not None, line
        shown = run("cache", "info", mountpoint)
    assert re.search(f"^job {job[1]}: warmup, cancelled", shown.out, re.MULTILINE)


def test_a_terminal_gets_a_bar(
    daemon: Daemon, mountpoint: Path, environment: dict[str, str]
) -> None:
    terminal, end = os.openpty()
    with daemon("stalled"), os.fdopen(terminal, "rb", buffering=0) as said:
        command = Interrupted(mountpoint, environment, end)
        os.close(end)
        drawn = b""
        while "━" not in drawn.decode(errors="ignore") or b"0 of 41 files" not in drawn:
            drawn += said.read(1000)
        assert command.interrupt() == INTERRUPTED
        # Cleared away: the cursor is back and the last line is ours.
        while b"what is done stays" not in drawn:
            drawn += said.read(1000)
    assert b"\x1b[?25h" in drawn


def test_a_daemon_that_does_not_answer_is_one_line(
    daemon: Daemon,
    mountpoint: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", environment["RUNTIME_DIRECTORY"])
    monkeypatch.setattr(client, "ANSWER_S_MAX", 0.05)
    with (
        daemon("mute"),
        pytest.raises(UserError, match="the daemon does not answer") as caught,
    ):
        client.Daemon(mountpoint).ask(messages.CACHE_INFO, NoArguments(), work_s=0)
    assert caught.value.exit_code is ExitCode.TIMEOUT


def test_a_mount_without_a_socket_or_without_a_process(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("silent"):
        done = run("warmup", mountpoint)
        assert done.code == ExitCode.TIMEOUT
        assert str(mountpoint) in done.only_error_line()


def test_a_mount_whose_process_is_gone(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("mute"):
        pass
    done = run("warmup", mountpoint)
    assert done.code == ExitCode.FUSE
    assert f"'cloudfs umount {mountpoint}'" in done.only_error_line()


def test_a_mount_that_ends_under_way(
    daemon: Daemon, mountpoint: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", environment["RUNTIME_DIRECTORY"])
    with daemon("serving"):
        asked = client.Daemon(mountpoint)
        subprocess.run([sys.executable, "-m", "cloudfs", "umount", str(mountpoint)], check=True)
        with pytest.raises(UserError, match="has ended: mount it again") as caught:
            asked.ask(messages.CACHE_INFO, NoArguments())
    assert caught.value.exit_code is ExitCode.NOT_MOUNTED


def test_the_speed_is_that_of_the_last_seconds() -> None:
    speed = Speed(0.0)
    assert speed.add(0, 0.0) == 0
    assert speed.add(5000, 10.0) == 500
    assert speed.add(5100, 11.0) == 100
    for second in range(12, 22):
        last = speed.add(5100, float(second))
    assert last == 0
