"""What the tests of the cache need: files, reads that ask the mount, and looks at the disk."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.mounting import Mounted, cloudfs

MIB = 1 << 20


def put_files(folder: Path, sizes: Mapping[str, int], seed: int = 0) -> dict[str, bytes]:
    """Write files of random bytes and return their contents."""
    contents = {name: random.Random(f"{seed} {name}").randbytes(n) for name, n in sizes.items()}
    for name, data in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return contents


def drop_pages(path: Path) -> None:
    """Make the next read of a file ask the mount, not the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def check_all(mounted: Mounted, contents: Mapping[str, bytes]) -> None:
    """Ask the mount for every byte and compare it."""
    for name, data in contents.items():
        drop_pages(mounted.path / name)
        assert (mounted.path / name).read_bytes() == data, name


def steer(*arguments: object, code: int = 0, stdin: str | None = None) -> str:
    """Run a command that must end with this exit code, and return its stdout and stderr."""
    done = cloudfs(*map(str, arguments), input=stdin)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def steer_json(*arguments: object, code: int = 0) -> dict[str, Any]:
    """Return the document that a command prints with --json."""
    done = cloudfs(*map(str, arguments), "--json")
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def warm(*arguments: object, code: int = 0) -> dict[str, Any]:
    """Warm up one mount and return how its job ended."""
    (job,) = steer_json("warmup", *arguments, code=code)["jobs"]
    assert isinstance(job, dict)
    return job


def local(path: Path) -> tuple[int, int]:
    """Return the local and all bytes of a path, by `cloudfs status`."""
    document = steer_json("status", path)
    return document["local_bytes"], document["bytes"]


def cached(path: Path) -> tuple[int, int]:
    """Return the local and all bytes of a path, by its attribute."""
    local_bytes, size = os.getxattr(path, "user.cloudfs.cached").decode().split("/")
    return int(local_bytes), int(size)


def received(mounted: Mounted) -> int:
    """Return how many bytes the store has sent so far."""
    return int(mounted.status()["store"]["received_bytes"])


def data_files(directory: Path) -> list[Path]:
    """Return the files of a cache directory that hold data."""
    return sorted(path for path in directory.glob("objects/*/*") if path.is_file())


def occupied(directory: Path) -> int:
    """Return how many bytes of a disk the data of a cache directory take."""
    total = 0
    for path in data_files(directory):
        with suppress(FileNotFoundError):  # evicted since it was listed
            total += path.stat().st_blocks * 512
    return total


def crash(mounted: Mounted) -> None:
    """Kill the daemon and clear its mountpoint, as a user would."""
    mounted.process.kill()
    mounted.wait()
    done = subprocess.run(["umount", "-l", str(mounted.path)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
