"""`cloudfs doctor` as a command: sections, document, exit codes. test_golden.py has its pages."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

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
        pytest.skip("needs root, to become another user with setpriv")

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


@dataclass(frozen=True, slots=True)
class Line:
    """A finding of the document."""

    result: str
    text: str
    fix: str
    facts: Mapping[str, Any]


def findings(done: Finished, section: str = "store") -> dict[str, list[Line]]:
    """Return the findings of a section of the document, by check."""
    assert SECRET not in done.out + done.err
    found: dict[str, list[Line]] = {}
    for check in json.loads(done.out)["checks"]:
        if check["section"] == section:
            line = Line(check["result"], check["finding"], check["fix"] or "", check["facts"])
            found.setdefault(check["check"], []).append(line)
    return found


def machine(done: Finished, check: str) -> Line:
    """Return the first finding of a check of the machine."""
    return findings(done, "machine")[check][0]


def failed(done: Finished) -> dict[str, Line]:
    """Return the failures of the document, by check."""
    sections = [*findings(done).items(), *findings(done, "machine").items()]
    return {name: line for name, lines in sections for line in lines if line.result == "failure"}


def verdict_of(done: Finished) -> str:
    """Return the verdict of the document, whether this machine is without warnings or not."""
    verdict = json.loads(done.out)["verdict"]
    return re.sub(r"^it works, with \d+ warnings?", "everything works", verdict)


def test_a_store_that_is_well(doctor: Run, bucket: Bucket, server: S3Server) -> None:
    done = doctor("--json", "--endpoint-url", server.endpoint_url, "s3://the-lab/data")
    assert (done.code, done.err) == (ExitCode.OK, "")
    results = {check: [line.result for line in lines] for check, lines in findings(done).items()}
    assert results == {name: ["skipped" if name == "bandwidth" else "ok"] for name in CHECKS}
    command = f"cloudfs mount --endpoint-url {server.endpoint_url} s3://the-lab/data DIR"
    assert verdict_of(done) == f"everything works: {command}"


def test_a_problem_skips_what_depends_on_it(doctor: Run, bucket: Bucket) -> None:
    done = doctor("--json", "s3://the-lab", CLOUDFS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (done.code, done.err) == (ExitCode.UNREACHABLE, "")
    found = findings(done)
    assert found["setup"][0].facts["options"] == {"endpoint-url": "CLOUDFS_ENDPOINT_URL"}
    (problem,) = found["reach"]
    assert (problem.result, problem.facts["trouble"]) == ("failure", "refused")
    assert "127.0.0.1 port 9" in problem.text
    assert "--endpoint-url" in problem.fix
    others = [line.result for name in CHECKS[2:] for line in found[name]]
    assert others == ["skipped"] * (len(CHECKS) - 2)


def test_the_text_has_the_findings_and_the_verdict_of_the_document(
    doctor: Run, bucket: Bucket
) -> None:
    arguments = ("--max-cache-size", "0", "s3://the-lab")
    environ = {"CLOUDFS_ENDPOINT_URL": "http://127.0.0.1:9"}
    text, document = (doctor(*more, *arguments, **environ) for more in ((), ("--json",)))
    assert (text.code, text.err) == (document.code, document.err)
    assert [*re.findall(r"^(?:ok|warning|failure|skipped) +(\S+)", text.out, re.M)] == [
        check["check"] for check in json.loads(document.out)["checks"]
    ]
    assert text.out.splitlines()[-1] == json.loads(document.out)["verdict"]
    assert "\x1b" not in text.out


def test_the_document(doctor: Run, bucket: Bucket, server: S3Server) -> None:
    done = doctor("--json", "s3://the-lab/data", CLOUDFS_ENDPOINT_URL=server.endpoint_url)
    document = json.loads(done.out)
    assert (done.code, done.err) == (ExitCode.OK, "")
    checks = document["checks"]
    assert (document["url"], document["mountpoint"]) == ("s3://the-lab/data/", None)
    assert (document["schema"], document["exit_code"]) == (2, 0)
    assert list(dict.fromkeys(check["check"] for check in checks)) == OF_MACHINE + CHECKS
    for check in checks:
        assert check["section"] == ("store" if check["check"] in CHECKS else "machine")
        assert check["exit_code"] == 0


def test_the_document_of_a_problem(doctor: Run, bucket: Bucket, server: S3Server) -> None:
    with proxy(server.port) as wire:
        denied = Respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        wire.plan = always(denied, when=is_get_object)
        done = doctor("--json", "s3://the-lab/data", CLOUDFS_ENDPOINT_URL=wire.endpoint_url)
    assert done.code == json.loads(done.out)["exit_code"] == ExitCode.CREDENTIALS
    (problem,) = failed(done).values()
    assert failed(done).keys() == {"read"}
    assert "AccessDenied" in problem.text
    assert "s3:GetObject" in problem.fix
    assert problem.facts["http_code"] == 403


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (
            ["--no-sign-request", "s3://the-lab"],
            ExitCode.CREDENTIALS,
            ("list", "--no-sign-request"),
        ),
        (["s3://no-such-bucket"], ExitCode.BUCKET, ("list", "bucket")),
        (
            ["--profile", "no", "s3://the-lab"],
            ExitCode.CREDENTIALS,
            ("identity", "--profile"),
        ),
        (
            ["--azure-account", "lab", "s3://the-lab"],
            ExitCode.USAGE,
            ("setup", ""),
        ),
    ],
)
@pytest.mark.usefixtures("bucket")
def test_the_code_is_that_of_mount(
    doctor: Run, server: S3Server, arguments: list[str], code: ExitCode, problem: tuple[str, str]
) -> None:
    check, named = problem
    with proxy(server.port) as wire:
        denied = Respond(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
        wire.plan = always(
            denied, when=lambda request: is_list(request) and "authorization" not in request.headers
        )
        done = doctor("--json", *arguments, CLOUDFS_ENDPOINT_URL=wire.endpoint_url)
    assert (done.code, done.err) == (code, "")
    assert failed(done).keys() == {check}
    assert named in failed(done)[check].fix


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["bucket"], "'bucket'"),
        (["--endpoint-url", "host", "s3://b"], "'host' for --endpoint-url"),
        (["--config", "none.toml", "s3://b"], "none.toml: "),
        (["--regoin", "x", "s3://b"], "did you mean --region?"),
        (["-o", "secret=x", "s3://b"], "(secret)"),
        (["s3://b", "/mnt", "more"], "more"),
    ],
)
def test_a_wrong_command_line_is_one_line(doctor: Run, arguments: list[str], named: str) -> None:
    done = doctor(*arguments)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert named in done.only_error_line()


def test_options_come_from_where_mount_has_them(
    doctor: Run, bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    """A file with options that only a mount needs is taken as it is."""
    config = tmp_path / "data.toml"
    config.write_text(f"endpoint-url = '{server.endpoint_url}'\nmax-cache-size = '1GiB'\n")
    done = doctor("--json", "--config", config, "--region", "us-east-1", "s3://the-lab")
    assert done.code == ExitCode.OK, done.out
    (setup,) = findings(done)["setup"]
    assert setup.facts["options"] == {"endpoint-url": str(config), "region": "--region"}
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
        done = doctor("--json", f"file://{tmp_path}")
        assert (done.code, done.err) == (ExitCode.OK, "")
        results = {check: line.result for check, (line,) in findings(done).items()}
        skipped = {name for name, result in results.items() if result == "skipped"}
        assert skipped == {"reach", "clock", "region", "bandwidth"}
        assert "failure" not in results.values()
        assert findings(done)["read"][0].facts["key"] == "a file"
        assert verdict_of(done) == f"everything works: cloudfs mount file://{tmp_path} DIR"

    def test_none(self, doctor: Run, tmp_path: Path) -> None:
        done = doctor("--json", f"file://{tmp_path}/none")
        assert (done.code, done.err) == (ExitCode.BUCKET, "")
        assert failed(done).keys() == {"list"}
        assert f"{tmp_path}/none" in failed(done)["list"].text
        assert "create" in failed(done)["list"].fix

    def test_an_empty_one(self, doctor: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        done = doctor("--json", f"file://{tmp_path}/empty")
        assert (done.code, done.err) == (ExitCode.OK, "")
        (listing,) = findings(done)["list"]
        assert (listing.result, listing.facts["objects"]) == ("warning", 0)
        assert f"file://{tmp_path}/empty" in listing.text
        assert re.match(r"it works, with \d+ warnings?: ", json.loads(done.out)["verdict"])

    @pytest.mark.parametrize(("name", "check"), [("folder", "list"), ("file", "read")])
    def test_one_that_may_not_be_read(self, as_nobody: AsNobody, name: str, check: str) -> None:
        # Below /tmp, because other users may not enter the test's own folder.
        folder = Path("/tmp", f"cloudfs-doctor-{os.getpid()}")
        folder.mkdir(mode=0o755)
        try:
            (folder / "file").write_bytes(b"data")
            (folder if name == "folder" else folder / name).chmod(0o700)
            done = as_nobody("-m", "cloudfs", "doctor", "--quick", "--json", f"file://{folder}")
        finally:
            shutil.rmtree(folder)
        problem = failed(done)[check]
        assert problem.text == os.strerror(errno.EACCES)
        assert "chmod" in problem.fix


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
        done = doctor("--json")
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert list(findings(done, "machine")) == OF_MACHINE
        assert not findings(done)
        assert "cloudfs mount" not in verdict_of(done)

    def test_a_configuration_has_url_and_mountpoint(self, doctor: Run, tmp_path: Path) -> None:
        """And the line that mounts is no longer than it has to be."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "key").write_bytes(b"data")
        config = tmp_path / "data.toml"
        config.write_text(f"url = 'file://{tmp_path}/folder'\nmountpoint = '{tmp_path}/mount'\n")
        config.chmod(0o666)
        (tmp_path / "mount").mkdir()
        done = doctor("--json", "--config", config, CLOUDFS_REGOIN="x")
        assert (done.code, done.err) == (ExitCode.OK, "")
        assert verdict_of(done) == f"everything works: cloudfs mount --config {config}"
        assert machine(done, "mountpoint").result == "ok"
        assert machine(done, "mountpoint").facts["mountpoint"] == f"{tmp_path}/mount"
        mode, variable = findings(done, "machine")["config"]
        assert (mode.result, variable.result) == ("warning", "warning")
        assert f"chmod go-w {config}" in mode.fix
        assert "CLOUDFS_REGION" in variable.fix

    def test_a_mountpoint_that_mount_refuses(self, doctor: Run, tmp_path: Path) -> None:
        arguments = ("-o", f"cache_dir={tmp_path}/c", "file:///usr/share", tmp_path / "none")
        done = doctor("--json", *arguments)
        assert done.code == ExitCode.MOUNTPOINT
        problem = machine(done, "mountpoint")
        assert problem.result == "failure"
        assert f"{tmp_path}/none" in problem.text
        assert f"mkdir -p {tmp_path}/none" in problem.fix

    def test_a_mount_that_is_there(self, doctor: Run, daemon: Daemon, mountpoint: Path) -> None:
        """It never responds, so it must not be accessed. Then its process is killed."""
        environ = {"CLOUDFS_MOUNTPOINT": str(mountpoint)}
        with daemon("serving") as pid:
            own = doctor("--json", "--max-cache-size", "0", "-o", "ro", **environ)
            other = doctor("--json", "file:///usr/share", mountpoint)
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: mountpoints.is_dead(mountpoint), 10, "the process is not gone")
            dead = doctor("--json", **environ)
        assert machine(own, "mountpoint").result == "ok"
        assert f"process {pid}" in machine(own, "mountpoint").text
        assert (other.code, machine(other, "mountpoint").result) == (ExitCode.MOUNTPOINT, "failure")
        assert f"process {pid}, from s3://bucket/pre fix" in machine(other, "mountpoint").text
        assert (dead.code, machine(dead, "mountpoint").result) == (ExitCode.OK, "warning")
        assert f"cloudfs umount {mountpoint}" in machine(dead, "mountpoint").fix

    @pytest.mark.slow
    @pytest.mark.skipif(why_no_stalling_disk() is not None, reason=why_no_stalling_disk() or "")
    def test_a_cache_disk_that_hangs(self, run: Run, tmp_path: Path) -> None:
        """The check times out, and the command ends although a thread of it does not."""
        with stalling_disk(tmp_path / "disk", tmp_path / "backing") as bad:
            bad.stall()
            try:
                done = run("doctor", "--json", "--cache-dir", bad.path)
                unresolved = run("doctor", "--cache-dir", bad.path / "cache")
            finally:
                bad.resume()
        assert done.code == ExitCode.CACHE
        assert machine(done, "cache").result == "failure"
        assert "5 s" in machine(done, "cache").text
        assert "--cache-dir" in machine(done, "cache").fix
        assert machine(done, "mountpoint").result == "skipped"
        assert unresolved.code == ExitCode.TIMEOUT
        assert "--cache-dir" in unresolved.only_error_line()

    def test_a_cache_directory_that_mount_refuses(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "cat.jpg").touch()
        done = run("doctor", "--json", "--cache-dir", tmp_path / "photos")
        assert done.code == ExitCode.CACHE
        assert machine(done, "cache").result == "failure"
        assert f"{tmp_path}/photos" in machine(done, "cache").text
        assert "cat.jpg" in machine(done, "cache").text
        assert machine(done, "disk").result == "skipped"

    def test_the_limit_of_open_files(self, environment: dict[str, str]) -> None:
        command = 'ulimit -n 200; exec "$@"'
        words = [sys.executable, "-m", "cloudfs", "doctor", "--quick", "--json"]
        words += ["--max-downloads", "256"]
        done = subprocess.run(
            ["bash", "-c", command, "bash", *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            check=False,
        )
        assert (done.returncode, done.stderr) == (ExitCode.OK, "")
        files = machine(Finished(done.returncode, done.stdout, done.stderr), "files")
        assert (files.result, files.facts["hard_limit"]) == ("warning", 200)
        assert files.facts["needed"] > 512
        assert str(files.facts["needed"]) in files.fix

    def test_nobody(self, as_nobody: AsNobody, in_namespace: InNamespace) -> None:
        """The needs of a user who is not root, and how root meets them."""
        with nobodys_folder() as folder:
            more = {"CLOUDFS_CACHE_DIR": str(folder / "cache"), "HOME": str(folder)}
            words = ("-m", "cloudfs", "doctor", "--quick", "--json", "--allow-other")
            done = as_nobody(*words, **more)
            expected = {"fusermount": "ok", "read-ahead": "warning", "cache": "ok"}
            assert {name: machine(done, name).result for name in expected} == expected
            assert "setuid root" in machine(done, "fusermount").text
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
                assert machine(done, "fuse").result == "ok"
                assert machine(done, "fuse-conf").result == result
                assert done.code == (ExitCode.FUSE if result == "failure" else ExitCode.OK)

    def test_where_apparmor_refuses_to_mount(
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
                f" exec $user {sys.executable} -m cloudfs doctor --quick --json"
            )
            shutil.rmtree(tmp_path / "upper", ignore_errors=True)
            shutil.rmtree(tmp_path / "work", ignore_errors=True)
            assert machine(done, "mountpoint").result == result, done
            assert ("AppArmor" in machine(done, "mountpoint").text) is (result == "warning")

    def test_a_device_without_a_driver(self, in_namespace: InNamespace, tmp_path: Path) -> None:
        os.mknod(tmp_path / "fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 250))
        done = in_namespace(
            f"mount --bind '{tmp_path}/fuse' /dev/fuse;"
            f" exec {sys.executable} -m cloudfs doctor --quick --json"
        )
        assert (done.code, machine(done, "fuse").result) == (ExitCode.FUSE, "failure")
        assert "/dev/fuse" in machine(done, "fuse").text
        assert "modprobe fuse" in machine(done, "fuse").fix

    def test_a_root_that_may_not_mount(self, in_namespace: InNamespace) -> None:
        done = in_namespace(
            "mount -o remount,ro,bind /sys;"
            " exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin"
            f" {sys.executable} -m cloudfs doctor --quick --json"
        )
        assert (done.code, machine(done, "fuse").result) == (ExitCode.FUSE, "failure")
        assert "CAP_SYS_ADMIN" in machine(done, "fuse").text
        assert "--cap-add SYS_ADMIN" in machine(done, "fuse").fix
        assert machine(done, "read-ahead").result == "warning"


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """A folder that everybody may enter and write to."""
    # Below /tmp, because other users may not enter the test's own folder.
    folder = Path("/tmp", f"cloudfs-doctor-{os.getpid()}")
    folder.mkdir()
    try:
        folder.chmod(0o777)
        yield folder
    finally:
        shutil.rmtree(folder)
