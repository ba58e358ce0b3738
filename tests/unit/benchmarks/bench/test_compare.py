"""Two results files against each other: verdicts, what is missing, and what may explain it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cloudfs_benchmarks.bench.compare import Comparison, Row, Verdict, compare, render
from cloudfs_benchmarks.bench.results import (
    CacheState,
    Environment,
    Epoch,
    Kind,
    Measurement,
    NodeRun,
    Plan,
    Results,
    Series,
    Target,
    TrainingRun,
)

_ENVIRONMENT = Environment(
    kernel="6.18.0",
    distribution="Debian 12",
    cpu="cpu",
    cpus=2,
    memory_bytes=2**33,
    root=True,
    disks={},
    versions={"fio": "3.33", "python": "3.11.7"},
    page_cache_bytes=(1, 2),
    load=(0.5, 0.5),
)
_PLAN = Plan("quick", 2**20, "", 3, 2, 2, 4, 0.05, 1, "dropped as root")
_TARGET = Target("data", "/data", Kind.NFS, "nfs4", "server:/x", "rw,hard", 128, True, 2**30)


def _measured(state: CacheState = CacheState.COLD, /, **figures: list[float]) -> Measurement:
    series = {name: Series("unit", tuple(values)) for name, values in figures.items()}
    return Measurement("quick", "sequential-1", "data", state, "", "fio 3.33", series)


def _epoch(number: int, step_s: float, au: float) -> Epoch:
    steps = (9.0, step_s, step_s)
    waits = (0.0, 0.0, 0.0)
    return Epoch(number, 10.0, 0.4, 12, 100, steps, waits, au, CacheState.COLD, "")


def _trained(*epochs: Epoch, trial: int = 1, error: str | None = None) -> TrainingRun:
    return TrainingRun("data", trial, "torch", 2, 4, 0.05, epochs, error=error)


def _results(*measurements: Measurement, training: tuple[TrainingRun, ...] = ()) -> Results:
    return Results(
        tool="cloudfs 0.1",
        started_at="2026-01-01T00:00:00Z",
        command="cloudfs bench run",
        finished=True,
        seconds=1.0,
        environment=_ENVIRONMENT,
        plan=_PLAN,
        targets=(_TARGET,),
        measurements=measurements,
        training=training,
    )


def _only(comparison: Comparison) -> Row:
    (row,) = comparison.rows
    return row


@pytest.mark.parametrize(
    ("figure", "a", "b", "verdict"),
    [
        ("throughput", [100, 101, 102], [80, 81, 82], Verdict.WORSE),
        ("throughput", [80, 81, 82], [100, 101, 102], Verdict.BETTER),
        ("serving_cpu", [1.0, 1.01, 1.02], [1.2, 1.21, 1.22], Verdict.WORSE),
        ("serving_cpu", [1.2, 1.21, 1.22], [1.0, 1.01, 1.02], Verdict.BETTER),
        # The interval leaves out 1, but nobody minds 3 %.
        ("throughput", [100.0, 100.1, 100.2], [97.0, 97.1, 97.2], Verdict.SAME),
        ("throughput", [99, 100, 101], [99, 101, 100], Verdict.SAME),
        # As far apart as the trials of one run.
        ("throughput", [100, 60, 140], [80, 130, 60], Verdict.UNCLEAR),
        ("throughput", [100], [90], Verdict.WORSE),
        ("throughput", [100], [100], Verdict.SAME),
        ("throughput", [100, 60], [80, 50], Verdict.UNCLEAR),
        ("memory_share", [0.2] * 3, [0.6] * 3, Verdict.DIFFERS),
        ("store_share", [0.2] * 3, [0.6] * 3, Verdict.WORSE),
        ("store_share", [0.001] * 3, [0.004] * 3, Verdict.SAME),
        ("store_share", [0.0] * 3, [0.5] * 3, Verdict.WORSE),
        ("added_later", [1.0] * 3, [2.0] * 3, Verdict.DIFFERS),
    ],
)
def test_a_figure_gets_its_verdict(
    figure: str, a: list[float], b: list[float], verdict: Verdict
) -> None:
    comparison = compare(_results(_measured(**{figure: a})), _results(_measured(**{figure: b})))
    assert _only(comparison).verdict is verdict
    assert comparison.regressed is (verdict is Verdict.WORSE)
    assert comparison.warnings == comparison.only_a == comparison.only_b == ()


def test_the_threshold_is_the_callers() -> None:
    a, b = _results(_measured(iops=[100] * 3)), _results(_measured(iops=[90] * 3))
    assert compare(a, b, threshold=0.2).regressed is False
    assert compare(a, b, threshold=0.05).regressed is True


def test_training_is_matched_by_epoch_over_its_trials() -> None:
    a = _results(
        training=(
            _trained(_epoch(1, 0.2, 0.5), _epoch(2, 0.1, 0.9)),
            _trained(_epoch(1, 0.2, 0.5), _epoch(2, 0.1, 0.9), trial=2),
            _trained(_epoch(1, 0.2, 0.5), _epoch(2, 0.1, 0.9), trial=3),
        )
    )
    b = _results(training=(_trained(_epoch(1, 0.1, 0.9), _epoch(2, 0.1, 0.8)),))
    rows = {(row.key.name, row.figure): row for row in compare(a, b).rows}
    assert rows["epoch 1", "step"].a == Series("s", (0.2, 0.2, 0.2))
    assert rows["epoch 1", "step"].verdict is Verdict.BETTER
    assert rows["epoch 1", "au"].verdict is Verdict.BETTER
    assert rows["epoch 1", "first_batch"].verdict is Verdict.SAME
    assert rows["epoch 2", "step"].verdict is Verdict.SAME
    assert rows["epoch 2", "au"].verdict is Verdict.WORSE
    assert rows["epoch 2", "au"].b == Series("%", (80.0,))


def test_nodes_are_compared_by_what_all_read_together() -> None:
    a = replace(_results(), nodes=(NodeRun("data", 4, 1, (100.0,) * 4),))
    b = replace(_results(), nodes=(NodeRun("data", 4, 1, (25.0,) * 4),))
    row = _only(compare(a, b))
    assert (row.a, row.b) == (Series("MB/s", (400.0,)), Series("MB/s", (100.0,)))
    assert row.verdict is Verdict.WORSE


def test_what_one_run_lacks_is_listed() -> None:
    a = _results(_measured(iops=[1.0]), _measured(CacheState.RAM_WARM, iops=[1.0]))
    skipped = replace(_measured(files=[1.0]), skipped="read-only")
    comparison = compare(a, _results(skipped))
    assert comparison.rows == ()
    assert comparison.only_a == (
        "quick sequential-1 on data, cold: iops (read-only)",
        "quick sequential-1 on data, ram-warm: iops",
    )
    assert comparison.only_b == ("quick sequential-1 on data, cold: files",)


def test_an_error_in_b_alone_is_a_regression() -> None:
    good, failed = _measured(iops=[1.0]), replace(_measured(), error="was unmounted")
    comparison = compare(_results(good), _results(failed))
    assert comparison.regressed
    assert comparison.new_errors == ("quick sequential-1 on data, cold: was unmounted",)
    assert comparison.only_a == ("quick sequential-1 on data, cold: iops (was unmounted)",)
    assert compare(_results(failed), _results(failed)).regressed is False
    assert compare(_results(failed), _results(good)).regressed is False
    assert compare(_results(), _results(failed)).regressed is True


def test_training_that_fails_in_b_alone_is_a_regression() -> None:
    good, failed = _trained(_epoch(1, 0.1, 1.0)), _trained(error="loader died")
    comparison = compare(_results(training=(good,)), _results(training=(failed,)))
    assert comparison.new_errors == ("training run on data: loader died",)
    assert comparison.only_a == ("training epoch 1 on data: au, step, first_batch",)


@pytest.mark.parametrize(
    ("b", "warning"),
    [
        (replace(_results(), tool="cloudfs 0.2"), "tool: cloudfs 0.1 in A, cloudfs 0.2 in B"),
        (replace(_results(), finished=False), "B was interrupted and has only what"),
        (
            replace(_results(), environment=replace(_ENVIRONMENT, kernel="5.10")),
            "kernel: 6.18.0 in A, 5.10 in B",
        ),
        (
            replace(_results(), environment=replace(_ENVIRONMENT, versions={"fio": "3.36"})),
            "versions fio: 3.33 in A, 3.36 in B",
        ),
        (
            replace(_results(), plan=replace(_PLAN, size_bytes=7)),
            "plan: size bytes: 1048576 in A, 7 in B",
        ),
        (
            replace(_results(), targets=(replace(_TARGET, options="ro"),)),
            "target data: options: rw,hard in A, ro in B",
        ),
        (
            replace(_results(), targets=(replace(_TARGET, tunings_missing=("fsc", "nconnect")),)),
            "target data: tunings missing: none in A, fsc; nconnect in B",
        ),
        (replace(_results(), targets=()), "target data: in A only"),
    ],
)
def test_conditions_that_differ_are_warnings(b: Results, warning: str) -> None:
    first = compare(_results(), b).warnings[0]
    assert first.startswith(warning)


def test_what_differs_between_any_two_runs_is_no_warning() -> None:
    now = replace(_ENVIRONMENT, page_cache_bytes=(5, None), load=(9.0, None))
    b = replace(_results(), environment=now, targets=(replace(_TARGET, free_bytes=1),))
    assert compare(_results(), b).warnings == ()


def test_other_states_and_engines_are_warnings() -> None:
    a = _measured(iops=[1.0])
    b = replace(a, engine="reader")
    assert compare(_results(a), _results(b)).warnings == (
        "quick sequential-1 on data, cold: fio 3.33 in A, reader in B",
    )
    b = replace(a, proven=False)
    assert compare(_results(a), _results(b)).warnings == (
        "quick sequential-1 on data: caches were cold in A, cold (not proven) in B",
    )
    b = replace(a, state=CacheState.SSD_WARM)
    assert compare(_results(a), _results(a, b)).warnings == (
        "quick sequential-1 on data: caches were cold in A, cold and ssd-warm in B",
    )


@pytest.mark.parametrize("width", [80, 100])
def test_the_text_has_everything_and_fits(width: int) -> None:
    a = _results(
        _measured(throughput=[100.0] * 3, iops=[500.0] * 3, store_share=[0.5]),
        _measured(CacheState.RAM_WARM, names=[1.0]),
    )
    b = _results(
        _measured(throughput=[101.0] * 3, iops=[90.0, 100.0, 110.0], store_share=[0.5]),
        replace(_measured(CacheState.UNPROVEN), error="[bold]died[/bold] :smile:"),
    )
    text = render(compare(a, replace(b, tool="cloudfs 0.2")), width)
    lines = text.splitlines()
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("Conditions differ")
    assert "  tool: cloudfs 0.1 in A, cloudfs 0.2 in B" in lines
    table = [line.split() for line in lines if line.startswith("  ")]
    assert ["iops", "unit", "500", "100", "0.20", "(0.18-0.22)", "worse"] in table
    assert text.index("iops") < text.index("throughput")
    assert ["store_share", "unit", "0.5", "0.5", "1.00*", "same"] in table
    assert "* fewer than 3 trials" in text
    unbroken = " ".join(text.split())
    assert "Only in A: quick sequential-1 on data, ram-warm: names" in unbroken
    assert "quick sequential-1 on data, unproven: [bold]died[/bold] :smile:" in unbroken
    assert unbroken.endswith(" 1 worse, 2 same, 1 new errors: B is a regression")


def test_keys_with_something_worse_come_first_and_are_shown_once() -> None:
    steady, slower = _measured(CacheState.RAM_WARM, iops=[5.0] * 3), [50.0] * 3
    a = _results(steady, _measured(iops=[100.0] * 3, names=[1.0] * 3))
    b = _results(steady, _measured(iops=slower, names=[1.0] * 3))
    lines = render(compare(a, b)).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["quick", "iops", "names", "quick", "iops"]
    assert lines[1] == "quick sequential-1 on data, cold"


def test_memory_is_shown_in_megabytes() -> None:
    figures = {"serving_rss": Series("bytes", (2.2e8,) * 3)}
    results = _results(replace(_measured(), figures=figures))
    assert "  serving_rss MB  220  220   1.00  same\n" in render(compare(results, results))


def test_nothing_to_compare_is_said() -> None:
    assert render(compare(_results(), _results())) == "nothing that both have: no regression\n"
