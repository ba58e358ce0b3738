"""The line to decide by, and the claims: each case says what it must, and nothing kinder."""

from __future__ import annotations

from dataclasses import replace

from cloudfs_benchmarks.bench.report.claims import Claim, story
from cloudfs_benchmarks.bench.report.verdict import verdict
from cloudfs_benchmarks.bench.results import CacheState, NodeRun, Results, TrainingRun
from tests.unit.benchmarks.bench import sample_results as sample
from tests.unit.benchmarks.bench.sample_results import COLD, RAM, SSD, epoch, training_run

FAST, SLOW = (0.05,) * 9, (0.0625,) * 9
"""Steps without waiting, and with 20 % of it."""


def _trained(
    mount_first: tuple[float, ...] = SLOW,
    mount_later: tuple[float, ...] = FAST,
    nfs: tuple[float, ...] = SLOW,
    first_state: CacheState = COLD,
) -> list[TrainingRun]:
    """Two epochs on each target, a trial of each."""
    return [
        training_run("cloudfs", [epoch(1, mount_first, first_state), epoch(2, mount_later, SSD)]),
        training_run("nfs", [epoch(1, nfs), epoch(2, nfs)]),
        training_run("local", [epoch(1, FAST), epoch(2, FAST)]),
    ]


def _claims(results: Results) -> tuple[Claim, Claim, Claim]:
    first, later, nodes = story(results)
    return first, later, nodes


def test_the_verdict_shows_both_epochs_and_the_others_beside_the_second() -> None:
    line = verdict(sample.results(training=_trained()))
    assert line == "cloudfs: epoch 1 AU 80 % -> epoch 2 AU 100 % (nfs 80 %, local 100 %)"


def test_the_verdict_is_from_medians_over_the_trials() -> None:
    awful = training_run("cloudfs", [epoch(1, (0.5,) * 9), epoch(2, (0.5,) * 9)], 3)
    perfect = training_run("cloudfs", [epoch(1, FAST), epoch(2, FAST)], 2)
    runs = [*_trained(), perfect, awful]
    assert "epoch 1 AU 80 % -> epoch 2 AU 100 %" in verdict(sample.results(training=runs))


def test_the_verdict_without_training_compares_throughput_state_by_state() -> None:
    rows = [
        sample.measurement("cloudfs", state=COLD, values=(100, 104, 140)),
        sample.measurement("local", state=COLD, values=(1200,)),
        sample.failed("nfs", "sequential-1", "EIO"),
        sample.measurement("cloudfs", state=RAM, values=(4000,)),
        sample.measurement("cloudfs", "walk", figure="names", values=(7,)),
    ]
    line = verdict(sample.results(measurements=rows))
    assert line.startswith("cloudfs: sequential-1 cold 104 MB/s (nfs failed, local 1200)")
    assert " -> ram-warm 4000 MB/s; 1 error" in line


def test_the_verdict_says_that_a_target_failed_and_why() -> None:
    runs = _trained()
    runs[1] = replace(runs[1], epochs=(), error="a.h5:\nthe server\x1b[31m does not answer")
    line = verdict(sample.results(training=runs))
    assert "(nfs failed: a.h5: the server?[31m does not answer, local 100 %); 1 error" in line


def test_the_verdict_of_a_mount_that_failed_in_epoch_2_does_not_end_with_epoch_1() -> None:
    runs = _trained()
    runs[0] = replace(runs[0], epochs=runs[0].epochs[:1], error="the daemon is gone")
    line = verdict(sample.results(training=runs))
    assert line.startswith("cloudfs: epoch 1 AU 80 %, then failed: the daemon is gone (nfs 80 %")


def test_the_verdict_of_a_mount_that_gave_nothing_is_its_error() -> None:
    rows = [sample.failed("cloudfs", "sequential-1", "Transport endpoint is not connected")]
    line = verdict(sample.results(measurements=rows))
    assert line == "cloudfs: failed: Transport endpoint is not connected; 1 error"


def test_the_verdict_of_an_interrupted_run_and_of_an_unstable_one_says_so() -> None:
    rows = [sample.measurement("cloudfs", values=(10, 50, 100))]
    line = verdict(sample.results(measurements=rows, finished=False))
    assert line.endswith("; INTERRUPTED, not everything was measured; 1 unstable")


def test_without_a_cloudfs_target_the_first_one_is_the_subject() -> None:
    local = [target for target in sample.targets() if target.name == "local"]
    results = sample.results(training=_trained()[2:], of=local)
    assert verdict(results) == "local: epoch 1 AU 100 % -> epoch 2 AU 100 %"
    assert verdict(sample.results(of=())) == "nothing was measured"


