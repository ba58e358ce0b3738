"""Parts of the read benchmarks that need neither a mount nor a server."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path

import pytest

from cloudfs_benchmarks.readpath import ceiling, pages, report
from cloudfs_benchmarks.readpath.figures import Row, Series, percentile
from cloudfs_benchmarks.readpath.options import parse, parse_size
from cloudfs_benchmarks.readpath.passes import Pass
from cloudfs_benchmarks.readpath.reader import Job
from cloudfs_benchmarks.servers.dialects import DIALECTS
from cloudfs_benchmarks.servers.link import Link
from cloudfs_benchmarks.servers.nginx import Site, configure


def _run(job: Job) -> list[Pass]:
    done = subprocess.run(job.command(), capture_output=True, check=True, timeout=60)
    return [Pass.of(tallies) for tallies in json.loads(done.stdout)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


@pytest.mark.parametrize("shape", ["read", "mmap"])
def test_a_reader_reads_everything_in_every_pass(shape: str, data: Path) -> None:
    done = _run(Job(shape, [[str(data)], [str(data), str(data)]], 8191, passes=2))
    assert [one.bytes for one in done] == [768_000, 768_000]
    assert all(0 < one.first_s <= one.seconds for one in done)


@pytest.mark.parametrize("shape", ["pread", "mmap-random", "mmap-window"])
def test_a_reader_times_each_random_access(shape: str, data: Path) -> None:
    done = _run(Job(shape, [[str(data)]], 4096, count=7, seed=3))
    assert done[0].bytes == 7 * 4096
    assert len(done[0].latencies) == 7


def test_a_digest_is_that_of_the_bytes(data: Path) -> None:
    done = _run(Job("digest", [[str(data)]], 8191))
    assert done[0].digests == (zlib.crc32(data.read_bytes()),)


def test_a_reader_that_fails_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _run(Job("read", [[str(tmp_path / "none")]], 4096))


def test_rates_are_of_all_readers_together() -> None:
    first = {"started": 10.0, "ended": 12.0, "first_s": 0.5, "bytes": 3_000_000}
    second = {"started": 10.5, "ended": 13.0, "first_s": 0.2, "bytes": 3_000_000}
    assert Pass.of([first, second]).rate == pytest.approx(2.0)
    assert Pass.of([first, second]).first_s == pytest.approx(0.2)


def test_ratios_are_taken_trial_by_trial() -> None:
    ratio = Series((8.0, 9.0, 10.0)).over(Series((10.0, 10.0, 20.0)))
    assert ratio.values == (0.8, 0.9, 0.5)
    assert ratio.show(2) == "0.80 (0.50-0.90)"


def test_names_are_found_and_nothing_is_read(data: Path) -> None:
    (data.parent / "sub" / "empty").mkdir(parents=True)
    (data.parent / "sub" / "file").touch()
    (done,) = _run(Job("find", [[str(data.parent)]], 1))
    assert (done.names, done.bytes) == (2, 0)


def test_percentiles_are_values_that_occurred() -> None:
    values = list(range(1, 101))
    assert [percentile(values, p) for p in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("c", "w", "MB/s", Series((1.0,)), Series((0.8,)), "x", target=0.8), True),
        (Row("c", "w", "MB/s", Series((1.0,)), Series((0.79,)), "x", target=0.8), False),
        (Row("c", "w", "MB", Series((1.0,)), at_most=1.0), True),
        (Row("c", "w", "MB", Series((1.1,)), at_most=1.0), False),
        (Row("c", "w", "MB", Series((1.1,))), None),
    ],
)
def test_a_target_is_met_by_the_median(row: Row, met: bool | None) -> None:
    assert row.met is met
    assert ("MISSED" in report.table([row])) is (met is False)
    assert report.markdown([row]).count("|") == 7


def test_backends_are_lines_of_a_table_and_measures_its_columns() -> None:
    rows = [
        Row("backends", what, unit, Series((value, value)), Series((value / one,)), "s3://",
            notes="obstore", backend=backend)
        for backend, times in (("s3://", 1.0), ("gs://", 2.0))
        for what, unit, one in (("cold", "MiB/s", 100.0), ("CPU", "s", 1.5))
        for value in [one * times]
    ]  # fmt: skip
    values, ratios = report.grids(rows)
    assert values == [
        ["backend", "cold, MiB/s", "CPU, s", "bytes by"],
        ["s3://", "100 (100-100)", "1.50 (1.50-1.50)", "obstore"],
        ["gs://", "200 (200-200)", "3.00 (3.00-3.00)", "obstore"],
    ]
    assert ratios[0] == ["ratio to s3://", "cold", "CPU"]
    assert ratios[2] == ["gs://", "2.00 (2.00-2.00)", "2.00 (2.00-2.00)"]
    other = Row("c", "w", "MB/s", Series((1.0,)))
    assert [block.split()[0] for block in report.table([other, *rows]).split("\n\n")] == [
        "benchmark", "backend", "ratio",
    ]  # fmt: skip
    assert report.markdown(rows).splitlines()[1] == "| --- | --- | --- | --- |"


def test_a_run_is_written_with_every_trial(tmp_path: Path) -> None:
    row = Row("c", "w", "MB/s", Series((1.0, 3.0, 2.0)))
    report.write_json(tmp_path / "run.json", {"link": "none"}, [row])
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert written["results"][0]["values"] == {"values": [1.0, 3.0, 2.0]}
    assert written["results"][0]["median"] == 2.0
    assert written["conditions"] == {"link": "none"}
    assert written["environment"]["cpus"] >= 1


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("2G", 2 << 30), ("512MiB", 512 << 20), ("1.5K", 1536)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_the_command_line_gives_the_cloud_like_link() -> None:
    options = parse({"one": "first", "two": "second"}, ["all"])
    assert options.names == ("one", "two")
    assert options.link == Link(30.0, 90_000_000, 5.0)
    assert (options.scheme, options.trials, options.warm_ups) == ("s3", 5, 1)


def test_a_link_without_root_says_what_it_lacks() -> None:
    assert Link().describe(shaped=True).endswith("5 Gbit/s in all")
    assert Link().describe(shaped=False).endswith("(needs root)")
    assert Link(0, 0, 0).describe(shaped=False).endswith("no limit in all")


def test_the_servers_configuration_has_the_limits_of_the_link(tmp_path: Path) -> None:
    ports = {dialect.name: 1234 for dialect in DIALECTS}
    site = Site("127.0.0.1", ports, "bench", tmp_path, tmp_path / "names.sock")
    text = configure(tmp_path, site, Link(), workers=2)
    assert text.count("limit_rate 90000000;") == text.count("try_files")
    # Every location but those of refusals, which follow one that has waited.
    assert text.count("ngx.sleep(0.03)") == text.count("location ") - text.count("location @")
    assert "worker_processes 2;" in text
    plain = configure(tmp_path, site, Link(0, 0, 0), workers=1)
    assert "ngx.sleep" not in plain
    assert "limit_rate" not in plain


def test_ranges_cover_every_object_once() -> None:
    job = ceiling.Job("http://x", "b", [("a", 10), ("b", 3)], 4, [1])
    assert list(ceiling.ranges(job)) == [
        ("a", 0, 4), ("a", 4, 8), ("a", 8, 10), ("b", 0, 3),
    ]  # fmt: skip


def test_pages_are_dropped_and_warmed_without_a_word(data: Path) -> None:
    pages.warm(data.parent)
    assert "drop" in pages.method() or "fadvise" in pages.method()
