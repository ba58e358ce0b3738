from __future__ import annotations

import json
import re
from pathlib import Path

from cloudfs.errors import ExitCode
from tests.cli.conftest import Daemon, Run
from tests.support import golden

GOLDEN = Path(__file__).parent / "golden"


def test_information_for_people(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        run("warmup", mountpoint / "train")
        run("cache", "pin", mountpoint / "train", mountpoint)
        done = run("cache", "info", mountpoint / "any" / "path", mountpoint)
    assert (done.code, done.err) == (0, "")
    text = re.sub(r"job \w+: warmup, done, .*", "job ID: warmup, done, TIME", done.out)
    golden.check(GOLDEN / "cache-info.txt", text.replace(str(mountpoint), "/mnt/data"))


def test_information_for_programs(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("cache", "info", "--json", mountpoint)
    document = json.loads(done.out)
    assert (done.code, document["schema"]) == (0, 1)
    (mount,) = document["mounts"]
    assert mount["mountpoint"] == str(mountpoint)
    assert mount["directories"][0]["stores"][0]["store_id"] == "s3://bucket/pre fix"
    assert (mount["pins"], mount["jobs"]) == ([], [])


def test_pins_come_and_go(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        pinned = run("cache", "pin", mountpoint / "train" / "01.h5")
        assert (pinned.code, pinned.err) == (0, "")
        assert pinned.out == f"pinned {mountpoint}/train/01.h5\n"
        assert "pinned: 1 MiB" in run("status", mountpoint / "train").out
        unpinned = run("cache", "unpin", mountpoint / "train", mountpoint / "none")
        assert "pinned: 0 B" in run("status", mountpoint / "train").out
    assert unpinned.code == 0
    assert unpinned.out == f"unpinned {mountpoint}/train\n"
    assert f"{mountpoint}/none" in unpinned.only_error_line()


def test_evicting(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        run("warmup", mountpoint / "train")
        done = run("cache", "evict", mountpoint / "train" / "01.h5", mountpoint / "train" / "02.h5")
        left = run("status", "--json", mountpoint / "train")
    assert (done.code, done.out, done.err) == (0, f"{mountpoint}: freed 2 MiB\n", "")
    assert json.loads(left.out)["local_files"] == 38


def test_invalidating(run: Run, daemon: Daemon, mountpoint: Path) -> None:
    with daemon("serving"):
        done = run("cache", "invalidate", mountpoint / "train", mountpoint)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"invalidated {mountpoint}/train\ninvalidated {mountpoint}\n"


def test_verifying_ends_with_a_code_when_it_found_something(
    run: Run, daemon: Daemon, mountpoint: Path
) -> None:
    with daemon("serving"):
        run("warmup", mountpoint / "train")
        first = run("cache", "verify", "--json", mountpoint)
        second = run("cache", "verify", mountpoint)
        third = run("cache", "verify", "--json", mountpoint)
    reports = [json.loads(done.out)["jobs"][0]["report"] for done in (first, third)]
    assert (first.code, first.err, third.code) == (ExitCode.INCOMPLETE, "", 0)
    assert [(report["blocks"], report["corrupt"]) for report in reports] == [(40, 1), (39, 0)]
    assert (second.code, second.err) == (0, "")
    assert second.out.startswith(f"{mountpoint}: read 39 blocks (39 MiB): ")


def test_a_path_outside_is_one_line(run: Run) -> None:
    for verb in ("info", "pin", "unpin", "evict", "invalidate", "verify"):
        done = run("cache", verb, "/etc")
        assert done.code == ExitCode.NOT_MOUNTED
        assert done.only_error_line().startswith("/etc ")
