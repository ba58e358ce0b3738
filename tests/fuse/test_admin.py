"""Warming up, pinning, evicting, invalidating and verifying a real mount by the command line."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket
from tests.fuse.cached import (
    MIB,
    cached,
    check_all,
    crash,
    data_files,
    local,
    occupied,
    put_files,
    received,
    steer,
    steer_json,
    warm,
)
from tests.support import proxy as proxies
from tests.support.mounting import Mounted, cloudfs, wait_until
from tests.support.proxy import ProxiedRequest, Proxy, Stall
from tests.support.stores import S3Server

MountFunction = Callable[..., Mounted]
SIZES = {
    "train/a/0.h5": 3 * MIB + 17,
    "train/a/1.h5": 4096,
    "train/b/2.h5": 1,
    "train/b/notes.txt": 70_000,
    "train/empty": 0,
    "val/3.h5": 2 * MIB,
    "val/ü ü.h5": MIB - 1,
    "top.h5": 999,
}
TRAIN = sum(size for name, size in SIZES.items() if name.startswith("train/"))
TOTAL = sum(SIZES.values())


@pytest.fixture
def contents(folder: Path) -> dict[str, bytes]:
    return put_files(folder, SIZES)


def mount_folder(mount: MountFunction, folder: Path, *options: str, **kwargs: object) -> Mounted:
    return mount(f"file://{folder}", *options, **kwargs)


# --- warming up


def test_a_tree_is_read_without_a_get_after_its_warm_up(
    folder: Path, contents: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = mount_folder(mount, folder)
    steer("warmup", "--check", mounted.path / "train", code=11)
    assert received(mounted) == 0
    job = warm(mounted.path / "train")
    assert (job["state"], job["files_total"], job["files_done"]) == ("done", 5, 5)
    assert job["bytes_done"] == job["bytes_total"] == job["fetched_bytes"] == TRAIN
    steer("warmup", "--check", mounted.path / "train")
    steer("warmup", "--check", mounted.path, code=11)
    gets = mounted.gets()
    check_all(mounted, {name: data for name, data in contents.items() if name.startswith("train/")})
    assert mounted.gets() == gets
    assert local(mounted.path / "train") == cached(mounted.path / "train") == (TRAIN, TRAIN)
    assert local(mounted.path / "val")[0] == cached(mounted.path / "val/3.h5")[0] == 0
    assert cached(mounted.path) == (TRAIN, TOTAL)
    mounted.stop()
    # It is the SSD that has it, not only the memory.
    again = mount_folder(mount, folder)
    check_all(again, {name: data for name, data in contents.items() if name.startswith("train/")})
    assert again.gets() == 0


@pytest.mark.slow
def test_files_lists_and_patterns(
    folder: Path, contents: dict[str, bytes], mount: MountFunction, tmp_path: Path
) -> None:
    mounted = mount_folder(mount, folder)

    def fetched(*names: str) -> None:
        """Exactly these are local; then nothing is."""
        for name, size in SIZES.items():
            expected = size if name in names else 0
            assert cached(mounted.path / name) == (expected, size), name
        steer("cache", "evict", mounted.path)

    steer("warmup", mounted.path / "top.h5", mounted.path / "val/ü ü.h5")
    fetched("top.h5", "val/ü ü.h5")
    steer("warmup", mounted.path, "--glob", "*.h5")
    fetched(*(name for name in SIZES if name.endswith(".h5")))
    steer("warmup", mounted.path / "train", "--glob", "a/**", "--glob", "*.txt")
    fetched("train/a/0.h5", "train/a/1.h5", "train/b/notes.txt")
    (tmp_path / "list").write_text("a/1.h5\n\nb/2.h5\r\n../val/3.h5\n")
    steer("warmup", "-f", tmp_path / "list", mounted.path / "train")
    fetched("train/a/1.h5", "train/b/2.h5", "val/3.h5")
    steer("warmup", "-f", "-", stdin=f"{mounted.path}/top.h5\n{mounted.path}/val\n")
    fetched("top.h5", "val/3.h5", "val/ü ü.h5")
    steer("warmup", "--check", "-f", tmp_path / "list", mounted.path / "train", code=11)
    said = steer("warmup", mounted.path / "none", mounted.path / "top.h5", code=11)
    assert f"{mounted.path}/none: " in said
    fetched("top.h5")
    assert "no file matches '*.hdf': " in steer("warmup", mounted.path, "--glob", "*.hdf", code=11)
    fetched()


@pytest.mark.slow
def test_a_warm_up_in_the_background(
    folder: Path, contents: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = mount_folder(mount, folder)
    slow = warm(mounted.path, "--background", "--rate", "10KiB")
    assert slow["state"] == "running"
    shown = steer("warmup", "--job", slow["job"], mounted.path / "train")
    assert f"job {slow['job']} runs for" in shown
    assert f"job {slow['job']}: warmup, running" in steer("cache", "info", mounted.path)
    steer("warmup", "--job", slow["job"], "--cancel", mounted.path)
    again = steer("warmup", "--job", slow["job"], "--cancel", mounted.path)
    assert "has ended before: cancelled" in again
    assert "cancelled" in steer("warmup", "--job", slow["job"], mounted.path, code=11)
    job = warm(mounted.path, "--background")["job"]

    def is_done() -> bool:
        return steer_json("warmup", "--job", job, mounted.path)["jobs"][0]["state"] == "done"

    wait_until(is_done, 20, "the warm-up is done")
    ended = steer_json("warmup", "--job", job, mounted.path)["jobs"][0]
    assert ended["files_done"] == ended["files_total"] == len(SIZES)
    steer("warmup", "--check", mounted.path)


@pytest.mark.slow
def test_the_rate_holds_and_a_bar_or_lines_show_how_far_it_is(
    folder: Path, mount: MountFunction
) -> None:
    put_files(folder, {f"{number:02}": MIB for number in range(40)})
    mounted = mount_folder(mount, folder)
    command = [sys.executable, "-m", "cloudfs", "warmup", "--rate", "8MiB", str(mounted.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert re.match(
        rf"{mounted.path}: \d+ of 40 files, \S+ MiB of 40 MiB, \S+ MiB/s, \S+ left\n", done.stderr
    ), done.stderr
    elapsed = re.search(r"fetched 40 MiB in ([\d.]+)s ", done.stdout)
    assert elapsed, done.stdout
    # Two seconds' worth may come at once.
    assert float(elapsed[1]) >= (40 - 2 * 8) / 8 * 0.9
    steer("cache", "evict", mounted.path)
    code, screen = on_a_terminal(command)
    assert code == 0
    assert "\u2501" in screen, "a bar"
    assert re.search(r"\d+ of 40 files, \S+ MiB of 40 MiB, \S+ MiB/s, \S+ left", screen), screen
    assert "40 of 40 files, 40 MiB of 40 MiB local; fetched 40 MiB in" in screen


def on_a_terminal(command: list[str]) -> tuple[int, str]:
    """Run a command on a terminal of 140 columns; return its exit code and what it drew."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "140"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    screen = b""
    try:
        while piece := _read_terminal(ours):
            screen += piece
    finally:
        os.close(ours)
    text = screen.decode()
    return process.wait(60), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def _read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: everybody at the other end has gone.
        return b""


