"""The pictures show what was measured, and the page is whole in itself and takes no orders."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from cloudfs_benchmarks.bench.report.bars import (
    draw_nodes,
    draw_other_rates,
    draw_throughput,
    draw_utilisation,
)
from cloudfs_benchmarks.bench.report.curves import draw_hit_ratio, draw_steps
from cloudfs_benchmarks.bench.report.distributions import curve, draw_latency
from cloudfs_benchmarks.bench.report.page import render_page, write_page
from cloudfs_benchmarks.bench.report.plots import Picture, draw_all, drawings
from cloudfs_benchmarks.bench.report.style import looks, styled
from cloudfs_benchmarks.bench.results import Latency, Results
from tests.unit.benchmarks.bench import sample_results as sample
from tests.unit.benchmarks.bench.sample_results import COLD, SSD, measurement

RICH = sample.rich(count=12)
EVIL = "<script>alert('x')</script>"
_VOID = {"meta", "img", "br"}


class _Page(HTMLParser):
    """What a browser would see: tags with attributes, and the text; refuses what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    with styled():
        yield


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = tmp_path / "steps.png"
    path.write_bytes(b"\x89PNG of steps")
    return Picture("steps", path, 'title "quoted"', f"alt {EVIL}")


def _drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def _lines(figure: Figure) -> dict[str, tuple[list[float], list[float]]]:
    """Lines of the first axes by label, but for those that none is given."""
    return {
        str(line.get_label()): (list(line.get_xdata()), list(line.get_ydata()))
        for line in figure.axes[0].lines
        if not str(line.get_label()).startswith("_")
    }


def test_every_axis_of_every_picture_says_what_it_shows_and_in_which_unit() -> None:
    units = re.compile(r"\((ms|%|MB/s|logarithmic|ms, logarithmic|% of .*)\)|MB/s|/s|IOPS|step|sec")
    found = list(drawings(RICH))
    assert [one.name for one in found] == [
        *("steps", "au", "hit-ratio", "throughput", "rates", "nodes", "latency-1", "latency-2")
    ]
    for one in found:
        assert one.figure.get_suptitle() == one.title != ""
        assert one.title in one.alt_text
        assert one.figure.legends
        for axes in one.figure.axes:
            labels = [axes.get_xlabel(), axes.get_ylabel()]
            assert any(units.search(label) for label in labels), (one.name, labels)


def test_steps_are_a_line_for_each_target_with_epochs_marked_and_compute_alone() -> None:
    figure = _drawn(draw_steps(RICH))
    lines = _lines(figure)
    assert list(lines) == ["cloudfs", "nfs", "local", "compute alone (50 ms)"]
    steps = RICH.training[0].epochs[1].step_s
    trials = [run.epochs[1].step_s for run in RICH.training if run.target == "cloudfs"]
    assert len(trials) == 3
    x, y = lines["cloudfs"]
    # Twelve steps of epoch 1 and the gap come before.
    assert x[13 : 13 + len(steps)] == [float(step) for step in range(13, 25)]
    expected = [1e3 * sorted(trial[step] for trial in trials)[1] for step in range(12)]
    assert y[13 : 13 + len(steps)] == pytest.approx(expected)
    dots = [line for line in figure.axes[0].lines if line.get_xdata()[0] in (12.5, 24.5)]
    assert len(dots) == 2
    labels = [text.get_text() for text in figure.axes[0].child_axes[0].get_xticklabels()]
    assert labels[:2] == ["epoch 1\ncold", "epoch 2\ncloudfs: ssd-warm\nnfs, local: cold"]


def test_many_steps_are_smoothed_and_none_is_lost_from_the_dots() -> None:
    steps = [0.05] * 260
    steps[100] = 9.0
    runs = [sample.training_run("cloudfs", [sample.epoch(1, steps)])]
    figure = _drawn(draw_steps(sample.results(training=runs)))
    assert "rolling median" in figure.get_suptitle()
    assert max(_lines(figure)["cloudfs"][1][:260]) == pytest.approx(50)
    dots = figure.axes[0].lines[0]
    assert max(dots.get_ydata()) == pytest.approx(9000)
    assert figure.axes[0].get_yscale() == "log"
    assert "logarithmic" in figure.axes[0].get_ylabel()


