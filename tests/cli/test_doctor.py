"""`cloudfs doctor` as a user meets it: what it prints, its document, and its exit codes."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeAlias

import pytest

from cloudfs.doctor.checks.registry import MACHINE_CHECKS, STORE_CHECKS
from cloudfs.errors import ExitCode
from cloudfs.system import mountpoints
from tests.cli.conftest import ROOT, Daemon, Finished, Run
from tests.support.disks import stalling_disk, why_no_stalling_disk
from tests.support.environment import clean_environment
from tests.support.mounting import wait_until
from tests.support.proxy import Respond, Stall, always, is_get_object, is_list, proxy
from tests.support.stores import Bucket, S3Server

CHECKS = [check.name for check in STORE_CHECKS]
OF_MACHINE = [check.name for check in MACHINE_CHECKS]
MARGIN = 21
"""Where the findings begin, and the fixes."""
SECRET = "cloudfs-test-secret"

AsNobody: TypeAlias = Callable[..., Finished]
InNamespace: TypeAlias = Callable[..., Finished]


@pytest.fixture(scope="module")
def server(s3_server: S3Server) -> S3Server:
    return s3_server


@pytest.fixture(scope="module")
def bucket(server: S3Server) -> Iterator[Bucket]:
    with server.bucket("the-lab") as made:
        made.put("data/key", b"0123456789")
        yield made


@pytest.fixture
def environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Fake credentials, a cache of its own, and nothing of the machine's proxies and CAs."""
    kept = {
        name: text
        for name, text in environment.items()
        if not name.lower().endswith("_proxy") and not name.endswith("_CA_BUNDLE")
    }
    return {**clean_environment(kept), "CLOUDFS_CACHE_DIR": str(tmp_path / "cache")}


@pytest.fixture
def doctor(run: Run) -> Run:
    """Run `cloudfs doctor` without what moves many bytes."""
    return partial(run, "doctor", "--quick")


