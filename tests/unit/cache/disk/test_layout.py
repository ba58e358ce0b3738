"""The layout of a cache directory: refused when it is not ours, private, and shared safely."""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from cloudfs_cache.api import CacheSetupError
from cloudfs_cache.disk import layout
from tests.support.tiers import SETTINGS, job, open_tier, opened_store, store_of, version

OURS = {"CACHEDIR.TAG", "cloudfs-cache.json", "mounts", "objects"}


def contents(path: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_everything_is_private(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    umask = os.umask(0)
    try:
        with opened_store(path) as store:
            store.write(job(version()))
    finally:
        os.umask(umask)
    for found in [path, *path.rglob("*")]:
        wanted = 0o700 if found.is_dir() else 0o600
        assert stat.S_IMODE(found.stat().st_mode) == wanted, found


def test_the_layout_and_its_tag(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    with opened_store(tmp_path):
        pass
    assert {p.name for p in tmp_path.iterdir()} == OURS | {
        "index.sqlite", "index.sqlite-journal", "lost+found"
    }  # fmt: skip
    assert json.loads((tmp_path / "cloudfs-cache.json").read_text()) == {"format": 2}
    assert (tmp_path / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("thesis.tex", "text", "holds something else \\(thesis.tex\\): give an empty directory"),
        (
            "cloudfs-cache.json",
            '{"format": 1}',
            "has layout 1, this version writes 2: give another",
        ),
        ("cloudfs-cache.json", '{"format": 99}', "has layout 99, this version writes 2"),
        ("cloudfs-cache.json", "[]", "has layout None"),
        ("cloudfs-cache.json", "\udcff", "has layout None"),
        ("cloudfs-cache.json", "", "has layout None"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, errors="surrogateescape")
    before = contents(tmp_path)
    with pytest.raises(CacheSetupError, match=says) as refusal:
        open_tier(tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert contents(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_or_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/cache")):
        with pytest.raises(CacheSetupError, match="give a writable directory"):
            open_tier(path)


def test_a_first_start_that_crashed_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "cloudfs-cache.json.CACHEDIR.TAG.x1").write_text("Sig")
    (tmp_path / "cloudfs-cache.json.cloudfs-cache.json.x1").write_text("{")
    layout.claim(str(tmp_path)).close()


def test_many_first_starts_at_once(tmp_path: Path) -> None:
    claimed: list[layout.CacheDirectory | CacheSetupError] = []
    for attempt in range(20):
        barrier = threading.Barrier(4)
        claimed.clear()

        def start(path: str, barrier: threading.Barrier) -> None:
            barrier.wait()
            try:
                claimed.append(layout.claim(path))
            except CacheSetupError as error:
                claimed.append(error)

        arguments = (str(tmp_path / str(attempt)), barrier)
        threads = [threading.Thread(target=start, args=arguments) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        owners = [one for one in claimed if isinstance(one, layout.CacheDirectory)]
        for owner in owners:
            owner.close()
        assert {owner.owner for owner in owners} == {0, 1, 2, 3}, claimed
        assert {p.name for p in (tmp_path / str(attempt)).iterdir()} == OURS


def test_owners_and_what_is_known_of_them(tmp_path: Path) -> None:
    with ExitStack() as stack:
        one, two, three = (
            stack.enter_context(closing(layout.claim(str(tmp_path)))) for _ in range(3)
        )
        assert [one.owner, two.owner, three.owner] == [0, 1, 2]
        assert layout.others_alive(one)
        assert list(one.dead_owners()) == []
        with closing(layout.claim(str(tmp_path))) as four:
            assert four.owner == 3
        assert list(one.dead_owners()) == [3]
    with closing(layout.claim(str(tmp_path))) as again:
        assert again.owner == 0
        assert not layout.others_alive(again)
        assert sorted(again.dead_owners()) == [1, 2, 3]


def test_there_is_a_last_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_OWNERS_MAX", 1)
    with (
        closing(layout.claim(str(tmp_path))),
        pytest.raises(CacheSetupError, match="1 mounts use the cache directory"),
    ):
        layout.claim(str(tmp_path))


def test_a_damaged_index_is_given_up_only_by_the_last_mount(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened_store(tmp_path) as store:
        store.write(job(version()))
    with closing(layout.claim(str(tmp_path))):
        (tmp_path / "index.sqlite").write_bytes(b"not a database" * 1000)
        with pytest.raises(CacheSetupError, match="is damaged: unmount the mounts that use it"):
            open_tier(tmp_path)
    assert list(tmp_path.glob("objects/*/*"))
    with opened_store(tmp_path) as store:
        assert store.queries.totals().used_bytes == 0
    assert list(tmp_path.glob("objects/*/*")) == []
    assert "its index is damaged: starting empty" in caplog.text


def test_no_room_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CacheSetupError, match=r"has no room: .* must stay free, and it may take 0"):
        open_tier(tmp_path, SETTINGS, capacity_bytes=4096)
    with pytest.raises(CacheSetupError, match="has no room"):
        open_tier(tmp_path, SETTINGS, min_free_bytes=1 << 60)
    store_of(open_tier(tmp_path)).close()


def test_the_index_is_looked_through_after_the_machine_went_down(tmp_path: Path) -> None:
    with opened_store(tmp_path) as store:
        store.write(job(version()))
        wrong = "UPDATE state SET value = 7 WHERE name IN ('used', 'residents', 'ghosts')"
        with store._database.change() as change:
            change.execute(wrong)
        store.queries.begin("another boot")
        store.queries.end = lambda: None  # type: ignore[method-assign]
    with opened_store(tmp_path) as store:
        totals = store.queries.totals()
        assert (totals.used_bytes, totals.residents) == (4 << 20, 1)
        assert store.queries.in_use_since() not in {"", "another boot"}
        with opened_store(tmp_path):
            pass
        assert store.queries.in_use_since() != ""
    with opened_store(tmp_path) as store:
        pass