@pytest.mark.slow
def test_a_warm_up_goes_on_where_a_killed_mount_was(folder: Path, mount: MountFunction) -> None:
    contents = put_files(folder, {f"{number:02}": MIB + number for number in range(40)})
    total = sum(map(len, contents.values()))
    first = mount_folder(mount, folder)
    warm(first.path, "--background", "--rate", "8MiB")
    wait_until(lambda: received(first) > 12 * MIB, 20, "a part is there")
    crash(first)
    second = mount_folder(mount, folder)
    kept, _ = cached(second.path)
    assert kept >= 8 * MIB
    job = warm(second.path)
    assert job["fetched_bytes"] == received(second) == total - kept
    assert job["bytes_done"] == total
    gets = second.gets()
    check_all(second, contents)
    assert second.gets() == gets
    assert steer_json("cache", "verify", second.path)["jobs"][0]["report"]["corrupt"] == 0


@pytest.fixture
def wire(server: S3Server) -> Iterator[Proxy]:
    with proxies.proxy(server.port) as running:
        yield running


@pytest.mark.slow
def test_readers_are_served_while_a_warm_up_gets_nowhere(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy
) -> None:
    for number in range(24):
        s3_bucket.put(f"warm/{number}", bytes(MIB))
    demand = os.urandom(5 * MIB)
    s3_bucket.put("demand", demand)

    def is_warm_up(request: ProxiedRequest) -> bool:
        return proxies.is_get_object(request) and "/warm/" in request.target

    mounted = s3_bucket.mount(mount, "--max-downloads", "4", endpoint=wire.endpoint_url)
    wire.plan = proxies.always(Stall(), when=is_warm_up)
    job = warm(mounted.path / "warm", "--background")["job"]
    wire.wait_requests(1, is_warm_up)
    assert (mounted.path / "demand").read_bytes() == demand
    (state,) = steer_json("warmup", "--job", job, mounted.path)["jobs"]
    assert (state["state"], state["fetched_bytes"]) == ("running", 0)
    wire.plan = proxies.pass_all
    wire.release()
    wait_until(
        lambda: steer_json("warmup", "--job", job, mounted.path)["jobs"][0]["files_done"] == 24,
        30,
        "the warm-up is done",
    )


