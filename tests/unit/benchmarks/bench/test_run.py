"""`cloudfs bench` as its user runs it: whole runs at a small size, and what can go wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench import run as running
from cloudfs_benchmarks.bench import schema
from cloudfs_benchmarks.bench.collecting import Collector
from cloudfs_benchmarks.bench.contestants import Contestant
from cloudfs_benchmarks.bench.data.own import copy_own, write_own
from cloudfs_benchmarks.bench.demo import ganesha
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.options import MIB, Options, Suite
from cloudfs_benchmarks.bench.plan import states_for, steps_of
from cloudfs_benchmarks.bench.results import CacheState, Results
from cloudfs_benchmarks.bench.run import Output
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.demo.signals import SignalGate
from tests.support.disks import stalling_disk, why_no_stalling_disk
from tests.support.mounting import Mounted, can_mount, cloudfs, mounted, wait_until
from tests.unit.benchmarks.bench import sample_results
from tests.unit.benchmarks.bench.test_plan import options

needs_mount = pytest.mark.skipif(can_mount() is not None, reason=str(can_mount()))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs")
QUICKLY = ("--size", "8MiB", "--trials", "1", "--compute-time", "1ms", "--loader", "pool")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose subfolder `data` is a data set."""
    folder = tmp_path_factory.mktemp("bench")
    write_own(folder / "data", 8 * MIB, 1, processes=1, progress=lambda _: None)
    return folder


@pytest.fixture
def mount(data: Path, tmp_path: Path) -> Iterator[Mounted]:
    """The data set as a mounted bucket."""
    with mounted(f"file://{data}", tmp_path / "mnt", cache_dir=tmp_path / "cache") as mount:
        yield mount


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return cloudfs("bench", *map(str, arguments), timeout=240)


def mount_table() -> list[str]:
    """The mounts but the one that the first `ip netns add` of a mount namespace makes for good."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        return [line for line in table if line.split()[4] != "/run/netns"]


def refusal(*arguments: str | Path) -> str:
    """The one line with which a run is refused."""
    done = bench("run", *arguments)
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    return line


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@needs_mount
@pytest.mark.timeout(300)
def test_a_whole_run_over_a_mount_an_nfs_server_and_the_disk(
    data: Path, mount: Mounted, nfs_folder: str, tmp_path: Path
) -> None:
    with closing(NfsTree(nfs_folder)) as export:
        copy_own(data / "data", export, "data")
    local = tmp_path / "local"
    shutil.copytree(data, local)
    out = tmp_path / "out"
    targets = ("--target", f"cloudfs={mount.path}", "--target", f"nfs={nfs_folder}")
    done = bench(
        *("run", *targets, "--target", f"local={local}", "--dataset", "data", *QUICKLY),
        *("--suite", "standard", "--suite", "training", "--epochs", "2", "--out", out),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    results = schema.load(out / "results.json")
    assert results.finished
    assert_complete(results)
    assert {row.proven for row in results.measurements if row.target == "cloudfs"} == {True}
    assert_hit_ratios(results)
    assert "epoch 1 AU" in done.stdout
    assert any("compared with what was written: equal" in note for note in results.notes)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("cloudfs", "nfs", "local"))
    assert (out / "fio" / "sequential-1-local.fio").exists()
    assert left_in(local) == ["data"]
    with closing(NfsTree(nfs_folder)) as export:
        assert [entry.name for entry in export.entries("")] == ["data"]


def assert_complete(results: Results) -> None:
    """Every measurement of the suite is there for every target, with figures or a reason."""
    wanted = {
        (step.name, target.name, state)
        for step in steps_of([Suite.STANDARD])
        for target in results.targets
        for state in states_for(step, target.kind)
    }
    rows = {(row.name, row.target, row.state): row for row in results.measurements}
    assert set(rows) == wanted
    for row in rows.values():
        assert row.error is None
        assert row.figures or row.skipped, row
    assert rows["write-fsync", "cloudfs", CacheState.RAM_WARM].skipped == "the target is read-only"
    assert rows["write-fsync", "nfs", CacheState.RAM_WARM].figures["throughput"].values[0] > 0
    engines = {
        target: rows["sequential-1", target, CacheState.COLD].engine
        for target in ("cloudfs", "nfs", "local")
    }
    assert engines["nfs"] == "libnfs reader"
    assert engines["cloudfs"].startswith("fio")
    assert engines["local"].startswith("fio")
    assert [run.error for run in results.training] == [None] * 3


def assert_hit_ratios(results: Results) -> None:
    """The mount's own counters: everything from the bucket, then nothing."""
    [training] = [run for run in results.training if run.target == "cloudfs"]
    first, second = training.epochs
    assert first.store_bytes is not None
    assert first.store_bytes > 0.7 * first.bytes
    assert (second.store_bytes, second.hit_ratio) == (0, 1.0)
    cold = next(
        row
        for row in results.measurements
        if (row.target, row.name, row.state) == ("cloudfs", "sequential-1", CacheState.COLD)
    )
    assert cold.figures["store_share"].values[0] > 0.9


