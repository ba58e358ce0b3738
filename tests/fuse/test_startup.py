"""Failed starts of a mount: one line that names the thing and the fix, and the exit code.

Also the options that must reach the daemon.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cloudfs_backends.errors import BucketNotFoundError, UnavailableError
from tests.support import disks
from tests.support import proxy as proxies
from tests.support.environment import clean_environment
from tests.support.mounting import Mounted, cloudfs, is_mounted, wait_until
from tests.support.proxy import Proxy, Respond
from tests.support.stores import S3Server

MountFunction = Callable[..., Mounted]
MIB = 1 << 20

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")


@dataclass(frozen=True)
class Start:
    """One attempt to mount that must fail: its arguments and its surroundings."""

    url: str
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=clean_environment)
    path: Path | None = None

    def run(self, folder: Path, *more: str) -> tuple[int, str]:
        """Return the exit code and the only line on stderr, without its `cloudfs: `."""
        path = self.path or folder / "mnt"
        path.mkdir(exist_ok=True, parents=True)
        options = [*self.options, *more]
        if "--cache-dir" not in options and "CLOUDFS_CACHE_DIR" not in self.env:
            options += ["--cache-dir", str(folder / "cache"), "--min-free-space", "1MiB"]
        started = time.monotonic()
        done = cloudfs("mount", self.url, str(path), *options, env=dict(self.env))
        print(f"ended after {time.monotonic() - started:.2f} s: {done.stderr.strip()}")
        assert not is_mounted(path), "something was left mounted"
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("cloudfs: ")
        return done.returncode, lines[0].removeprefix("cloudfs: ")


def error_body(code: str) -> bytes:
    text = f"<Error><Code>{code}</Code><Message>The {code} message</Message></Error>"
    return f"<?xml version='1.0'?>{text}".encode()


@pytest.fixture
def wire(server: S3Server) -> Iterator[Proxy]:
    """A faulty wire to the S3 server."""
    with proxies.proxy(server.port) as running:
        yield running


@contextmanager
def small_disk(path: Path, size_mib: int, *options: str) -> Iterator[Path]:
    """A file system of this size on `path`; skips the test where that is not possible."""
    disks.need(disks.why_no_tmpfs())
    with disks.small_tmpfs(path, size_mib * MIB, *options):
        yield path


@contextmanager
def mute_listener() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refused_port() -> int:
    """Return a port without a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- the store


@pytest.mark.parametrize("mode", ["--foreground", "--background"])
def test_a_bucket_that_does_not_exist(server: S3Server, tmp_path: Path, mode: str) -> None:
    log_file = ("--log-file", str(tmp_path / "log")) if mode == "--background" else ()
    start = Start("s3://no-such-bucket", ("--endpoint-url", server.endpoint_url, *log_file))
    code, line = start.run(tmp_path, mode)
    assert code == 4
    assert "s3://no-such-bucket" in line
    assert "NoSuchBucket" in line
    assert line.endswith(BucketNotFoundError.advice)


@pytest.mark.parametrize(
    ("status", "error", "fix"),
    [
        (403, "InvalidAccessKeyId", "access key"),
        (403, "SignatureDoesNotMatch", "secret key"),
        (400, "ExpiredToken", "renew"),
        (400, "InvalidToken", "renew"),
        (403, "RequestTimeTooSkewed", "clock"),
        (403, "AccessDenied", "grant"),
    ],
)
def test_refused_credentials(
    wire: Proxy, tmp_path: Path, status: int, error: str, fix: str
) -> None:
    body = error_body(error)
    wire.plan = proxies.always(Respond(status, body, {"content-type": "application/xml"}))
    code, line = Start("s3://some-bucket", ("--endpoint-url", wire.endpoint_url)).run(tmp_path)
    assert code == 5
    assert line.startswith("s3://some-bucket: ")
    assert error in line
    assert fix in line
    # Not a retry loop: what is refused once is refused.
    assert len(wire.requests) <= 3


def bare_environment(home: Path) -> dict[str, str]:
    """An environment in which no credentials can be found."""
    hidden = {k: v for k, v in clean_environment().items() if "ACCESS_KEY" not in k}
    return {**hidden, "HOME": str(home)}


def test_no_credentials_at_all(server: S3Server, tmp_path: Path) -> None:
    options = ("--endpoint-url", server.endpoint_url)
    start = Start("s3://some-bucket", options, env=bare_environment(tmp_path))
    code, line = start.run(tmp_path)
    assert code == 5
    assert "s3://some-bucket" in line
    assert "AWS_ACCESS_KEY_ID" in line
    assert "--no-sign-request" in line


