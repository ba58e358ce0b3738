"""`mount -t cloudfs`, as root types it and fstab has it: mount(8) itself runs our helper.

The helper is /sbin/mount.cloudfs in a mount namespace of the tests' own, where the folders of
root's mounts are empty ones.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environment import aws_environment
from tests.support.mounting import can_mount, wait_until
from tests.support.stores import S3Server

HELPER = Path(sys.executable).with_name("mount.cloudfs")
DATA = b"a sample" * 1000

_SET_UP = """
for folder in "$(readlink -f /sbin)" /run /var/log /var/cache; do
    mount -t tmpfs -o mode=755 cloudfs-test "$folder"
done
ln -s "$HELPER" /sbin/mount.cloudfs
echo ready
exec cat
"""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount namespace"),
    pytest.mark.skipif(can_mount() is not None, reason=str(can_mount())),
    pytest.mark.skipif(not HELPER.exists(), reason="cloudfs is not installed"),
]


@dataclass(frozen=True)
class World:
    """A mount namespace with the helper installed; commands run in it with no variables."""

    holder: int
    folder: Path

    def run(
        self, *command: str | Path, environ: Mapping[str, str] | None = None, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            ["/usr/bin/nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "--wd=/", *command],
            env=dict(environ or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )

    def mount(self, *arguments: str | Path, **keywords: object) -> tuple[int, str]:
        """Run mount(8); returns its exit code and what it and the helper said."""
        done = self.run("/usr/bin/mount", *arguments, **keywords)  # type: ignore[arg-type]
        return done.returncode, done.stdout + done.stderr

    def umount(self, path: Path) -> None:
        """Run umount(8), which must succeed, and wait for the daemon to end."""
        before = len(self.daemons())
        done = self.run("/usr/bin/umount", path)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: len(self.daemons()) < before, 20, "the daemon has ended")

    def daemons(self) -> set[int]:
        """The processes of the namespace but the one that holds it."""
        wanted = os.stat(f"/proc/{self.holder}/ns/mnt").st_ino
        return {
            int(pid)
            for pid in filter(str.isdigit, os.listdir("/proc"))
            if int(pid) != self.holder and _mount_namespace(pid) == wanted
        }

    def table(self, path: Path) -> list[str]:
        """The lines of the mount table for `path`."""
        lines = self.run("/usr/bin/cat", "/proc/self/mounts").stdout.splitlines()
        written = str(path).replace(" ", r"\040")
        return [line for line in lines if line.split()[1] == written]


def _mount_namespace(pid: str) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except OSError:
        return 0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    unshare = ["/usr/bin/unshare", "--mount", "--propagation", "private"]
    with subprocess.Popen(
        [*unshare, "/bin/sh", "-eu", "-c", _SET_UP],
        env={"HELPER": str(HELPER), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            pytest.skip("cannot make a mount namespace")
        found = World(holder.pid, tmp_path)
        try:
            yield found
        finally:
            found.run("/usr/bin/umount", "--all", "--lazy", "--types", "fuse.cloudfs")
            for pid in found.daemons():
                os.kill(pid, signal.SIGKILL)
            holder.stdin.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "a place"
    path.mkdir()
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "data.bin").write_bytes(DATA)
    return f"file://{folder}"


def read(world: World, path: Path, **options: object) -> bytes:
    done = world.run("/usr/bin/cat", path, **options)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return done.stdout.encode()


def test_mount_and_umount_as_root(world: World, url: str, place: Path) -> None:
    """With no PATH and no HOME, as units of systemd have none."""
    words = "ro,allow_other,_netdev,noatime,min_free_space=1MiB"
    assert world.mount("-t", "cloudfs", url, place, "-o", words) == (0, "")
    assert read(world, place / "data.bin") == DATA
    (line,) = world.table(place)
    assert " fuse.cloudfs ro,nosuid,nodev," in line
    assert "allow_other" in line
    said = world.run("/usr/bin/ls", "/var/log/cloudfs", "/run/cloudfs").stdout
    assert ".log" in said
    assert ".sock" in said
    code, said = world.mount("-t", "cloudfs", "-o", "remount,ro", url, place)
    assert code == 1
    assert f"umount {place}" in said
    code, said = world.mount("-t", "cloudfs", url, place)
    assert code == 32
    assert f"{place} is already mounted" in said
    world.umount(place)
    assert world.table(place) == []


@pytest.mark.slow
def test_lines_of_fstab(
    world: World, s3_server: S3Server, url: str, place: Path, tmp_path: Path
) -> None:
    """One with an S3 bucket and a configuration, one whose file has all; `mount -a` runs twice."""
    configuration = f"url = '{url}'\nmin-free-space = '1MiB'\nmax-cache-size = '0'\n"
    (tmp_path / "cloudfs").mkdir()
    (tmp_path / "cloudfs/data.toml").write_text(configuration)
    other = tmp_path / "other"
    other.mkdir()
    with s3_server.bucket("fstab") as bucket:
        bucket.client.put_object(Bucket="fstab", Key="train/x.bin", Body=DATA)
        options = f"_netdev,nofail,ro,config=data,endpoint_url={s3_server.endpoint_url}"
        name = str(place).replace(" ", r"\040")
        table = tmp_path / "fstab"
        table.write_text(
            f"s3://fstab/train {name} cloudfs {options} 0 0\n"
            f"none {other} cloudfs defaults,config=data,x-systemd.automount 0 0\n"
        )
        for _ in range(2):
            environ = {**aws_environment(), "XDG_CONFIG_HOME": str(tmp_path)}
            assert world.mount("-a", "--fstab", table, environ=environ) == (0, "")
            assert len(world.table(place)) == len(world.table(other)) == 1
            assert read(world, place / "x.bin") == DATA
            assert read(world, other / "data.bin") == DATA
        assert world.table(place)[0].startswith("s3://fstab/train/ ")
        world.umount(place)
    world.umount(other)


def helper(*arguments: str | Path, **environ: str) -> tuple[int, str]:
    """Run the helper alone; returns its exit code and what it said."""
    done = subprocess.run(
        [HELPER, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("words", ["aws_secret_access_key=hunter22", "token=hunter22"])
@pytest.mark.parametrize("sloppy", [(), ("-s",)], ids=["", "sloppy"])
def test_secrets_are_refused_and_not_shown(
    url: str, place: Path, words: str, sloppy: tuple[str, ...]
) -> None:
    code, said = helper(url, place, *sloppy, "-o", f"rw,{words}")
    assert code == 1
    assert words.partition("=")[0] in said
    assert "hunter22" not in said


@pytest.mark.slow
def test_unknown_options(url: str, place: Path) -> None:
    code, said = helper(url, place, "-f", "-o", "max_download=3")
    assert code == 1
    assert "did you mean max-downloads?" in said
    assert helper(url, place, "-sf", "-o", "max_download=3,nosuch") == (0, "")


@pytest.mark.slow
def test_what_is_checked_without_mounting(url: str, place: Path, tmp_path: Path) -> None:
    folder = str(tmp_path / "with,comma").replace(",", r"\,")
    arguments = ("-fnv", "-t", "cloudfs", "-o", f"cache_dir={folder}")
    code, said = helper(url, place, *arguments)
    assert (code, said) == (0, f"cloudfs: {url} can be mounted on {place}\n")
    assert not (tmp_path / "with,comma").exists()
    assert helper(url, tmp_path / "none", "-f")[0] == 32
    assert helper("nonsense", place, "-f")[0] == 1
    assert helper("none", place, "-f")[0] == 1
    assert helper(url, place, "-f", "-N", "1")[0] == 1
    assert helper(url, place, "-Z")[0] == 1
    assert helper(url)[0] == 1


@pytest.mark.slow
def test_a_failure_of_the_mount(world: World, place: Path, tmp_path: Path) -> None:
    """The line of the background process, and the code of mount(8)."""
    code, said = world.mount("-v", "-t", "cloudfs", f"file://{tmp_path}/none", place)
    assert code == 32
    assert said.splitlines()[-1].startswith(f"cloudfs: file://{tmp_path}/none: ")
    assert world.table(place) == []