def test_data_of_the_runs_own_is_written_measured_and_removed(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "theirs").write_text("untouched")
    done = bench(
        *("run", "--target", f"a={folders[0]}", "--target", f"b={folders[1]}", *QUICKLY),
        *("--epochs", "1", "--out", tmp_path / "out"),
    )
    assert done.returncode == 0, done.stderr
    assert [left_in(folder) for folder in folders] == [["theirs"]] * 2
    results = schema.load(tmp_path / "out" / "results.json")
    assert {row.target for row in results.measurements} == {"a", "b"}


def test_a_missing_target_is_refused_by_name_before_anything_is_made(tmp_path: Path) -> None:
    line = refusal("--target", f"nfs={tmp_path / 'nowhere'}", "--out", tmp_path / "out", *QUICKLY)
    assert "nfs" in line
    assert str(tmp_path / "nowhere") in line
    assert left_in(tmp_path) == []


@needs_mount
def test_a_read_only_target_without_a_data_set_is_refused_with_the_way_out(
    mount: Mounted, tmp_path: Path
) -> None:
    line = refusal("--target", f"data={mount.path}", "--out", tmp_path / "out", *QUICKLY)
    assert "read-only" in line
    assert "cloudfs bench data DIR" in line
    assert "--dataset" in line


@needs_root
def test_a_full_target_is_refused_before_it_is_written_to(small_disk: Path, tmp_path: Path) -> None:
    line = refusal("--target", f"disk={small_disk}", "--size", "64MiB", "--out", tmp_path / "out")
    assert "GB free" in line
    assert left_in(small_disk) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_target_that_fills_up_during_the_run_is_reported_and_the_others_go_on(
    small_disk: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "data", small_disk / "data")
    shutil.copytree(data / "data", tmp_path / "roomy" / "data")
    asked = asking(
        tmp_path, f"full={small_disk}", f"roomy={tmp_path / 'roomy'}", suites=("standard",)
    )
    with begun(asked, tmp_path) as (collector, contestants, children):
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        running.measure_all(asked, children, collector, contestants, OUTPUT)
        filler.unlink()
        rows = {(row.name, row.target): row for row in collector.save().measurements}
    assert "full" in str(rows["write-fsync", "full"].error)
    assert rows["write-fsync", "roomy"].error is None
    assert rows["sequential-1", "full"].error is None
    assert left_in(small_disk) == ["data"]


@needs_mount
def test_a_mount_that_goes_in_the_middle_is_reported_in_every_row_and_the_others_go_on(
    data: Path, mount: Mounted, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "local")
    asked = asking(tmp_path, f"cloudfs={mount.path}", f"local={tmp_path / 'local'}")
    with begun(asked, tmp_path) as (collector, contestants, children):
        assert cloudfs("umount", str(mount.path)).returncode == 0
        running.measure_all(asked, children, collector, contestants, OUTPUT)
        results = collector.save(finished=True)
    of = {name: [r for r in results.measurements if r.target == name] for name in CONTESTANTS}
    assert [row.error for row in of["local"]] == [None] * len(of["local"])
    assert all(str(mount.path) in str(row.error) for row in of["cloudfs"]), of["cloudfs"]
    errors = {run.target: run.error for run in results.training}
    assert errors["local"] is None
    assert str(mount.path) in str(errors["cloudfs"])
    assert not any(row.figures for row in of["cloudfs"])