def test_all_claims_hold_with_their_numbers() -> None:
    results = sample.results(training=_trained(), nodes=sample.node_runs())
    first, later, nodes = _claims(results)
    assert (first.held, later.held, nodes.held) == (True, True, True)
    assert first.figure == "cloudfs 0.562 s; nfs 0.562 s (mount +0.0 %)"
    assert "cloudfs (ssd-warm)" in later.figure
    assert "local (cold)" in later.figure
    assert "cloudfs 104 MB/s for one node, 102 for each of 4 (99 %)" in nodes.figure
    assert "nfs 112 MB/s for one node, 30.5 for each of 4 (27 %)" in nodes.figure


def test_a_first_epoch_slower_than_over_nfs_is_refuted() -> None:
    slower = tuple(step * 1.04 for step in SLOW)
    first, _, _ = _claims(sample.results(training=_trained(mount_first=slower)))
    assert first.held is False
    assert first.outcome == "REFUTED"
    assert "+4.0 %" in first.figure


def test_a_first_epoch_that_did_not_begin_cold_proves_nothing() -> None:
    for state in (SSD, CacheState.UNPROVEN):
        first, _, _ = _claims(sample.results(training=_trained(first_state=state)))
        assert first.held is None
        assert f"cloudfs {state}" in first.figure


def test_every_nfs_target_must_be_no_faster() -> None:
    tuned = replace(sample.targets()[1], name="nfs-tuned")
    runs = [*_trained(), training_run("nfs-tuned", [epoch(1, FAST), epoch(2, FAST)])]
    results = sample.results(training=runs, of=(*sample.targets(), tuned))
    first, _, _ = _claims(results)
    assert first.held is False
    assert "nfs-tuned 0.450 s (mount +25.0 %)" in first.figure


def test_later_epochs_4_percent_slower_are_refuted_and_2_percent_are_not() -> None:
    for factor, held in ((1.04, False), (1.02, True)):
        later_steps = tuple(step * factor for step in FAST)
        _, later, _ = _claims(sample.results(training=_trained(mount_later=later_steps)))
        assert later.held is held


def test_stalls_that_the_median_hides_refute_the_claim() -> None:
    stalls = (*FAST[:-1], 0.5)
    _, later, _ = _claims(sample.results(training=_trained(mount_later=stalls)))
    assert later.held is False
    assert "local (cold): +0.0 %; mean 106 and 50.0 ms: +112.5 %" in later.figure


def test_one_later_epoch_that_is_slow_refutes_the_claim() -> None:
    runs = _trained()
    third = (epoch(3, SLOW, SSD), epoch(3, FAST))
    runs[0] = replace(runs[0], epochs=(*runs[0].epochs, third[0]))
    runs[2] = replace(runs[2], epochs=(*runs[2].epochs, third[1]))
    _, later, _ = _claims(sample.results(training=runs))
    assert later.held is False
    assert "epoch 3" in later.figure


def test_without_nfs_nothing_is_claimed_against_it() -> None:
    of = [target for target in sample.targets() if target.name != "nfs"]
    runs = [run for run in _trained() if run.target != "nfs"]
    first, later, nodes = _claims(sample.results(training=runs, nodes=sample.node_runs(), of=of))
    assert (first.held, first.figure) == (None, "no NFS target")
    assert later.held is True
    assert (nodes.held, nodes.figure) == (None, "no NFS target")
    assert first.outcome == "not measured"


def test_what_an_error_left_unmeasured_is_not_held() -> None:
    runs = _trained()
    runs[1] = replace(runs[1], epochs=(), error="EIO")
    crowd = replace(sample.node_runs()[3], error="EIO", throughputs=(1.0,))
    nodes_run = [*sample.node_runs()[:3], crowd]
    first, _, nodes = _claims(sample.results(training=runs, nodes=nodes_run))
    assert (first.held, first.figure) == (None, "not measured on nfs")
    assert (nodes.held, nodes.figure) == (None, "not measured on nfs")


def test_nodes_refute_when_nfs_keeps_its_bandwidth_or_the_bucket_does_not() -> None:
    for nfs, mount in ((100.0, 101.0), (29.0, 60.0)):
        runs = sample.node_runs(nfs_crowd=nfs, mount_crowd=mount)
        _, _, nodes = _claims(sample.results(nodes=runs))
        assert nodes.held is False


def test_one_node_alone_shows_nothing_about_several() -> None:
    _, _, nodes = _claims(sample.results(nodes=[NodeRun("cloudfs", 1, 1, (104.0,))]))
    assert (nodes.held, nodes.figure) == (None, "no run with more than one node")