@pytest.fixture
def as_nobody(environment: dict[str, str]) -> AsNobody:
    """Run Python with these arguments as a user who owns nothing."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become somebody else with setpriv")

    def run(*arguments: str, **variables: str) -> Finished:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*user, sys.executable, *arguments],
            capture_output=True,
            text=True,
            env={**environment, **variables},
            cwd=ROOT,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    if run("-c", "import cloudfs.cli.main").code != 0:
        pytest.skip("this Python is in a folder that others may not enter")
    return run


@pytest.fixture
def in_namespace(environment: dict[str, str]) -> InNamespace:
    """Run a script of bash where mounts are its own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")

    def run(script: str, **variables: str) -> Finished:
        done = subprocess.run(
            ["unshare", "-m", "bash", "-euc", script],
            capture_output=True,
            text=True,
            env={**environment, **variables},
            cwd=ROOT,
            check=False,
            timeout=60,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


def lines_of(done: Finished, section: str = "the store") -> list[tuple[str, str, str]]:
    """Return (result, check, finding) of each finding of a section; fixes are left out."""
    assert SECRET not in done.out + done.err
    matches = (re.fullmatch(r"(\S+) +(\S+) +(.*)", line) for line in part_of(done, section))
    return [(match[1], match[2], match[3]) for match in matches if match and match[1] != "fix:"]


def part_of(done: Finished, section: str = "the store") -> list[str]:
    """Return the lines of a section."""
    paragraphs = (text.splitlines() for text in done.out.split("\n\n"))
    return next(lines[1:] for lines in paragraphs if lines[0] == section)


def verdict_of(done: Finished) -> str:
    """Return the last line, whether this machine is without warnings or not."""
    *_, gap, last = done.out.splitlines()
    assert gap == ""
    return re.sub(r"^it works, with \d+ warnings?", "everything works", last)


def test_a_store_that_is_well(doctor: Run, bucket: Bucket, server: S3Server) -> None:
    done = doctor("--endpoint-url", server.endpoint_url, "s3://the-lab/data")
    assert (done.code, done.err) == (ExitCode.OK, "")
    lines = lines_of(done)
    expected = [("skipped" if name == "bandwidth" else "ok", name) for name in CHECKS]
    assert [(result, check) for result, check, _ in lines] == expected
    columns = {line.index(text) for line in part_of(done) for *_, text in lines
               if line.endswith(text)}  # fmt: skip
    assert columns == {MARGIN}
    command = f"cloudfs mount --endpoint-url {server.endpoint_url} s3://the-lab/data DIR"
    assert verdict_of(done) == f"everything works: {command}"
    assert "\x1b" not in done.out


def test_a_problem_has_its_fix_below_it(doctor: Run, bucket: Bucket) -> None:
    done = doctor("s3://the-lab", CLOUDFS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (done.code, done.err) == (ExitCode.UNREACHABLE, "")
    setup, problem, fix, *skipped = part_of(done)
    assert "endpoint-url from CLOUDFS_ENDPOINT_URL" in setup
    assert problem == "failure  reach       nothing listens on 127.0.0.1 port 9"
    assert fix.startswith(" " * MARGIN + "fix: start the server, or correct host and port")
    assert {line.split()[0] for line in skipped} == {"skipped"}
    assert len(skipped) == len(CHECKS) - 2
    assert verdict_of(done) == "1 problem"


def test_the_document(doctor: Run, bucket: Bucket, server: S3Server) -> None:
    done = doctor("--json", "s3://the-lab/data", CLOUDFS_ENDPOINT_URL=server.endpoint_url)
    document = json.loads(done.out)
    assert (done.code, done.err) == (ExitCode.OK, "")
    checks = document.pop("checks")
    assert document.pop("verdict").endswith(": cloudfs mount s3://the-lab/data DIR")
    assert document == {
        "schema": 2,
        "url": "s3://the-lab/data/",
        "mountpoint": None,
        "exit_code": 0,
    }
    assert list(dict.fromkeys(check["check"] for check in checks)) == OF_MACHINE + CHECKS
    for check in checks:
        assert set(check) == {
            *("section", "check", "result", "finding", "fix", "exit_code", "seconds", "facts")
        }
        assert check["section"] == ("store" if check["check"] in CHECKS else "machine")
        assert check["exit_code"] == 0


def test_the_document_of_a_problem(doctor: Run, bucket: Bucket, server: S3Server) -> None:
    with proxy(server.port) as wire:
        denied = Respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        wire.plan = always(denied, when=is_get_object)
        done = doctor(
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
    doctor: Run, server: S3Server, arguments: list[str], code: ExitCode, problem: tuple[str, str]
) -> None:
    check, words = problem
    with proxy(server.port) as wire:
        denied = Respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        wire.plan = always(
            denied, when=lambda request: is_list(request) and "authorization" not in request.headers
        )
        done = doctor(*arguments, CLOUDFS_ENDPOINT_URL=wire.endpoint_url)
    assert (done.code, done.err) == (code, "")
    assert [name for result, name, _ in lines_of(done) if result == "failure"] == [check]
    (fix,) = re.findall(r"^ {21}fix: (.*)$", "\n".join(part_of(done)), re.MULTILINE)
    assert words in fix


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bucket"], "'bucket' has no scheme; write s3://bucket[/prefix]"),
        (["--endpoint-url", "host", "s3://b"], "bad value 'host' for --endpoint-url: write"),
        (["--config", "none.toml", "s3://b"], "none.toml: No such file or directory"),
        (["--regoin", "x", "s3://b"], "no such option --regoin: did you mean --region?"),
        (["-o", "secret=x", "s3://b"], "credentials in -o (secret)"),
        (["s3://b", "/mnt", "more"], "got unexpected extra argument"),
    ],
)
def test_a_wrong_command_line_is_one_line(doctor: Run, arguments: list[str], said: str) -> None:
    done = doctor(*arguments)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert said in done.only_error_line()