@needs_mount
def test_a_daemon_that_is_killed_in_the_middle_is_named(
    data: Path, mount_to_kill: Mounted, tmp_path: Path
) -> None:
    asked = asking(tmp_path, f"cloudfs={mount_to_kill.path}")
    with begun(asked, tmp_path) as (collector, contestants, children):
        mount_to_kill.process.kill()
        mount_to_kill.process.wait()
        running.measure_all(asked, children, collector, contestants, OUTPUT)
        results = collector.save()
    assert results.measurements
    assert all(row.error for row in results.measurements)
    assert "cloudfs umount" in str(results.measurements[-1].error)


@pytest.fixture
def mount_to_kill(data: Path, tmp_path: Path) -> Iterator[Mounted]:
    """A mount whose daemon the test ends by force."""
    path = tmp_path / "doomed"
    try:
        with mounted(f"file://{data}", path, cache_dir=tmp_path / "cache") as mount:
            yield mount
    except AssertionError:
        # It is left behind, as a killed daemon leaves it.
        subprocess.run(["fusermount3", "-uz", str(path)], check=True)


needs_fuse = pytest.mark.skipif(
    why_no_stalling_disk() is not None, reason=str(why_no_stalling_disk())
)


@needs_fuse
def test_where_caches_cannot_be_emptied_every_trial_reads_files_of_its_own_and_says_so(
    data: Path, tmp_path: Path
) -> None:
    with stalling_disk(tmp_path / "other", data) as disk:
        asked = asking(tmp_path, f"other={disk.path}", trials=2)
        with begun(asked, tmp_path) as (collector, contestants, children):
            running.measure_all(asked, children, collector, contestants, OUTPUT)
            results = collector.save(finished=True)
    cold = next(row for row in results.measurements if row.name == "sequential-1")
    assert (cold.error, cold.proven) == (None, False)
    assert "what this FUSE filesystem itself keeps cannot be seen" in cold.proof
    assert "files that no trial has read before" in cold.proof


@needs_fuse
def test_a_target_that_cannot_be_read_is_reported_and_the_run_goes_on(
    data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data, tmp_path / "local")
    with stalling_disk(tmp_path / "bad", data) as disk:
        asked = asking(tmp_path, f"bad={disk.path}", f"local={tmp_path / 'local'}")
        with begun(asked, tmp_path) as (collector, contestants, children):
            disk.break_reads()
            running.measure_all(asked, children, collector, contestants, OUTPUT)
            results = collector.save(finished=True)
    rows = {(row.target, row.name): row for row in results.measurements}
    assert rows["local", "sequential-1"].error is None
    assert "Input/output error" in str(rows["bad", "sequential-1"].error)
    errors = {run.target: run.error for run in results.training}
    assert errors["local"] is None
    assert "Input/output error" in str(errors["bad"])


def asking(folder: Path, *targets: str, **changes: object) -> Options:
    """The quick suite, once, over the data set of these targets."""
    values: dict[str, object] = {"suites": ("quick",), "trials": 1, "epochs": 1, **changes}
    return options(targets=targets, dataset="data", size=8 * MIB, out=folder / "out", **values)


CONTESTANTS = ("cloudfs", "local")
OUTPUT = Output(lambda _: None, lambda _: None, "cloudfs bench run")


@contextmanager
def begun(asked: Options, folder: Path) -> Iterator[tuple[Collector, list[Contestant], Children]]:
    """A run that has begun, with everything undone on leaving."""
    (folder / "out" / "logs").mkdir(parents=True)
    with ExitStack() as stack:
        children = Children(os.environ, folder / "out" / "logs", stack, SignalGate())
        yield (*running.begin(asked, children, OUTPUT), children)


def test_a_run_that_is_interrupted_keeps_what_it_has_and_cleans_up(tmp_path: Path) -> None:
    target, out = tmp_path / "target", tmp_path / "out"
    target.mkdir()
    command = [sys.executable, "-m", "cloudfs", "bench", "run", "--target", f"a={target}"]
    command += [*QUICKLY, "--trials", "5", "--out", str(out)]
    child = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_until((out / "results.json").exists, 60, "no measurement was saved")
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 130, stderr
    assert "Traceback" not in stderr
    results = schema.load(out / "results.json")
    assert not results.finished
    assert results.measurements
    assert (out / "report.html").exists()
    assert left_in(target) == []
    assert "sequential-1" in stdout