def test_steps_close_together_are_drawn_from_zero() -> None:
    figure = _drawn(draw_steps(sample.results(training=sample.trained(count=12))))
    assert figure.axes[0].get_yscale() == "linear"
    assert figure.axes[0].get_ylim()[0] == 0


def test_throughput_has_a_bar_for_each_target_and_says_what_failed() -> None:
    rows = [
        measurement("cloudfs", state=COLD, values=(90, 100, 120)),
        measurement("local", state=COLD, values=(900, 1000, 1100)),
        sample.failed("nfs", "sequential-1", "EIO"),
        measurement("cloudfs", state=SSD, values=(800,)),
    ]
    figure = _drawn(draw_throughput(sample.results(measurements=rows)))
    cold, warm = figure.axes
    assert [bar.get_width() for bar in cold.patches] == [100, 1000]
    assert "nfs: error" in [text.get_text() for text in cold.texts]
    # What the mount reads from its own disk stands beside what others read from theirs.
    assert [bar.get_width() for bar in warm.patches] == [800, 1000]
    assert warm.get_title() == "ssd-warm, beside the others' cold"
    ends = [list(map(float, segment[:, 0])) for segment in cold.collections[0].get_segments()]
    assert ends == [[90, 120]]


def test_other_rates_have_a_panel_for_each_unit() -> None:
    figure = _drawn(draw_other_rates(RICH))
    assert [axes.get_xlabel() for axes in figure.axes] == ["IOPS", "files/s", "names/s"]
    assert any("~ unstable" in text.get_text() for text in figure.axes[0].texts)


def test_utilisation_has_a_bar_for_each_target_and_epoch_and_mlperfs_line() -> None:
    axes = _drawn(draw_utilisation(RICH)).axes[0]
    assert len(axes.patches) == 9
    assert [line for line in axes.lines if list(line.get_ydata()) == [90, 90]]


def test_nodes_show_a_node_alone_and_among_others() -> None:
    axes = _drawn(draw_nodes(RICH)).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [104, 112, 102.5, 30.5]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["1 reader node", "4 reader nodes at once"]


def test_the_hit_ratio_is_in_percent_with_the_epochs_marked() -> None:
    figure = _drawn(draw_hit_ratio(RICH))
    assert list(_lines(figure)) == ["cloudfs, trial 1", "its other trials"]
    assert max(_lines(figure)["cloudfs, trial 1"][1]) == 100
    labels = [text.get_text() for text in figure.axes[0].child_axes[0].get_xticklabels()]
    assert labels[0] == "epoch 1: 4 % hits"


def test_latencies_are_shares_of_the_operations_in_panels_of_six() -> None:
    latency = Latency(10.0, 90.0, 95.0, 97.0, ((10.0, 90), (100.0, 10)))
    assert curve(latency) == ([10.0, 97.0], [0.9, 1.0])
    figures = list(draw_latency(RICH))
    assert [len(figure.axes) for figure in figures] == [6, 2]
    assert figures[0].axes[0].get_title() == "sequential-1, cold"
    assert list(_lines(figures[0])) == ["cloudfs", "nfs", "local"]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    assert draw_all(sample.results(), tmp_path / "none") == []
    failed = [sample.failed("nfs", "sequential-1", "EIO")]
    assert draw_all(sample.results(measurements=failed), tmp_path / "failed") == []