def test_no_credentials_are_needed_for_anonymous_requests(
    server: S3Server, tmp_path: Path, mount: MountFunction
) -> None:
    with server.bucket("public") as bucket:
        bucket.client.put_bucket_acl(Bucket="public", ACL="public-read")
        bucket.client.put_object(Bucket="public", Key="f", Body=b"1", ACL="public-read")
        env = bare_environment(tmp_path)
        options = ("--endpoint-url", server.endpoint_url, "--no-sign-request")
        hidden = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        mounted = mount("s3://public", *options, env={**env, **hidden})
        assert (mounted.path / "f").read_bytes() == b"1"


def test_a_profile_that_does_not_exist(server: S3Server, tmp_path: Path) -> None:
    options = ("--endpoint-url", server.endpoint_url, "--profile", "no-such-profile")
    code, line = Start("s3://some-bucket", options).run(tmp_path)
    assert code == 5
    assert "no-such-profile" in line
    assert "--profile" in line


@pytest.mark.parametrize("mode", ["--foreground", "--background"])
def test_an_endpoint_that_refuses(tmp_path: Path, mode: str) -> None:
    endpoint = f"http://127.0.0.1:{refused_port()}"
    log_file = ("--log-file", str(tmp_path / "log")) if mode == "--background" else ()
    start = Start("s3://some-bucket", ("--endpoint-url", endpoint, *log_file))
    started = time.monotonic()
    code, line = start.run(tmp_path, mode)
    assert time.monotonic() - started < 20
    assert code == 6
    assert endpoint in line
    assert line.endswith(UnavailableError.advice)


def test_an_endpoint_that_never_answers(tmp_path: Path) -> None:
    started = time.monotonic()
    with mute_listener() as port:
        endpoint = f"http://127.0.0.1:{port}"
        code, line = Start("s3://some-bucket", ("--endpoint-url", endpoint)).run(tmp_path)
    assert time.monotonic() - started < 20
    assert code == 6
    assert f"127.0.0.1:{port}" in line, "the line names the endpoint"
    assert line.endswith(UnavailableError.advice)


def test_tls_to_a_port_without(server: S3Server, tmp_path: Path) -> None:
    endpoint = f"https://127.0.0.1:{server.port}"
    code, line = Start("s3://some-bucket", ("--endpoint-url", endpoint)).run(tmp_path)
    assert code == 6
    assert endpoint in line


def test_a_store_that_is_down(wire: Proxy, tmp_path: Path) -> None:
    wire.plan = proxies.always(Respond(503, error_body("ServiceUnavailable")))
    options = ("--endpoint-url", wire.endpoint_url, "--retry-budget", "1s")
    code, line = Start("s3://some-bucket", options).run(tmp_path)
    assert code == 6
    assert "s3://some-bucket" in line
    assert "ServiceUnavailable" in line


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_folder_that_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "source"
    if kind == "file":
        path.write_bytes(b"1")
    code, line = Start(f"file://{path}").run(tmp_path)
    assert code == 4
    assert str(path) in line
    assert "check" in line


# --- the cache directory