def test_a_dry_run_says_what_it_would_cost_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    target = ("--target", f"a={tmp_path / 'target'}")
    done = bench("run", *target, "--dry-run", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "GB read, 537 MB written" in done.stderr
    assert left_in(tmp_path) == ["target"]
    assert left_in(tmp_path / "target") == []


def test_a_dry_run_over_the_users_data_writes_nothing_and_knows_their_size(
    data: Path, tmp_path: Path
) -> None:
    target = ("--target", f"a={data}", "--dataset", "data")
    done = bench("run", *target, "--dry-run", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "MB read" in done.stderr
    assert "written" not in done.stderr
    assert left_in(tmp_path) == []


def test_data_that_differ_between_targets_are_refused(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(data / "data", tmp_path / name / "data")
    next((tmp_path / "b" / "data" / "large").iterdir()).unlink()
    for name in ("a", "b"):
        (tmp_path / name / "data" / "cloudfs-bench.json").unlink()
    targets = ("--target", f"a={tmp_path / 'a'}", "--target", f"b={tmp_path / 'b'}")
    line = refusal(*targets, "--dataset", "data", "--out", tmp_path / "out")
    assert "the targets hold different data" in line


def test_bytes_that_differ_between_targets_make_the_run_fail(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(data / "data", tmp_path / name / "data")
    [*_, last] = sorted((tmp_path / "b" / "data" / "large").iterdir())
    with last.open("r+b") as file:
        file.write(b"other")
    asked = asking(tmp_path, f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}")
    wrong = f"b holds other bytes than were written: large/{last.name}"
    with begun(asked, tmp_path) as (_, contestants, _), pytest.raises(BenchError, match=wrong):
        running.check_contents(contestants, seed=1)


def test_writing_data_and_repeating_a_report_and_a_comparison(tmp_path: Path) -> None:
    done = bench("data", tmp_path / "data", "--size", "8MiB")
    assert done.returncode == 0, done.stderr
    assert "--dataset data" in done.stderr
    out = tmp_path / "out"
    done = bench(
        *("run", "--target", f"a={tmp_path}", "--dataset", "data", *QUICKLY, "--epochs", "1"),
        *("--out", out),
    )
    assert done.returncode == 0, done.stderr
    (out / "report.html").unlink()
    assert bench("report", out / "results.json").returncode == 0
    assert (out / "report.html").exists()
    markdown = bench("report", out / "results.json", "--markdown")
    assert "| sequential-1 |" in markdown.stdout
    same = bench("compare", out / "results.json", out / "results.json")
    assert same.returncode == 0, same.stdout
    assert bench("clean", tmp_path).stderr.endswith("removed nothing\n")


def test_a_regression_ends_with_its_exit_code(tmp_path: Path) -> None:
    good = sample_results.results(measurements=[sample_results.measurement("local")])
    lost = tuple(replace(row, figures={}, error="lost") for row in good.measurements)
    bad = replace(good, measurements=lost)
    schema.save(tmp_path / "a.json", good)
    schema.save(tmp_path / "b.json", bad)
    assert bench("compare", tmp_path / "a.json", tmp_path / "b.json").returncode == 12


@pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces")
@pytest.mark.timeout(300)
def test_the_demo_measures_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    if (problem := ganesha.missing()) is not None:
        pytest.skip(problem)
    before = mount_table()
    out = tmp_path / "out"
    done = bench(
        *("demo", *QUICKLY, "--suite", "quick", "--epochs", "2", "--nodes", "2", "--out", out)
    )
    assert done.returncode == 0, done.stderr + done.stdout
    results = schema.load(out / "results.json")
    assert [target.name for target in results.targets] == ["cloudfs", "nfs", "local"]
    assert {(run.target, run.nodes, len(run.throughputs)) for run in results.nodes} == {
        (name, nodes, nodes) for name in ("cloudfs", "nfs") for nodes in (1, 2)
    }
    assert (out / "nodes.png").exists()
    assert mount_table() == before