def test_pictures_are_png_files_of_the_size_of_a_slide(tmp_path: Path) -> None:
    results = sample.results(measurements=[measurement("local")], nodes=sample.node_runs())
    pictures = draw_all(results, tmp_path / "new")
    assert [picture.name for picture in pictures] == ["throughput", "nodes"]
    for picture in pictures:
        header = picture.path.read_bytes()[:24]
        assert header[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", header[16:]) == (1600, 900)


def test_names_with_signs_of_formulas_can_be_drawn(tmp_path: Path) -> None:
    of = [replace(sample.targets()[2], name="$x^$")]
    results = sample.results(measurements=[measurement("$x^$")], of=of)
    assert [picture.name for picture in draw_all(results, tmp_path)] == ["throughput"]


def test_targets_differ_in_more_than_colour() -> None:
    found = looks([str(number) for number in range(20)])
    without_colour = {(look.marker, str(look.line), look.hatch) for look in found.values()}
    assert len(without_colour) == 7
    assert len({(look.colour, look.marker) for look in found.values()}) == 20


def test_the_page_needs_nothing_but_itself(picture: Picture) -> None:
    page = _Page(render_page(RICH, [picture]))
    references = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert references
    assert all(value and value.startswith(("data:image/png;base64,", "#")) for value in references)
    anchors = {attributes["id"] for attributes in page.all("section")}
    assert {f"#{anchor}" for anchor in anchors} == {link["href"] for link in page.all("a")}
    assert not page.all("script")
    assert not page.all("link")
    assert "url(" not in page.text
    assert "@import" not in page.text
    assert [one["alt"] for one in page.all("img")] == [f"alt {EVIL}"]
    assert [one["aria-label"] for one in page.all("figure")] == ['title "quoted"']


def test_the_page_holds_the_picture_as_it_is(picture: Picture, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_page(RICH, [picture], path)
    source = _Page(path.read_text(encoding="utf-8")).all("img")[0]["src"]
    assert source is not None
    assert base64.b64decode(source.partition(",")[2]) == picture.path.read_bytes()


def test_nothing_foreign_becomes_markup_of_the_page(picture: Picture) -> None:
    target = replace(
        sample.targets()[1],
        name=EVIL,
        location=f"/mnt/{EVIL}",
        options=f'rw,"{EVIL}',
        settings={EVIL: EVIL},
        tunings_missing=(EVIL,),
    )
    rows = [
        replace(measurement(EVIL), name=EVIL, proof=EVIL, engine=EVIL),
        replace(sample.failed(EVIL, EVIL, EVIL), suite=EVIL),
        sample.skipped(EVIL, EVIL, f'" onload="{EVIL}'),
    ]
    run = sample.training_run(EVIL, [replace(sample.epoch(1, [0.1, 0.1]), proof=EVIL)])
    results = sample.results(
        measurements=rows,
        training=[replace(run, loader=EVIL, error=EVIL)],
        nodes=[replace(sample.node_runs()[0], target=EVIL)],
        of=[target],
    )
    results = replace(results, command=EVIL, notes=(EVIL,), tool=EVIL, started_at=EVIL)
    page = _Page(render_page(_foreign_environment(results), [picture]))
    assert not page.all("script")
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert page.text.count(EVIL) > 30


def _foreign_environment(results: Results) -> Results:
    environment = replace(results.environment, cpu=EVIL, disks={EVIL: EVIL}, versions={EVIL: EVIL})
    plan = replace(results.plan, dataset=EVIL, suite=EVIL, cold_method=EVIL)
    return replace(results, environment=environment, plan=plan)


def test_the_page_says_everything_that_qualifies_the_numbers(picture: Picture) -> None:
    results = replace(RICH, finished=False)
    text = " ".join(_Page(render_page(results, [picture])).text.split())
    for expected in (
        "REFUTED Epoch 1 over the mount",
        "EIO while reading large/large_2.bin",
        "read-only",
        "The run was interrupted",
        "random-128k cold, cloudfs",
        "nconnect: libnfs uses one connection",
        "ro,nosuid,nodev,relatime",
        "caches dropped (root)",
        "AMD EPYC 7B13, 8 CPUs",
        "cloudfs bench run --target cloudfs=/data",
        "1 leftover folder of a killed run",
        "serving_cpu 0.410 (0.400-0.430) s/GB",
        "libnfs reader",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        (None, "Which tunings were in use is not known."),
        ((), "Every known tuning was in use."),
        (("fsc: no cache on disk",), "not in use: fsc: no cache on disk"),
    ],
)
def test_nfs_is_called_tuned_only_when_it_is(
    missing: tuple[str, ...] | None, expected: str
) -> None:
    of = [replace(sample.targets()[1], tunings_missing=missing)]
    text = " ".join(_Page(render_page(sample.results(of=of), [])).text.split())
    assert expected in text


def test_tables_of_the_page_tell_what_their_heads_are_heads_of(picture: Picture) -> None:
    page = _Page(render_page(RICH, [picture]))
    assert {attributes["scope"] for attributes in page.all("th")} == {"row", "col"}
    assert len(page.all("caption")) == len(page.all("table")) >= 6
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_a_page_of_nothing_still_says_so() -> None:
    text = _Page(render_page(sample.results(), [])).text
    assert "cloudfs: nothing was measured" in text
