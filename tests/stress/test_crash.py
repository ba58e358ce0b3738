"""Crash safety: a mount killed at any moment leaves a directory that serves right bytes."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import trio

from cloudfs_cache.cache import TieredCache
from cloudfs_cache.memory.lru import MemoryCache
from tests.stress import crash_child
from tests.support.tiers import audit, open_tier, store_of
from tests.unit.cache.source import Source

KILLS = int(os.environ.get("CLOUDFS_CRASHES", "300"))
KILLS_PER_CHECK = 15
LIFE_S = 0.2

pytestmark = pytest.mark.slow


def born(directory: Path, seed: int) -> int:
    """Fork a child that works on the directory."""
    pid = os.fork()
    if pid == 0:
        try:
            crash_child.work(directory, seed)
        finally:
            os._exit(1)
    return pid


def kill(pid: int) -> None:
    """Kill a child, and check that it had neither failed nor found a wrong byte before."""
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), os.waitstatus_to_exitcode(status)


def intents(directory: Path) -> int:
    """Return the number of write intents that killed mounts left."""
    with closing(sqlite3.connect(directory / "index.sqlite")) as index:
        (count,) = index.execute("SELECT count(*) FROM intents").fetchone()
        return int(count)


async def served(directory: Path) -> None:
    """A fresh mount serves every object right, and finds no wrong block on the disk."""
    tier = open_tier(directory, capacity_bytes=crash_child.CAPACITY_BYTES, recompress=True)
    cache = TieredCache(Source().fetch, MemoryCache(0), [tier], max_downloads=4)
    async with trio.open_nursery() as nursery:
        await nursery.start(cache.serve)
        report = await cache.admin.verify(lambda _progress: None)
        assert (report.corrupt, report.missing, report.orphans) == (0, 0, 0)
        for wanted in crash_child.OBJECTS:
            await crash_child.check(cache, wanted)
        assert cache.statistics().disks[0].corrupt == 0
        await cache.drain()
        nursery.cancel_scope.cancel()
    await cache.aclose()


def closed_properly(directory: Path) -> None:
    """Be the mount that ends what those that were killed had begun."""
    store_of(open_tier(directory, capacity_bytes=crash_child.CAPACITY_BYTES)).close()


def test_killed_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(4)
    warm = born(tmp_path, 0)
    time.sleep(0.5)
    kill(warm)
    begun = 0
    for round_ in range(KILLS // KILLS_PER_CHECK):
        for number in range(KILLS_PER_CHECK):
            pid = born(tmp_path, round_ * KILLS_PER_CHECK + number)
            time.sleep(rng.random() * LIFE_S)
            kill(pid)
            begun += intents(tmp_path)
        closed_properly(tmp_path)
        left = audit(tmp_path)
        assert left.intents == 0
        assert left.used_bytes <= crash_child.CAPACITY_BYTES
        trio.run(served, tmp_path)
    assert audit(tmp_path).blocks > 0
    # They were killed at work, not before it.
    assert begun > KILLS / 20


def test_one_of_two_mounts_is_killed(tmp_path: Path) -> None:
    rng = random.Random(5)
    survivor = born(tmp_path, 1)
    for number in range(KILLS // KILLS_PER_CHECK):
        pid = born(tmp_path, 100 + number)
        time.sleep(0.1 + rng.random() * LIFE_S)
        kill(pid)
        if number % 5 == 0:
            trio.run(served, tmp_path)
    kill(survivor)
    closed_properly(tmp_path)
    assert audit(tmp_path).intents == 0
    trio.run(served, tmp_path)


def test_the_child_runs_on_its_own(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-m", "tests.stress.crash_child", tmp_path, "1"])
    try:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("objects/*/*")):
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    trio.run(served, tmp_path)