# --- pins, eviction


@pytest.mark.slow
def test_pinned_files_survive_twice_the_cache(
    folder: Path, mount: MountFunction, tmp_path: Path
) -> None:
    kept = put_files(folder, {f"keep/{number}": 2 * MIB for number in range(5)})
    others = put_files(folder, {f"other/{number:02}": 2 * MIB for number in range(32)})
    options = ("--max-cache-size", "32MiB", "--memory-limit", "64MiB")
    first = mount_folder(mount, folder, *options)
    steer("cache", "pin", first.path / "keep")
    steer("warmup", first.path / "keep")
    for _ in range(2):
        check_all(first, others)
    assert f"pinned: {first.path}/keep" in steer("cache", "info", first.path)
    first.stop()
    assert occupied(tmp_path / "cache") <= 33 * MIB
    second = mount_folder(mount, folder, *options)
    check_all(second, kept)
    assert second.gets() == 0
    assert steer_json("status", second.path / "keep")["pinned_bytes"] == 10 * MIB
    # Not even a command evicts them, until they are unpinned.
    steer("cache", "evict", second.path)
    assert local(second.path / "keep") == (10 * MIB, 10 * MIB)
    steer("cache", "unpin", second.path)
    steer("cache", "evict", second.path)
    assert local(second.path / "keep") == (0, 10 * MIB)
    assert "nothing is pinned" in steer("cache", "unpin", second.path)


def test_evicting_gives_the_disk_its_space_back(
    folder: Path, contents: dict[str, bytes], mount: MountFunction, tmp_path: Path
) -> None:
    mounted = mount_folder(mount, folder)
    steer("warmup", mounted.path)
    before = occupied(tmp_path / "cache")
    assert before >= TOTAL
    freed = re.fullmatch(
        rf"{mounted.path}: freed (\S+) MiB\n", steer("cache", "evict", mounted.path / "train")
    )
    assert freed
    assert abs(float(freed[1]) - TRAIN / MIB) < 0.1
    assert occupied(tmp_path / "cache") <= before - TRAIN
    assert local(mounted.path / "train")[0] == 0
    assert local(mounted.path / "val") == (3 * MIB - 1, 3 * MIB - 1)
    steer("cache", "evict", mounted.path)
    assert occupied(tmp_path / "cache") == 0
    check_all(mounted, contents)


# --- invalidation


@pytest.mark.parametrize("what", ["mount", pytest.param("paths", marks=pytest.mark.slow)])
def test_what_was_invalidated_is_seen_as_it_is_now(
    bucket: Bucket, mount: MountFunction, what: str
) -> None:
    for key in ("d/f", "d/same", "d/gone", "gone"):
        bucket.put(key, b"old " + key.encode())
    mounted = bucket.mount(mount, "--metadata-ttl", "indefinite", "--negative-ttl", "indefinite")
    path = mounted.path

    def look() -> dict[str, object]:
        names = ("d/f", "d/same", "d/gone", "d/new", "gone", "new", "e/new")
        return {
            "root": sorted(os.listdir(path)),
            "d": sorted(os.listdir(path / "d")),
            **{name: (path / name).read_bytes() if (path / name).exists() else None
               for name in names},
        }  # fmt: skip

    before = look()
    assert before["root"] == ["d", "gone"]
    bucket.put("d/f", b"new and longer")
    for key in ("d/new", "new", "e/new"):
        bucket.put(key, b"new")
    for key in ("d/gone", "gone"):
        bucket.delete(key)
    assert look() == before
    gets = mounted.gets()
    if what == "mount":
        steer("cache", "invalidate", path)
    else:
        steer("cache", "invalidate", *(path / n for n in ("d", "gone", "new", "e")))
    assert look() == {
        "root": ["d", "e", "new"],
        "d": ["f", "new", "same"],
        "d/f": b"new and longer",
        "d/same": b"old d/same",
        "d/gone": None,
        "d/new": b"new",
        "gone": None,
        "new": b"new",
        "e/new": b"new",
    }
    assert mounted.gets() - gets == 4, "what has not changed is not fetched again"


