from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from cloudfs.cli import query, usage
from cloudfs.cli.commands import status
from cloudfs.cli.render import figures, page
from cloudfs.control import client, sockets
from cloudfs.control.protocol import BadMessageError, NoArguments
from cloudfs.errors import ExitCode
from cloudfs.status.document import SCHEMA, STATUS, Health, UnansweredMount
from cloudfs.system import defaults, mountpoints
from tests.cli.conftest import Daemon, Run
from tests.support import golden
from tests.support.status_documents import document

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Show times of UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def _empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the mounts that this machine may have from the process of the test."""
    (tmp_path / "mountinfo").write_text("21 28 0:19 / /proc rw - proc proc rw\n")
    monkeypatch.setattr(mountpoints.table, "_MOUNTINFO", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(defaults, "runtime_directories", lambda: [tmp_path / "runtime"])


@pytest.mark.usefixtures("_empty_machine")
def test_nothing_is_mounted() -> None:
    assert CliRunner().invoke(status.command, []).output == "no cloudfs mounts\n"
    assert CliRunner().invoke(status.command, ["--json"]).output == "[]\n"


def test_the_list_ends_well(run: Run) -> None:
    done = run("status")
    assert (done.code, done.err) == (0, "")


def test_a_mountpoint_without_a_mount(run: Run, mountpoint: Path) -> None:
    done = run("status", mountpoint)
    assert done.code == ExitCode.NOT_MOUNTED
    assert done.only_error_line().startswith(f"cloudfs is not mounted at {mountpoint}")


def test_an_empty_path_is_not_the_working_folder(run: Run) -> None:
    done = run("status", "")
    assert done.code == ExitCode.USAGE
    assert "empty" in done.only_error_line()


def test_a_hung_mount_is_shown_as_a_page(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving") as pid:
        done = run("status", mountpoint)
    assert (done.code, done.err) == (0, "")
    title, since, *rest = done.out.splitlines()
    assert title == f"{mountpoint} s3://bucket/pre fix  degraded"
    assert f"process {pid}, " in since
    assert len(rest) > 20


def test_the_page(utc: None) -> None:
    golden.check(GOLDEN / "page.txt", "".join(f"{line}\n" for line in page.lines(document())))


def test_the_page_of_a_mount_without_an_answer() -> None:
    lines = page.lines(unanswered(Health.OTHER_VERSION))
    assert lines[0].endswith("other version")
    assert [line[13:] for line in lines[1:]] == ["reason: why", "fix: what to do"]


def unanswered(health: Health) -> UnansweredMount:
    return UnansweredMount(
        url="s3://b/", mountpoint="/mnt/long name", health=health, reason="why", fix="what to do"
    )


def test_the_options_are_shown_when_asked_for(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("status", "--options", mountpoint)
    assert done.out.splitlines()[-6:] == [
        "option metadata-ttl: indefinite",
        "option umask: 0022",
        "option region: from the environment or the profile",
        "option cache-dir: /ssd:10GiB; /ssd2",
        "option policies: unset",
        "option log-file: /var/log/my.log",
    ]


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = document(health=Health.OK, disks={}, hit_ratio=None, waiting_count=0)
    found = [healthy, document(), unanswered(Health.DEAD)]
    monkeypatch.setattr(query, "all_documents", lambda: found)
    golden.check(GOLDEN / "table.txt", CliRunner().invoke(status.command, []).output)


def test_a_document_of_another_schema_is_no_traceback(
    run: Run, environment: dict[str, str], mountpoint: Path
) -> None:
    """A daemon of an older version, in another mount namespace: its socket is all there is."""
    old = msgspec.to_builtins(document(mountpoint=str(mountpoint))) | {"schema": 3, "now": "text"}
    with reply(socket_in(environment, mountpoint), {"ok": True, "result": old}):
        shown = run("status", mountpoint)
        listed = run("status", "--json")
    assert (shown.code, shown.err) == (0, "")
    assert "schema 3" in shown.out
    assert "mount again with one version" in shown.out
    (found,) = [one for one in json.loads(listed.out) if one["mountpoint"] == str(mountpoint)]
    assert (found["schema"], found["health"]) == (SCHEMA, "other version")


def test_a_document_of_the_wrong_types_is_one_line(
    environment: dict[str, str], mountpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = socket_in(environment, mountpoint)
    wrong = msgspec.to_builtins(document()) | {"pid": "text"}
    with reply(path, {"ok": True, "result": wrong}), pytest.raises(BadMessageError) as caught:
        client.request(path, STATUS, NoArguments())
    assert "pid" in str(caught.value)
    assert "\n" not in str(caught.value)


def socket_in(environment: dict[str, str], mountpoint: Path) -> Path:
    return sockets.socket_path(mountpoint, Path(environment["RUNTIME_DIRECTORY"]))


@contextmanager
def reply(path: Path, message: dict[str, object]) -> Iterator[None]:
    """Answer every line on the socket with this one."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline():
                self.wfile.write(json.dumps(message).encode() + b"\n")

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown()
            thread.join()