def test_options_come_from_where_mount_has_them(
    doctor: Run, bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    """A file with options that only a mount needs is taken as it is."""
    config = tmp_path / "data.toml"
    config.write_text(f"endpoint-url = '{server.endpoint_url}'\nmax-cache-size = '1GiB'\n")
    done = doctor("--config", config, "--region", "us-east-1", "s3://the-lab")
    assert done.code == ExitCode.OK, done.out
    assert f", endpoint-url from {config}, " in done.out
    command = f"cloudfs mount --config {config} --region us-east-1 s3://the-lab DIR"
    assert verdict_of(done) == f"everything works: {command}"


@pytest.mark.parametrize(("more", "code"), [("", ExitCode.OK), ("/?sig=hunter3", 6)])
def test_secrets_of_an_endpoint_are_not_shown(
    doctor: Run, bucket: Bucket, server: S3Server, more: str, code: ExitCode
) -> None:
    """An endpoint with a query is refused by obstore, with a message that repeats it."""
    endpoint = f"http://user:hunter2@127.0.0.1:{server.port}{more}"
    done = doctor("--debug", "--endpoint-url", endpoint, bucket.url)
    assert done.code == code
    assert f"http://***@127.0.0.1:{server.port}" in done.out
    assert "hunter" not in done.out + done.err
    assert "Traceback" not in done.err


def test_debug_tells_the_times(doctor: Run, tmp_path: Path) -> None:
    done = doctor("--debug", f"file://{tmp_path}")
    assert re.search(r"DEBUG setup took \d\.\d{3} s", done.err)


def test_every_check_and_every_fact_is_documented(
    run: Run, bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    """Every measurement included, and with a mountpoint."""
    bucket.put("large/object", bytes(9 << 20))
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sections = text.partition("### Checks of this machine")[2].partition("### Messages and fixes")
    checks, facts = (
        dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", part, re.MULTILINE))
        for part in (sections[0], sections[2].partition("| check | facts |")[2])
    )
    assert list(checks) == list(facts) == OF_MACHINE + CHECKS
    (tmp_path / "mount").mkdir()
    done = run(
        *("doctor", "--json", "s3://the-lab/large", tmp_path / "mount"),
        CLOUDFS_ENDPOINT_URL=server.endpoint_url,
    )
    document = json.loads(done.out)
    assert document["mountpoint"] == str(tmp_path / "mount")
    assert document["verdict"].endswith(f": cloudfs mount s3://the-lab/large {tmp_path}/mount")
    for check in document["checks"]:
        assert check["facts"] or check["result"] == "skipped", check["check"]
        documented = set(re.findall(r"`(\w+)`", facts[check["check"]]))
        assert set(check["facts"]) <= documented, check["check"]


class TestFolders:
    def test_a_folder(self, doctor: Run, tmp_path: Path) -> None:
        (tmp_path / "a file").write_bytes(b"data")
        done = doctor(f"file://{tmp_path}")
        assert (done.code, done.err) == (ExitCode.OK, "")
        results = {check: result for result, check, _ in lines_of(done)}
        skipped = {name for name, result in results.items() if result == "skipped"}
        assert skipped == {"reach", "clock", "region", "bandwidth"}
        assert "failure" not in results.values()
        assert "'a file', the first byte after" in done.out
        assert verdict_of(done) == f"everything works: cloudfs mount file://{tmp_path} DIR"

    def test_none(self, doctor: Run, tmp_path: Path) -> None:
        done = doctor(f"file://{tmp_path}/none")
        assert (done.code, done.err) == (ExitCode.BUCKET, "")
        assert f"failure  list        {tmp_path}/none is not a folder" in done.out
        assert "fix: create the folder, or correct its path" in done.out

    def test_an_empty_one(self, doctor: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        done = doctor(f"file://{tmp_path}/empty")
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert f"warning  list        there is no object under file://{tmp_path}/empty" in done.out
        assert re.match(r"it works, with \d+ warnings?: ", done.out.splitlines()[-1])

    @pytest.mark.parametrize(("name", "failed"), [("folder", "list"), ("file", "read")])
    def test_one_that_may_not_be_read(self, as_nobody: AsNobody, name: str, failed: str) -> None:
        # Below /tmp, because nobody else may enter the test's own folder.
        folder = Path("/tmp", f"cloudfs-doctor-{os.getpid()}")
        folder.mkdir(mode=0o755)
        try:
            (folder / "file").write_bytes(b"data")
            (folder if name == "folder" else folder / name).chmod(0o700)
            done = as_nobody("-m", "cloudfs", "doctor", "--quick", f"file://{folder}")
        finally:
            shutil.rmtree(folder)
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
            "--quick",
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
    command = [sys.executable, "-m", "cloudfs", "doctor", "--quick", f"file://{tmp_path}/none"]
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


class TestMachine:
    def test_without_a_url_the_machine_alone(self, doctor: Run) -> None:
        done = doctor()
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert list(dict.fromkeys(check for _, check, _ in lines_of(done, "this machine"))) == (
            OF_MACHINE
        )
        assert "the store\n" not in done.out
        assert verdict_of(done) == (
            "everything works; the store was not examined: give its URL, or the --config that has"
            " one"
        )

    def test_a_configuration_has_url_and_mountpoint(self, doctor: Run, tmp_path: Path) -> None:
        """And the line that mounts is no longer than it has to be."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "key").write_bytes(b"data")
        config = tmp_path / "data.toml"
        config.write_text(f"url = 'file://{tmp_path}/folder'\nmountpoint = '{tmp_path}/mount'\n")
        config.chmod(0o666)
        (tmp_path / "mount").mkdir()
        done = doctor("--config", config, CLOUDFS_REGOIN="x")
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert verdict_of(done) == f"everything works: cloudfs mount --config {config}"
        lines = lines_of(done, "this machine")
        assert ("ok", "mountpoint", f"{tmp_path}/mount is an empty directory") in lines
        assert [result for result, check, _ in lines if check == "config"] == ["warning"] * 2
        assert f"run 'chmod go-w {config}'" in done.out
        assert "did you mean CLOUDFS_REGION?" in done.out

    def test_a_mountpoint_that_mount_refuses(self, doctor: Run, tmp_path: Path) -> None:
        done = doctor("-o", f"cache_dir={tmp_path}/c", "file:///usr/share", tmp_path / "none")
        assert done.code == ExitCode.MOUNTPOINT
        assert ("failure", "mountpoint", f"{tmp_path}/none does not exist") in (
            lines_of(done, "this machine")
        )
        assert f"fix: create it with 'mkdir -p {tmp_path}/none'" in done.out

    def test_a_mount_that_is_there(self, doctor: Run, daemon: Daemon, mountpoint: Path) -> None:
        """It never answers, so it must not be looked at. Then its process is killed."""
        with daemon("serving") as pid:
            own = doctor("--max-cache-size", "0", "-o", "ro", CLOUDFS_MOUNTPOINT=str(mountpoint))
            other = doctor("file:///usr/share", mountpoint)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: mountpoints.is_dead(mountpoint), 10, "the process is not gone")
            dead = doctor(CLOUDFS_MOUNTPOINT=str(mountpoint))
        said = f"{mountpoint} is mounted already, by process {pid}"
        assert ("ok", "mountpoint", said) in lines_of(own, "this machine")
        assert other.code == ExitCode.MOUNTPOINT
        assert f"already mounted by cloudfs process {pid}, from s3://bucket/pre fix" in other.out
        said = f"{mountpoint}: the process of the mount there is gone"
        assert ("warning", "mountpoint", said) in lines_of(dead, "this machine")
        assert dead.code == ExitCode.OK

    @pytest.mark.slow
    @pytest.mark.skipif(why_no_stalling_disk() is not None, reason=why_no_stalling_disk() or "")
    def test_a_cache_disk_that_hangs(self, run: Run, tmp_path: Path) -> None:
        """The check is given up, and the command ends although a thread of it does not."""
        with stalling_disk(tmp_path / "disk", tmp_path / "backing") as bad:
            bad.stall()
            try:
                done = run("doctor", "--cache-dir", bad.path)
                unsettled = run("doctor", "--cache-dir", bad.path / "cache")
            finally:
                bad.resume()
        assert done.code == ExitCode.CACHE
        lines = lines_of(done, "this machine")
        assert ("failure", "cache", "no result within 5 s") in lines
        assert "fix: the disk hangs: see 'dmesg', or give another --cache-dir" in done.out
        assert lines[-1][:2] == ("skipped", "mountpoint")
        assert unsettled.code == ExitCode.TIMEOUT
        assert "a disk among the options does not answer within 5 s" in unsettled.only_error_line()

    def test_a_cache_directory_that_mount_refuses(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").touch()
        done = run("doctor", "--cache-dir", tmp_path / "photos")
        assert done.code == ExitCode.CACHE
        lines = lines_of(done, "this machine")
        assert ("failure", "cache", f"{tmp_path}/photos holds something else (cat.jpg)") in lines
        assert ("skipped", "disk", "not tried, because of cache") in lines

    def test_the_limit_of_open_files(self, environment: dict[str, str]) -> None:
        command = 'ulimit -n 200; exec "$@"'
        words = [sys.executable, "-m", "cloudfs", "doctor", "--quick", "--max-downloads", "256"]
        done = subprocess.run(
            ["bash", "-c", command, "bash", *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            check=False,
        )
        assert (done.returncode, done.stderr) == (ExitCode.OK, "")
        said = r"warning  files +only 200 are allowed, and a busy mount needs (\d+)\n +fix: (.*)"
        found = re.search(said, done.stdout)
        assert found is not None, done.stdout
        assert int(found[1]) > 512

    def test_nobody(self, as_nobody: AsNobody, in_namespace: InNamespace) -> None:
        """What a user who is not root needs, and how root gives it to them."""
        with nobodys_folder() as folder:
            more = {"CLOUDFS_CACHE_DIR": str(folder / "cache"), "HOME": str(folder)}
            words = ("-m", "cloudfs", "doctor", "--quick", "--allow-other")
            found = lines_of(as_nobody(*words, **more), "this machine")
            results = {check: (result, text) for result, check, text in found}
            assert results["fusermount"][0] == "ok"
            assert results["fusermount"][1].endswith(", setuid root")
            assert results["read-ahead"][0] == "warning"
            assert results["cache"][0] == "ok"
            user = "setpriv --reuid=65534 --regid=65534 --clear-groups"
            device = folder / "fuse"
            os.mknod(device, stat.S_IFCHR, os.stat("/dev/fuse").st_rdev)
            device.chmod(0o666)
            for text, result in (("", "failure"), ("user_allow_other\n", "ok")):
                (folder / "fuse.conf").write_text(text)
                done = in_namespace(
                    f"mount --bind {folder}/fuse.conf /etc/fuse.conf;"
                    f" mount --bind {device} /dev/fuse;"
                    f" exec {user} {sys.executable} {' '.join(words)}",
                    **more,
                )
                results = {check: result for result, check, _ in lines_of(done, "this machine")}
                assert (results["fuse"], results["fuse-conf"]) == ("ok", result)
                assert done.code == (ExitCode.FUSE if result == "failure" else ExitCode.OK)

    def test_where_apparmor_lets_nobody_mount(
        self, in_namespace: InNamespace, tmp_path: Path
    ) -> None:
        """Below /var/tmp, which the profile of Ubuntu does not have."""
        prepared = (
            "mount -t tmpfs tmpfs /sys/module; mkdir -p /sys/module/apparmor/parameters;"
            " echo Y > /sys/module/apparmor/parameters/enabled;"
            f" cd '{tmp_path}'; mkdir upper work;"
            " mount -t overlay overlay -o lowerdir=/etc,upperdir=upper,workdir=work /etc;"
            " mkdir -p /etc/apparmor.d; touch /etc/apparmor.d/fusermount3; cd /;"
            " mount -t tmpfs -o mode=777 tmpfs /var/tmp; mount -t tmpfs -o mode=777 tmpfs /mnt;"
            f" cd {ROOT}; user='setpriv --reuid=65534 --regid=65534 --clear-groups'"
        )
        for place, result in (("/var/tmp", "warning"), ("/mnt", "ok")):
            done = in_namespace(
                f"{prepared}; export CLOUDFS_CACHE_DIR={place}/cache"
                f" CLOUDFS_MOUNTPOINT={place}/data; $user mkdir {place}/data;"
                f" exec $user {sys.executable} -m cloudfs doctor --quick"
            )
            shutil.rmtree(tmp_path / "upper", ignore_errors=True)
            shutil.rmtree(tmp_path / "work", ignore_errors=True)
            found = {check: (has, text) for has, check, text in lines_of(done, "this machine")}
            assert found["mountpoint"][0] == result, done
            assert ("AppArmor" in found["mountpoint"][1]) is (result == "warning")

    def test_a_device_without_a_driver(self, in_namespace: InNamespace, tmp_path: Path) -> None:
        os.mknod(tmp_path / "fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 250))
        done = in_namespace(
            f"mount --bind '{tmp_path}/fuse' /dev/fuse;"
            f" exec {sys.executable} -m cloudfs doctor --quick"
        )
        assert done.code == ExitCode.FUSE
        assert ("failure", "fuse", "/dev/fuse has no driver") in lines_of(done, "this machine")
        assert "fix: load it as root: modprobe fuse" in done.out

    def test_a_root_that_may_not_mount(self, in_namespace: InNamespace) -> None:
        done = in_namespace(
            "mount -o remount,ro,bind /sys;"
            " exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin"
            f" {sys.executable} -m cloudfs doctor --quick"
        )
        assert done.code == ExitCode.FUSE
        assert "this root user may not mount (no CAP_SYS_ADMIN)" in done.out
        assert "fix: start the container with '--cap-add SYS_ADMIN" in done.out
        results = {check: result for result, check, _ in lines_of(done, "this machine")}
        assert results["read-ahead"] == "warning"


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """A folder that everybody may enter and write to."""
    # Below /tmp, because nobody else may enter the test's own folder.
    folder = Path("/tmp", f"cloudfs-doctor-{os.getpid()}")
    folder.mkdir()
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder)