@pytest.mark.parametrize("mode", ["--foreground", "--background"])
def test_a_cache_below_a_file(folder: Path, tmp_path: Path, mode: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    cache = tmp_path / "file" / "cache"
    log_file = ("--log-file", str(tmp_path / "log")) if mode == "--background" else ()
    start = Start(f"file://{folder}", ("--cache-dir", str(cache), *log_file))
    code, line = start.run(tmp_path, mode)
    assert code == 7
    assert str(cache) in line
    assert "--cache-dir" in line


def test_a_cache_on_a_read_only_disk(folder: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1, "ro") as disk:
        start = Start(f"file://{folder}", ("--cache-dir", str(disk / "cache")))
        code, line = start.run(tmp_path)
    assert code == 7
    assert str(disk / "cache") in line
    assert os.strerror(errno.EROFS) in line
    assert "--cache-dir" in line


@pytest.mark.parametrize("options", [(), ("--min-free-space", "0")], ids=["default", "no floor"])
def test_a_cache_on_a_full_disk(folder: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        fill_up(disk)
        start = Start(f"file://{folder}", ("--cache-dir", str(disk / "cache"), *options))
        code, line = start.run(tmp_path)
    assert code == 7
    assert str(disk / "cache") in line
    assert "--cache-dir" in line


def fill_up(disk: Path) -> None:
    with suppress(OSError), open(disk / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(bytes(64 * 1024))


def test_a_disk_that_fills_up_while_the_mount_runs(
    folder: Path, tmp_path: Path, mount: MountFunction
) -> None:
    """The disk is smaller than the limit, and another process takes the rest of it."""
    contents = put_files(folder)
    with small_disk(tmp_path / "disk", 24) as disk:
        mounted = mount(
            f"file://{folder}", "--max-cache-size", "1GiB", "--min-free-space", "0",
            "--memory-limit", "64MiB", cache_dir=disk / "cache", allowed=["cache directory"],
        )  # fmt: skip
        read_all(mounted, contents)
        with disk_hog(disk):
            for _ in range(3):
                drop_pages(mounted.path)
                read_all(mounted, contents)
        status = mounted.status()
        (disk_status,) = status["disks"].values()
        refused = ("errors", "skipped", "rejected")
        assert sum(disk_status[name] for name in refused) > 0, "it was never full"
        assert disk_status["used_bytes"] <= 24 * MIB
        assert status["fuse"]["operations"]["read"]["errors"] == 0
        assert mounted.stop() == 0


@contextmanager
def disk_hog(disk: Path) -> Iterator[None]:
    """Take every byte that becomes free, for the time of the block."""
    enough = threading.Event()

    def take() -> None:
        with open(disk / "ballast", "ab", buffering=0) as file:
            while not enough.wait(0.002):
                with suppress(OSError):
                    while file.write(bytes(MIB)):
                        pass

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def test_the_limit_holds_on_a_small_disk(
    folder: Path, tmp_path: Path, mount: MountFunction
) -> None:
    contents = put_files(folder)
    with small_disk(tmp_path / "disk", 32) as disk:
        mounted = mount(
            f"file://{folder}", "--max-cache-size", "16MiB", "--min-free-space", "4MiB",
            "--memory-limit", "64MiB", cache_dir=disk / "cache",
        )  # fmt: skip
        for _ in range(3):
            read_all(mounted, contents)
            drop_pages(mounted.path)
            assert occupied(disk) <= 17 * MIB
        (status,) = mounted.status()["disks"].values()
        assert status["used_bytes"] <= 16 * MIB
        assert status["evictions"] + status["rejected"] > 0
        assert status["errors"] == 0
        assert mounted.stop() == 0


def put_files(folder: Path) -> dict[str, bytes]:
    rng = random.Random(21)
    contents = {f"f{number}": rng.randbytes(5 * MIB + number * 777) for number in range(16)}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return contents


def read_all(mounted: Mounted, contents: Mapping[str, bytes]) -> None:
    for name, data in contents.items():
        assert (mounted.path / name).read_bytes() == data


def drop_pages(mountpoint: Path) -> None:
    """Make the next reads ask the mount, not the page cache."""
    for path in mountpoint.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def occupied(disk: Path) -> int:
    numbers = os.statvfs(disk)
    return (numbers.f_blocks - numbers.f_bfree) * numbers.f_frsize


def test_no_disk_cache(folder: Path, tmp_path: Path, mount: MountFunction) -> None:
    contents = put_files(folder)
    mounted = mount(f"file://{folder}", "--max-cache-size", "0")
    read_all(mounted, contents)
    assert not (tmp_path / "cache").exists()
    assert mounted.status()["health"] == "ok"


# --- places that collide


def test_a_cache_inside_the_mountpoint(folder: Path, tmp_path: Path) -> None:
    for cache in (tmp_path / "mnt", tmp_path / "mnt" / "a" / "cache"):
        code, line = Start(f"file://{folder}", ("--cache-dir", str(cache))).run(tmp_path)
        assert code == 2
        assert str(cache) in line
        assert "outside" in line


def test_a_mountpoint_inside_the_cache(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    options = ("--cache-dir", str(cache), "--min-free-space", "1MiB")
    with ended(cache / "mnt"):
        start = Start(f"file://{folder}", options, path=cache / "mnt")
        code, line = start.run(tmp_path, "--background", "--log-file", str(tmp_path / "log"))
    assert code in {2, 3}
    assert str(cache) in line


def test_a_mountpoint_inside_the_folder_it_shows(folder: Path, tmp_path: Path) -> None:
    (folder / "f").write_bytes(b"1")
    path = folder / "mnt"
    options = ("--cache-dir", str(tmp_path / "cache"), "--min-free-space", "1MiB")
    with ended(path):
        start = Start(f"file://{folder}", options, path=path)
        code, line = start.run(tmp_path, "--background", "--log-file", str(tmp_path / "log"))
    assert code in {2, 3}
    assert str(folder) in line


@contextmanager
def ended(path: Path) -> Iterator[None]:
    """Unmount `path` afterwards if the mount was made in spite of all."""
    try:
        yield
    finally:
        if is_mounted(path):
            cloudfs("umount", str(path))


# --- options that must arrive


def test_variables_and_a_file_reach_the_daemon(
    folder: Path, tmp_path: Path, mount: MountFunction
) -> None:
    config = tmp_path / "mount.toml"
    config.write_text('negative-ttl = "7s"\nmax-downloads = 9\nread-ahead = "4MiB"\n')
    env = {
        "CLOUDFS_CONFIG": str(config),
        "CLOUDFS_MAX_DOWNLOADS": "11",
        "CLOUDFS_METADATA_TTL": "indefinite",
        "CLOUDFS_READ_AHEAD": "2MiB",
    }
    mounted = mount(f"file://{folder}", "--read-ahead", "1MiB", "-o", "retry_budget=3s", env=env)
    found = mounted.status()["options"]
    assert found["negative_ttl"] == 7
    assert found["max_downloads"] == 11
    assert found["metadata_ttl"] == "indefinite"
    assert found["read_ahead"] == MIB
    assert found["retry_budget"] == 3


def test_the_cache_directory_of_a_variable_is_used(
    folder: Path, tmp_path: Path, mount: MountFunction
) -> None:
    (folder / "f").write_bytes(bytes(100_000))
    mounted = mount(f"file://{folder}")
    assert (mounted.path / "f").read_bytes() == bytes(100_000)
    (directory,) = mounted.status()["disks"]
    assert Path(directory).is_relative_to(tmp_path / "cache")
    code, line = Start(
        f"file://{folder}",
        env={**os.environ, "CLOUDFS_CACHE_DIR": "/dev/null/cache"},
    ).run(tmp_path)
    assert code == 7
    assert "/dev/null/cache" in line


def test_debug_says_more(folder: Path, tmp_path: Path, mount: MountFunction) -> None:
    (folder / "f").write_bytes(b"1")
    plain, talkative = mount(f"file://{folder}"), mount(f"file://{folder}", "-d")
    for mounted in (plain, talkative):
        assert (mounted.path / "f").read_bytes() == b"1"
        mounted.stop()
    assert " DEBUG " not in plain.log
    assert " DEBUG " in talkative.log


@pytest.mark.parametrize("mode", ["--foreground", "--background"])
def test_a_log_file_takes_the_log(folder: Path, tmp_path: Path, mode: str) -> None:
    path, log_file = tmp_path / "mnt", tmp_path / "logs" / "cloudfs.log"
    path.mkdir()
    command = [
        sys.executable, "-m", "cloudfs", "mount", f"file://{folder}", str(path), mode,
        "--log-file", str(log_file), "--cache-dir", str(tmp_path / "cache"),
        "--min-free-space", "1MiB",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: is_mounted(path), 30, "it is mounted")
            wait_until(lambda: " mounted " in log_file.read_text(), 30, "it says so in the file")
        finally:
            ended_well = cloudfs("umount", str(path))
        assert ended_well.returncode == 0, ended_well.stderr
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    log = log_file.read_text()
    assert f"mounted file://{folder} on {path}" in log
    assert f"unmounted {path}" in log
    assert log_file.stat().st_mode & 0o077 == 0 or log_file.parent.stat().st_mode & 0o077 == 0


@needs_root
@pytest.mark.parametrize("allowed", [True, False])
def test_other_users(mount: MountFunction, tmp_path: Path, allowed: bool) -> None:
    with tempfile.TemporaryDirectory() as public:  # pytest's own folders are closed to others
        os.chmod(public, 0o755)
        source, path = Path(public) / "source", Path(public) / "mnt"
        source.mkdir()
        (source / "f").write_bytes(b"for all")
        options = ["--allow-other"] if allowed else []
        mounted = mount(f"file://{source}", *options, path=path)
        done = subprocess.run(
            ["cat", str(path / "f")], capture_output=True, user=65534, group=65534, check=False,
            extra_groups=[], cwd="/",
        )  # fmt: skip
        assert done.stdout == (b"for all" if allowed else b"")
        assert (done.returncode == 0) == allowed
        assert mounted.status()["options"]["allow_other"] is allowed
        assert mounted.stop() == 0


def test_starting_takes_a_moment_only(
    server: S3Server, folder: Path, tmp_path: Path, mount: MountFunction
) -> None:
    """Prints what a start takes; how long is for the benchmarks to judge."""
    with server.bucket("quick"):
        s3 = ("s3://quick", "--endpoint-url", server.endpoint_url)
        for url, *options in ((f"file://{folder}",), s3):
            started = time.monotonic()
            mounted = mount(url, *options, env=clean_environment())
            print(f"{url}: mounted after {time.monotonic() - started:.2f} s")
            assert mounted.status()["url"] == url
            assert mounted.stop() == 0
