"""The tables: every measurement once, nothing lost, nothing cut off, nothing taken as markup."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cloudfs_benchmarks.bench.report import numbers
from cloudfs_benchmarks.bench.report.cells import Notes, value_cell
from cloudfs_benchmarks.bench.report.markdown import render_markdown
from cloudfs_benchmarks.bench.report.problems import count_errors, find_problems
from cloudfs_benchmarks.bench.report.proofs import find_proofs
from cloudfs_benchmarks.bench.report.rows import make_rows
from cloudfs_benchmarks.bench.report.table import render_table
from cloudfs_benchmarks.bench.results import NodeRun, Results, Series
from tests.unit.benchmarks.bench import sample_results as sample
from tests.unit.benchmarks.bench.sample_results import COLD, RAM, SSD, measurement

RICH = sample.rich()


def _cell(results: Results, row: int, index: int) -> str:
    return value_cell(make_rows(results)[row], index, Notes(tuple(find_problems(results))))


def _words(text: str) -> str:
    """The text without what lays it out."""
    return re.sub(r"\s+", "", text)


def test_every_measurement_is_in_exactly_one_cell() -> None:
    cells = [cell for row in make_rows(RICH) for cell in row.cells if cell is not None]
    assert sorted(map(id, cells)) == sorted(map(id, RICH.measurements))


def test_measurements_of_the_same_name_and_state_get_a_row_each() -> None:
    twice = sample.results(measurements=[measurement("local", values=(v,)) for v in (1, 2)])
    assert [_cell(twice, row, 2) for row in (0, 1)] == ["1.00", "2.00"]


def test_rows_of_several_suites_say_which() -> None:
    both = [measurement("local"), replace(measurement("local"), suite="quick")]
    labels = [row.label for row in make_rows(sample.results(measurements=both))]
    assert labels == ["standard sequential-1", "quick sequential-1"]


def test_states_of_a_measurement_stand_together_coldest_first() -> None:
    rows = [measurement("local", name, state) for state in (RAM, COLD, SSD) for name in ("b", "a")]
    found = [(row.name, row.state) for row in make_rows(sample.results(measurements=rows))]
    assert found == [(name, state) for name in ("b", "a") for state in (COLD, SSD, RAM)]


def test_a_cell_has_the_median_the_range_and_its_marks() -> None:
    rows = [
        measurement("cloudfs", values=(540, 490, 518)),
        measurement("nfs", values=(10, 50, 100)),
        measurement("local", values=(1200,)),
    ]
    results = sample.results(measurements=rows)
    assert [_cell(results, 0, index) for index in range(3)] == [
        "518 (490-540)",
        "50 (10-100) ~",
        "*1200",
    ]


def test_one_target_alone_is_not_the_best() -> None:
    results = sample.results(measurements=[measurement("local", values=(1200,))])
    assert [_cell(results, 0, index) for index in range(3)] == ["-", "-", "1200"]


def test_a_failed_cell_keeps_the_trials_that_succeeded() -> None:
    half = replace(measurement("nfs", values=(10,)), error="EIO")
    assert _cell(sample.results(measurements=[half]), 0, 1) == "10.0 error [1]"


def test_a_row_is_about_what_its_shape_counts() -> None:
    both = replace(
        measurement("local"),
        figures={"throughput": Series("MB/s", (80.0,)), "files": Series("1/s", (900.0,))},
    )
    row = make_rows(sample.results(measurements=[both]))[0]
    assert (row.figure, row.unit) == ("files", "files/s")


@pytest.mark.parametrize("width", [100, 80, 60])
def test_the_table_fits_and_loses_no_reason(width: int) -> None:
    text = render_table(RICH, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for expected in (
        "EIO while reading large/large_2.bin (random-128k cold)",
        "the NFS server does not answer any more (ETIMEDOUT) (training, trial 4)",
        "cloudfs: skipped: read-only (write-fsync ram-warm)",
        "REFUTED: Epoch 1 over the mount",
        "nconnect: libnfs uses one connection",
        "cold (cloudfs, nfs, local): caches dropped (root)",
        "1 leftover folder of a killed run",
    ):
        assert _words(expected) in _words(text)


@pytest.mark.parametrize("width", [100, 80])
def test_every_value_is_in_the_table(width: int) -> None:
    text = _words(render_table(RICH, 100))
    narrow = render_table(RICH, width)
    for row in make_rows(RICH):
        for index in range(3):
            series = row.series(index)
            if series is not None:
                middle, span = numbers.spread(series.values).split()
                assert middle in narrow
                assert span in narrow
                assert middle + span in text


def test_long_names_of_targets_leave_every_column_its_room() -> None:
    name = "nfs_of_a_name_as_long_as_may_be"
    runs = [replace(run, target=name.replace("nfs", run.target)) for run in RICH.training]
    text = render_table(replace(RICH, training=tuple(runs)), 80)
    training = text[text.index("\nTraining") : text.index("\nReader nodes")]
    for word in ("epoch", "began", "samples/s", "data", "AU", "ssd-warm", "99 %", "MB"):
        assert word in training
    lines = text.splitlines()
    for row in make_rows(RICH):
        assert any(line.startswith(f"{row.label} ") for line in lines), row.label


def test_every_kind_of_record_that_failed_is_a_problem_and_equal_ones_are_one() -> None:
    results = sample.results(
        measurements=[
            sample.skipped("local", "open", "too slow"),
            sample.failed("nfs", "open", "EIO"),
            sample.failed("nfs", "walk", "EIO"),
        ],
        training=[replace(sample.training_run("nfs", ()), error="gone", trial=2)],
        nodes=[NodeRun("nfs", 4, 3, (), error="EIO")],
    )
    found = [(one.target, one.trouble, one.reason, one.where) for one in find_problems(results)]
    assert found == [
        ("nfs", "error", "EIO", ("open cold", "walk cold", "4 reader nodes, trial 3")),
        ("nfs", "error", "gone", ("training, trial 2",)),
        ("local", "skipped", "too slow", ("open cold",)),
    ]
    assert count_errors(results) == 4


def test_more_targets_than_fit_are_tables_below_each_other() -> None:
    names = [f"target-number-{number}" for number in range(7)]
    rows = [measurement(name, values=(100.0 + i,)) for i, name in enumerate(names)]
    of = [replace(sample.targets()[2], name=name) for name in names]
    text = render_table(sample.results(measurements=rows, of=of), 80)
    assert max(map(len, text.splitlines())) <= 80
    heads = [line for line in text.splitlines() if line.startswith("measurement ")]
    assert [sum(name in head for name in names) for head in heads] == [3, 3, 1]
    assert [f"{100 + i}" in text for i in range(7)] == [True] * 7
    assert text.count("*106") == 1


def test_foreign_text_is_no_markup_of_the_terminal() -> None:
    evil = "[red]\x1b[2J:x:[/red]"
    results = sample.results(
        measurements=[sample.failed("nfs", evil, evil)], nodes=[NodeRun(evil, 1, 1, (9.0,))]
    )
    text = render_table(results, 100)
    assert "\x1b" not in text
    assert "\n[red]?[2J:x:[/red] " in text
    assert "nfs: error: [red]?[2J:x:[/red]" in text


def test_markdown_has_a_column_per_target_and_escapes_what_is_foreign() -> None:
    results = sample.results(
        measurements=[measurement("a|b"), sample.failed("nfs", "sequential-1", "<b>|`x`")]
    )
    text = render_markdown(results)
    table = [line for line in text.splitlines() if line.startswith("|")]
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert columns == {8}
    assert "a\\|b" in table[0]
    assert "&lt;b&gt;\\|\\`x\\`" in text


def test_markdown_holds_every_row_and_the_verdict() -> None:
    text = render_markdown(RICH)
    assert text.startswith("**cloudfs: epoch 1 AU")
    for row in make_rows(RICH):
        assert f"| {row.label} | {row.state} |" in text


def test_proofs_that_differ_in_numbers_alone_are_one() -> None:
    rows = [
        replace(measurement("cloudfs"), proof="0.1 % of the pages of 64 files resident"),
        replace(measurement("local"), proof="0.0 % of the pages of 9 files resident"),
        replace(measurement("nfs"), proof="libnfs keeps nothing"),
        replace(sample.skipped("nfs", "open", "too slow"), proof="never looked"),
    ]
    proofs = find_proofs(sample.results(measurements=rows))
    assert [(proof.targets, proof.records) for proof in proofs] == [
        (("cloudfs", "local"), 2),
        (("nfs",), 1),
    ]
    assert proofs[0].text == "0.1 % of the pages of 64 files resident"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numbers.percent(0.999), "99.9 %"),
        (numbers.percent(0.9999), "99.9 %"),
        (numbers.percent(1.0), "100 %"),
        (numbers.percent(0.706), "71 %"),
        (numbers.change(0.99999), "+0.0 %"),
        (numbers.spread((0.0123, 0.0456)), "0.029 (0.012-0.046)"),
        (numbers.size(536_870_912), "537 MB"),
        (numbers.duration(200), "3 min 20 s"),
        (numbers.duration(3900), "1 h 05 min"),
        (numbers.latencies((840.0, 990.0)), "840 / 990 us"),
        (numbers.latencies((840.0, 12_300.0)), "0.840 / 12.3 ms"),
        (numbers.latencies((2e6, 3e6)), "2.00 / 3.00 s"),
    ],
)
def test_numbers_are_shown_with_few_digits(shown: str, expected: str) -> None:
    assert shown == expected


def test_memory_is_shown_in_megabytes_and_shares_in_percent() -> None:
    assert numbers.shown("serving_rss", Series("bytes", (2.5e8,))) == Series("MB", (250.0,))
    assert numbers.shown("store_share", Series("", (0.25,))) == Series("%", (25.0,))