def test_colours_are_for_terminals_that_want_them() -> None:
    lines = page.lines(unanswered(Health.DEAD), figures.coloured)
    assert lines[0].endswith("\x1b[31m\x1b[1mdead\x1b[0m")


def test_percentiles_are_interpolated() -> None:
    bounds = [1.0, 2.0, 4.0]
    assert figures.percentile([0, 0, 0, 0], bounds, 0.5) is None
    assert figures.percentile([2, 0, 2, 0], bounds, 0.5) == 1.0
    assert figures.percentile([2, 0, 2, 0], bounds, 0.75) == 3.0
    assert figures.percentile([1, 0, 0, 1], bounds, 0.99) == float("inf")


def test_a_hung_mount_answers_for_programs(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        one = run("status", "--json", mountpoint)
        every = run("status", "--json")
    found = json.loads(one.out, parse_constant=pytest.fail)
    assert found["options"]["metadata_ttl"] == "indefinite"
    assert found["pid"] in [one["pid"] for one in json.loads(every.out)]


@pytest.mark.parametrize("mode", ["mute", "silent"])
def test_a_mount_that_does_not_answer_is_shown_with_its_fix(
    daemon: Daemon,
    mountpoint: Path,
    mode: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", environment["RUNTIME_DIRECTORY"])
    monkeypatch.setattr(query, "ANSWER_S_MAX", 0.05)
    with daemon(mode):
        done = CliRunner().invoke(
            status.command, ["--json", str(mountpoint)], standalone_mode=False
        )
    assert done.return_value == ExitCode.TIMEOUT
    assert done.stderr.startswith(f"cloudfs: {mountpoint} is not answering: ")
    found = json.loads(done.stdout)
    assert (found["schema"], found["health"]) == (SCHEMA, "not answering")
    assert found["url"] == "s3://bucket/pre fix"
    assert found["mountpoint"] == str(mountpoint)
    assert found["fix"]


def test_a_mount_whose_process_is_gone_is_dead(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("mute"):
        pass
    done = run("status", mountpoint)
    assert done.code == ExitCode.FUSE
    assert f"cloudfs umount {mountpoint}" in done.only_error_line()
    assert done.out.splitlines()[0] == f"{mountpoint} s3://bucket/pre fix  dead"


def test_a_path_in_a_mount_shows_how_much_is_local(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving"):
        run("warmup", mountpoint / "train" / "01.h5", mountpoint / "notes \x1b[31m.txt")
        tree = run("status", mountpoint / "train")
        file = run("status", mountpoint / "notes \x1b[31m.txt")
        counted = run("status", "--json", mountpoint / "train")
        missing = run("status", mountpoint / "none")
    assert (tree.code, tree.err) == (0, "")
    assert tree.out.splitlines() == [
        f"path: {mountpoint}/train",
        "files: 1 of 40 local",
        "size: 1 MiB of 40 MiB local (2.5 %)",
        "pinned: 0 B",
    ]
    assert file.out.splitlines()[0] == f"path: {mountpoint}/notes \\x1b[31m.txt"
    assert file.out.splitlines()[2] == "size: 7 B of 7 B local (100 %)"
    assert json.loads(counted.out) == {
        "schema": 1,
        "mountpoint": str(mountpoint),
        "path": f"{mountpoint}/train",
        "files": 40,
        "local_files": 1,
        "bytes": 40 << 20,
        "local_bytes": 1 << 20,
        "local_percent": 2.5,
        "pinned_bytes": 0,
    }
    assert missing.code == ExitCode.USAGE
    assert missing.only_error_line().startswith(f"{mountpoint}/none: ")


def test_only_everything_is_all_of_it() -> None:
    assert usage.percent(999_999_999, 1_000_000_000) == 99.9
    assert usage.percent(5, 5) == 100
    assert usage.percent(0, 0) == 100
