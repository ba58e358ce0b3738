"""Inspection of cache directories: what it reports, and that it writes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cloudfs_cache.disk.inspection import Inspection, inspect
from cloudfs_cache.disk.open import DiskSettings, open_disk_tier
from tests.contract.in_trio import in_trio

SETTINGS = DiskSettings(capacity_bytes=1 << 20, min_free_bytes=0)


def test_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert inspect(str(tmp_path)) == Inspection(
        is_cache=False, problem=None, used_bytes=0, mounts=0
    )
    assert os.listdir(tmp_path) == ["lost+found"]


def test_the_files_of_a_first_start_that_crashed_are_not_foreign(tmp_path: Path) -> None:
    (tmp_path / "cloudfs-cache.json.CACHEDIR.TAG.x1").write_text("Sig")
    assert inspect(str(tmp_path)).problem is None


@pytest.mark.parametrize(
    ("name", "content", "is_cache", "named"),
    [
        ("cat.jpg", "", False, "cat.jpg"),
        ("cloudfs-cache.json", json.dumps({"format": 1}), True, "layout 1"),
        ("cloudfs-cache.json", "[]", True, "layout None"),
    ],
)
def test_a_directory_that_a_mount_refuses(
    tmp_path: Path, name: str, content: str, is_cache: bool, named: str
) -> None:
    (tmp_path / name).write_text(content)
    found = inspect(str(tmp_path))
    assert found.is_cache is is_cache
    assert found.problem is not None
    assert named in found.problem


@in_trio
async def test_a_directory_in_use(tmp_path: Path) -> None:
    tiers = [open_disk_tier(str(tmp_path), "s3://bucket/", SETTINGS) for _ in range(2)]
    assert (inspect(str(tmp_path)).is_cache, inspect(str(tmp_path)).mounts) == (True, 2)
    for tier in tiers:
        await tier.aclose()
    assert inspect(str(tmp_path)) == Inspection(is_cache=True, problem=None, used_bytes=0, mounts=0)


def test_a_damaged_index_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "cloudfs-cache.json").write_text(json.dumps({"format": 2}))
    (tmp_path / "index.sqlite").write_bytes(b"not a database" * 100)
    found = inspect(str(tmp_path))
    assert (found.problem, found.used_bytes) == (None, 0)
