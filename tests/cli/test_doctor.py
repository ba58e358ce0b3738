"""`cloudfs doctor` as a user meets it: what it prints, its document, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from cloudfs.doctor.checks import STORE_CHECKS
from cloudfs.errors import ExitCode
from tests.cli.conftest import ROOT, Finished, Run
from tests.support.environment import clean_environment
from tests.support.proxy import Respond, Stall, always, is_get_object, is_list, proxy
from tests.support.stores import Bucket, S3Server

CHECKS = [check.name for check in STORE_CHECKS]
SECRET = "cloudfs-test-secret"

AsNobody: TypeAlias = Callable[..., Finished]


@pytest.fixture(scope="module")
def server(s3_server: S3Server) -> S3Server:
    return s3_server


@pytest.fixture(scope="module")
def bucket(server: S3Server) -> Iterator[Bucket]:
    with server.bucket("the-lab") as made:
        made.put("data/key", b"0123456789")
        yield made


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Fake credentials, and nothing of the machine's proxies and CA certificates."""
    kept = {
        name: text
        for name, text in environment.items()
        if not name.lower().endswith("_proxy") and not name.endswith("_CA_BUNDLE")
    }
    return clean_environment(kept)


@pytest.fixture
def as_nobody(environment: dict[str, str]) -> AsNobody:
    """Run Python with these arguments as a user who owns nothing."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become somebody else with setpriv")

    def run(*arguments: str) -> Finished:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*user, sys.executable, *arguments],
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    if run("-c", "import cloudfs.cli").code != 0:
        pytest.skip("this Python is in a folder that others may not enter")
    return run


def lines_of(done: Finished) -> list[tuple[str, str, str]]:
    """Return (result, check, finding) of each line of a check; fixes are left out."""
    assert SECRET not in done.out + done.err
    matches = (re.fullmatch(r"(\S+) +(\S+) +(.*)", line) for line in done.out.splitlines()[:-1])
    return [(match[1], match[2], match[3]) for match in matches if match and match[1] != "fix:"]


def test_a_store_that_is_well(run: Run, bucket: Bucket, server: S3Server) -> None:
    done = run("doctor", "--endpoint-url", server.endpoint_url, "s3://the-lab/data")
    assert (done.code, done.err) == (ExitCode.OK, "")
    lines = lines_of(done)
    assert [(result, check) for result, check, _ in lines] == [("ok", name) for name in CHECKS]
    columns = {line.index(text) for line in done.out.splitlines() for *_, text in lines
               if line.endswith(text)}  # fmt: skip
    assert columns == {19}
    command = f"cloudfs mount --endpoint-url {server.endpoint_url} s3://the-lab/data DIR"
    assert done.out.splitlines()[-1] == f"everything works: {command}"
    assert "\x1b" not in done.out


def test_a_problem_has_its_fix_below_it(run: Run, bucket: Bucket) -> None:
    done = run("doctor", "s3://the-lab", CLOUDFS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (done.code, done.err) == (ExitCode.UNREACHABLE, "")
    setup, problem, fix, *skipped, verdict = done.out.splitlines()
    assert "endpoint-url from CLOUDFS_ENDPOINT_URL" in setup
    assert problem == "failure  reach     nothing listens on 127.0.0.1 port 9"
    assert fix.startswith(" " * 19 + "fix: start the server, or correct host and port")
    assert {line.split()[0] for line in skipped} == {"skipped"}
    assert len(skipped) == len(CHECKS) - 2
    assert verdict == "1 problem"


def test_the_document(run: Run, bucket: Bucket, server: S3Server) -> None:
    done = run("doctor", "--json", "s3://the-lab/data", CLOUDFS_ENDPOINT_URL=server.endpoint_url)
    document = json.loads(done.out)
    assert (done.code, done.err) == (ExitCode.OK, "")
    checks = document.pop("checks")
    assert document == {
        "schema": 1,
        "url": "s3://the-lab/data/",
        "verdict": "everything works: cloudfs mount s3://the-lab/data DIR",
        "exit_code": 0,
    }
    assert [check["check"] for check in checks] == CHECKS
    for check in checks:
        assert set(check) == {
            *("check", "result", "finding", "fix", "exit_code", "seconds", "facts")
        }
        assert (check["result"], check["fix"], check["exit_code"]) == ("ok", None, 0)


def test_the_document_of_a_problem(run: Run, bucket: Bucket, server: S3Server) -> None:
    with proxy(server.port) as wire:
        denied = Respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        wire.plan = always(denied, when=is_get_object)
        done = run(
            "doctor",
            "--json",
            "s3://the-lab/data",
            CLOUDFS_ENDPOINT_URL=wire.endpoint_url,
        )
    document = json.loads(done.out)
    assert done.code == document["exit_code"] == ExitCode.CREDENTIALS
    assert document["verdict"] == "1 problem"
    (problem,) = (check for check in document["checks"] if check["result"] == "failure")
    assert (problem["check"], problem["exit_code"]) == ("read", ExitCode.CREDENTIALS)
    assert problem["finding"] == "AccessDenied: no (HTTP 403)"
    assert "s3:GetObject" in problem["fix"]
    assert problem["facts"]["http_code"] == 403


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (
            ["--no-sign-request", "s3://the-lab"],
            ExitCode.CREDENTIALS,
            ("list", "is not public"),
        ),
        (["s3://no-such-bucket"], ExitCode.BUCKET, ("list", "check the bucket's name")),
        (
            ["--profile", "no", "s3://the-lab"],
            ExitCode.CREDENTIALS,
            ("identity", "--profile"),
        ),
        (
            ["--azure-account", "lab", "s3://the-lab"],
            ExitCode.USAGE,
            ("setup", "leave it away"),
        ),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_the_code_is_that_of_mount(
    run: Run, server: S3Server, arguments: list[str], code: ExitCode, problem: tuple[str, str]
) -> None:
    check, words = problem
    with proxy(server.port) as wire:
        denied = Respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        wire.plan = always(
            denied, when=lambda request: is_list(request) and "authorization" not in request.headers
        )
        done = run("doctor", *arguments, CLOUDFS_ENDPOINT_URL=wire.endpoint_url)
    assert (done.code, done.err) == (code, "")
    assert [name for result, name, _ in lines_of(done) if result == "failure"] == [check]
    (fix,) = re.findall(r"^ {19}fix: (.*)$", done.out, re.MULTILINE)
    assert words in fix


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bucket"], "'bucket' has no scheme; write s3://bucket[/prefix]"),
        (["--endpoint-url", "host", "s3://b"], "bad value 'host' for --endpoint-url: write"),
        (["--config", "none.toml", "s3://b"], "none.toml: No such file or directory"),
        (["--regoin", "x", "s3://b"], "no such option --regoin: did you mean --region?"),
        (["--cache-dir", "/x", "s3://b"], "no such option --cache-dir: see"),
        ([], "missing argument 'URL': see 'cloudfs doctor --help'"),
    ],
)
def test_a_wrong_command_line_is_one_line(run: Run, arguments: list[str], said: str) -> None:
    done = run("doctor", *arguments)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert said in done.only_error_line()


def test_options_come_from_where_mount_has_them(
    run: Run, bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    """A file with options that only a mount needs is taken as it is."""
    config = tmp_path / "data.toml"
    config.write_text(f"endpoint-url = '{server.endpoint_url}'\nmax-cache-size = '1GiB'\n")
    done = run("doctor", "--config", config, "--region", "us-east-1", "s3://the-lab")
    assert done.code == ExitCode.OK, done.out
    assert f", endpoint-url from {config}, " in done.out
    assert done.out.endswith(
        f"everything works: cloudfs mount --config {config} --region us-east-1 s3://the-lab DIR\n"
    )


@pytest.mark.parametrize(("more", "code"), [("", ExitCode.OK), ("/?sig=hunter3", 6)])
def test_secrets_of_an_endpoint_are_not_shown(
    run: Run, bucket: Bucket, server: S3Server, more: str, code: ExitCode
) -> None:
    """An endpoint with a query is refused by obstore, with a message that repeats it."""
    endpoint = f"http://user:hunter2@127.0.0.1:{server.port}{more}"
    done = run("doctor", "--debug", "--endpoint-url", endpoint, bucket.url)
    assert done.code == code
    assert f"http://***@127.0.0.1:{server.port}" in done.out
    assert "hunter" not in done.out + done.err
    assert "Traceback" not in done.err


def test_debug_tells_the_times(run: Run, tmp_path: Path) -> None:
    done = run("doctor", "--debug", f"file://{tmp_path}")
    assert re.search(r"DEBUG setup took \d\.\d{3} s", done.err)


def test_every_check_and_every_fact_is_documented(
    run: Run, bucket: Bucket, server: S3Server
) -> None:
    text = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    checks, facts = (
        dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE))
        for part in (text.partition("## What helps")[0], text.partition("| check | facts |")[2])
    )
    assert list(checks) == list(facts) == CHECKS
    done = run("doctor", "--json", bucket.url, CLOUDFS_ENDPOINT_URL=server.endpoint_url)
    for check in json.loads(done.out)["checks"]:
        documented = set(re.findall(r"`(\w+)`", facts[check["check"]]))
        assert set(check["facts"]) <= documented, check["check"]


class TestFolders:
    def test_a_folder(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "a file").write_bytes(b"data")
        done = run("doctor", f"file://{tmp_path}")
        assert (done.code, done.err) == (ExitCode.OK, "")
        results = {check: result for result, check, _ in lines_of(done)}
        skipped = {name for name, result in results.items() if result == "skipped"}
        assert skipped == {"reach", "clock", "region"}
        assert "failure" not in results.values()
        assert "'a file', the first byte after" in done.out
        assert done.out.splitlines()[-1] == f"everything works: cloudfs mount file://{tmp_path} DIR"

    def test_none(self, run: Run, tmp_path: Path) -> None:
        done = run("doctor", f"file://{tmp_path}/none")
        assert (done.code, done.err) == (ExitCode.BUCKET, "")
        assert f"failure  list      {tmp_path}/none is not a folder" in done.out
        assert "fix: create the folder, or correct its path" in done.out

    def test_an_empty_one(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        done = run("doctor", f"file://{tmp_path}/empty")
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert f"warning  list      there is no object under file://{tmp_path}/empty" in done.out
        assert done.out.splitlines()[-1].startswith("it works, with 1 warning: cloudfs mount ")

    @pytest.mark.parametrize(("name", "failed"), [("folder", "list"), ("file", "read")])
    def test_one_that_may_not_be_read(self, as_nobody: AsNobody, name: str, failed: str) -> None:
        # Below /tmp, because nobody else may enter the test's own folder.
        folder = Path("/tmp", f"cloudfs-doctor-{os.getpid()}")
        folder.mkdir(mode=0o755)
        try:
            (folder / "file").write_bytes(b"data")
            (folder if name == "folder" else folder / name).chmod(0o700)
            done = as_nobody("-m", "cloudfs", "doctor", f"file://{folder}")
        finally:
            shutil.rmtree(folder)
        assert (done.code, done.err) == (ExitCode.CREDENTIALS, "")
        assert re.search(rf"^failure  {failed} +Permission denied$", done.out, re.MULTILINE)
        assert "fix: let this user read it, with 'chmod -R u+rX'" in done.out


def test_an_interrupt_is_silent(
    environment: dict[str, str], bucket: Bucket, server: S3Server
) -> None:
    with proxy(server.port) as wire:
        wire.plan = always(Stall(), when=is_list)
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "cloudfs",
            "doctor",
            "s3://the-lab",
        ]
        environ = {**environment, "CLOUDFS_ENDPOINT_URL": wire.endpoint_url}
        with subprocess.Popen(
            command, stdout=-1, stderr=-1, text=True, env=environ, cwd=ROOT
        ) as process:
            wire.wait_requests(1, is_list)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")
    assert "\nok       identity" in out


def test_colours_are_for_terminals(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cloudfs", "doctor", f"file://{tmp_path}/none"]
    for more, has_colours in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal, end = pty.openpty()
        with subprocess.Popen(command, stdout=end, env={**environment, **more}, cwd=ROOT):
            os.close(end)
            shown = b""
            try:
                while piece := os.read(terminal, 65536):
                    shown += piece
            except OSError:  # the other end is closed
                pass
        os.close(terminal)
        assert (b"\x1b[31mfailure\x1b[0m" in shown) is has_colours
        assert (b"\x1b" in shown) is has_colours