@pytest.mark.slow
def test_invalidating_a_file_leaves_its_neighbours_alone(
    bucket: Bucket, mount: MountFunction
) -> None:
    bucket.put("d/a", b"old")
    bucket.put("d/b", b"old")
    mounted = bucket.mount(mount, "--metadata-ttl", "indefinite")
    path = mounted.path / "d"
    assert [(path / name).read_bytes() for name in sorted(os.listdir(path))] == [b"old"] * 2
    bucket.put("d/a", b"newer")
    bucket.put("d/b", b"newer")
    assert (path / "a").read_bytes() == b"old"
    steer("cache", "invalidate", path / "a")
    assert (path / "a").read_bytes() == b"newer"


# --- verification


def flip(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("verified", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_flipped_byte_is_found_and_never_read(
    folder: Path, mount: MountFunction, tmp_path: Path, verified: bool
) -> None:
    contents = put_files(folder, {"f": 3 * MIB, "g": MIB})
    first = mount_folder(mount, folder)
    steer("warmup", first.path)
    steer("cache", "verify", first.path)
    first.stop()
    biggest = max(data_files(tmp_path / "cache"), key=lambda path: path.stat().st_size)
    flip(biggest, MIB + 12_345)
    second = mount_folder(
        mount, folder, allowed=["block 1 of 'f' is missing or corrupt", "1 corrupt"]
    )
    if verified:
        said = steer("cache", "verify", "--json", second.path, code=11)
        report = json.loads(said)["jobs"][0]["report"]
        assert (report["blocks"], report["corrupt"]) == (4, 1)
        steer("cache", "verify", second.path)
        assert cached(second.path) == (3 * MIB, 4 * MIB)
    check_all(second, contents)
    assert received(second) == MIB
    (disk,) = second.status()["disks"].values()
    assert verified or disk["corrupt"] == 1
    assert disk["state"] == "ok"
    steer("cache", "verify", second.path)


@pytest.mark.slow
def test_a_look_at_a_path_reads_nothing(
    folder: Path, contents: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = mount_folder(mount, folder)
    with (mounted.path / "train/a/0.h5").open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        assert file.read(4096) == contents["train/a/0.h5"][:4096]
    wait_until(lambda: cached(mounted.path / "train/a/0.h5")[0] >= MIB, 10, "a block is there")
    before = received(mounted)
    part, size = cached(mounted.path / "train/a/0.h5")
    assert MIB <= part <= size
    assert local(mounted.path / "train/a/0.h5") == (part, size)
    assert local(mounted.path / "train") == cached(mounted.path / "train") == (part, TRAIN)
    assert re.search("files: [12] of 5 local", steer("status", mounted.path / "train"))
    assert received(mounted) == before
    said = steer("status", mounted.path / "none", code=2)
    assert said.startswith(f"cloudfs: {mounted.path}/none: ")


@pytest.mark.slow
def test_a_mount_without_an_ssd_cache_says_so(
    folder: Path, contents: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = mount_folder(mount, folder, "--max-cache-size", "0")
    steer("warmup", mounted.path, code=7)
    assert steer_json("cache", "info", mounted.path)["mounts"][0]["directories"] == []
    for verb in ("pin", "unpin", "evict", "verify"):
        said = steer("cache", verb, mounted.path, code=7)
        assert "--max-cache-size" in said
    (mounted.path / "top.h5").read_bytes()
    assert local(mounted.path / "top.h5") == (999, 999), "in memory"


@pytest.mark.slow
def test_a_stopped_daemon_is_named_with_the_way_out(
    folder: Path, contents: dict[str, bytes], mount: MountFunction
) -> None:
    mounted = mount_folder(mount, folder)
    mounted.process.send_signal(signal.SIGSTOP)
    try:
        for command in (["status"], ["cache", "info"], ["warmup"]):
            done = cloudfs(*command, str(mounted.path))
            assert done.returncode == 10
            (line,) = done.stderr.splitlines()
            assert line.startswith("cloudfs: ")
            assert f"'kill -CONT {mounted.pid}'" in line
    finally:
        mounted.process.send_signal(signal.SIGCONT)
    steer("warmup", mounted.path)
    check_all(mounted, contents)


@pytest.mark.slow
def test_what_only_memory_has_is_written_by_a_warm_up(folder: Path, mount: MountFunction) -> None:
    """As it is left by a disk that was full or too slow."""
    contents = put_files(folder, {"f": 3 * MIB})
    first = mount_folder(mount, folder)
    check_all(first, contents)
    second = mount_folder(mount, folder)
    steer("cache", "evict", second.path)
    assert cached(first.path / "f") == (3 * MIB, 3 * MIB), "in memory"
    steer("warmup", "--check", first.path, code=11)
    steer("warmup", first.path)
    first.stop()
    assert cached(second.path / "f") == (3 * MIB, 3 * MIB)
    check_all(second, contents)
    assert second.gets() == 0
