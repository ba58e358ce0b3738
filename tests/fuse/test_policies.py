"""`[[policy]]` tables through a real mount: placement, TTLs, pins and the size of a fetch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.buckets import Bucket, FolderBucket
from tests.fuse.cached import (
    MIB,
    cached,
    check_all,
    data_files,
    drop_pages,
    occupied,
    put_files,
    received,
    steer,
    steer_json,
    warm,
)
from tests.support.mounting import Mounted, cloudfs, wait_until

MountFunction = Callable[..., Mounted]


@pytest.fixture
def with_policies(tmp_path: Path, folder: Path, mount: MountFunction) -> Callable[..., Mounted]:
    """`with_policies(toml, *options)` mounts the folder with these tables."""

    def make(toml: str, *options: str) -> Mounted:
        (tmp_path / "mount.toml").write_text(toml)
        return mount(f"file://{folder}", "--config", str(tmp_path / "mount.toml"), *options)

    return make


UNCACHED = """
[[policy]]
match = "checkpoints/keep/"
cache = true
[[policy]]
match = "checkpoints/**"
cache = false
"""


def test_what_is_not_to_be_cached_leaves_nothing_on_the_ssd(
    folder: Path, tmp_path: Path, with_policies: Callable[..., Mounted]
) -> None:
    sizes = {"checkpoints/a": 3 * MIB, "checkpoints/d/b": 9, "checkpoints/keep/c": MIB, "d": 2}
    contents = put_files(folder, sizes)
    first = with_policies(UNCACHED)
    check_all(first, contents)
    assert cached(first.path / "checkpoints/a") == (3 * MIB, 3 * MIB), "in memory as always"
    first.stop()
    assert len(data_files(tmp_path / "cache")) == 2
    assert occupied(tmp_path / "cache") <= MIB + 3 * 4096
    second = with_policies(UNCACHED)
    assert cached(second.path / "checkpoints/a")[0] == 0
    assert cached(second.path) == (MIB + 2, sum(sizes.values()))
    done = cloudfs("warmup", str(second.path))
    assert (done.returncode, received(second)) == (0, 0)
    assert "2 files (3.00 MiB)" in done.stderr
    assert "cache = false" in done.stderr
    check_all(second, contents)
    assert received(second) == 3 * MIB + 9


@pytest.mark.slow
def test_what_a_policy_pins_stays(
    folder: Path, tmp_path: Path, with_policies: Callable[..., Mounted]
) -> None:
    kept = put_files(folder, {f"index/{number}": 2 * MIB for number in range(4)})
    others = put_files(folder, {f"other/{number:02}": 2 * MIB for number in range(24)})
    toml = 'max-cache-size = "24MiB"\n[[policy]]\nmatch = "index/"\npin = true\n'
    first = with_policies(toml, "--memory-limit", "64MiB")
    check_all(first, kept)
    for _ in range(2):
        check_all(first, others)
    first.stop()
    assert occupied(tmp_path / "cache") <= 25 * MIB
    second = with_policies(toml, "--memory-limit", "64MiB")
    check_all(second, kept)
    assert second.gets() == 0
    assert steer_json("status", second.path / "index")["pinned_bytes"] == 8 * MIB
    assert "index/: pin = true" in steer("cache", "info", second.path)


@pytest.mark.parametrize("kind", ["file", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_ttl_of_its_own(
    kind: str, folder: Path, tmp_path: Path, mount: MountFunction, request: pytest.FixtureRequest
) -> None:
    """One folder is revalidated at once, the other never."""
    bucket: Bucket = (
        FolderBucket(folder) if kind == "file" else request.getfixturevalue("s3_bucket")
    )
    (tmp_path / "mount.toml").write_text(
        'metadata-ttl = "indefinite"\n[[policy]]\nmatch = "live/**"\nttl = 0\n'
    )
    for key in ("live/a", "dead/a", "live/gone", "dead/gone"):
        bucket.put(key, b"old")
    mounted = bucket.mount(mount, "--config", str(tmp_path / "mount.toml"))

    def look(name: str) -> tuple[list[str], bytes]:
        folder = mounted.path / name
        return sorted(os.listdir(folder)), (folder / "a").read_bytes()

    assert look("live") == look("dead") == (["a", "gone"], b"old")
    for name in ("live", "dead"):
        bucket.put(f"{name}/a", b"newer")
        bucket.delete(f"{name}/gone")
    wait_until(lambda: look("live") == (["a"], b"newer"), 10, "the change is seen")
    assert look("dead") == (["a", "gone"], b"old")


@pytest.mark.slow
def test_a_small_cold_read_fetches_the_whole_block(
    folder: Path, with_policies: Callable[..., Mounted]
) -> None:
    contents = put_files(folder, {"big.h5": 20 * MIB, "big.bin": 20 * MIB})
    toml = 'read-ahead = 0\n[[policy]]\nmatch = "*.h5"\nblock-size = "8MiB"\n'
    mounted = with_policies(toml)

    def read(name: str, offset: int, *, local_after: int) -> int:
        """Read 4 KiB and return how many bytes the store sent for it."""
        before = received(mounted)
        with (mounted.path / name).open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            data = os.pread(file.fileno(), 4096, offset)
        assert data == contents[name][offset : offset + 4096]
        # The reader does not wait for the rest of the block.
        wait_until(
            lambda: cached(mounted.path / name)[0] >= local_after, 10, f"{local_after} are local"
        )
        drop_pages(mounted.path / name)
        return received(mounted) - before

    assert read("big.bin", 9 * MIB, local_after=MIB) == MIB
    assert read("big.h5", 9 * MIB + 5000, local_after=8 * MIB) == 8 * MIB
    # The rest of the aligned block is there now, its neighbours are not, and the last is short.
    assert read("big.h5", 15 * MIB, local_after=8 * MIB) == 0
    assert read("big.h5", 16 * MIB, local_after=12 * MIB) == 4 * MIB
    assert cached(mounted.path / "big.h5") == (12 * MIB, 20 * MIB)


@pytest.mark.slow
def test_a_warm_up_follows_the_policies(
    folder: Path, with_policies: Callable[..., Mounted]
) -> None:
    contents = put_files(folder, {"a.h5": 5 * MIB, "b": MIB})
    mounted = with_policies('[[policy]]\nmatch = "*.h5"\nblock-size = "4MiB"\npin = true\n')
    assert warm(mounted.path)["fetched_bytes"] == 6 * MIB
    assert received(mounted) == 6 * MIB
    assert steer_json("status", mounted.path / "a.h5")["pinned_bytes"] == 5 * MIB
    assert steer_json("status", mounted.path / "b")["pinned_bytes"] == 0
    check_all(mounted, contents)
    assert received(mounted) == 6 * MIB
