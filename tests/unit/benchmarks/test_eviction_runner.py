"""The runner: recorded traces, the table, the files it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudfs_benchmarks.eviction.__main__ import main
from cloudfs_benchmarks.eviction.recorded import TraceFormatError, load_traces, read_visits
from cloudfs_benchmarks.eviction.simulate import POLICIES, Result


def _line(key: str, extent: int = 0, size_bytes: int = 64 << 20, **more: int) -> str:
    return json.dumps({"key": key, "extent": extent, "size_bytes": size_bytes} | more) + "\n"


def test_a_recorded_visit_is_an_extent_of_a_key_and_a_group() -> None:
    visits = read_visits(
        [_line("a/x"), _line("a/x", 1), "\n", _line("b/x"), _line("a/x", group=200), _line("a/\n")]
    )
    assert [visit.key for visit in visits] == [0, 1, 2, 0, 3]
    assert visits[0].group == visits[1].group == visits[4].group != visits[2].group
    assert visits[3].group == 200


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"key": "a", "extent": 0}',
        _line("a", size_bytes=0),
        _line("a", extent=-1),
    ],
)
def test_a_damaged_line_is_named(line: str) -> None:
    with pytest.raises(TraceFormatError, match="line 2"):
        read_visits([_line("a"), line])


def test_a_recorded_trace_is_tried_with_caches_of_several_sizes(tmp_path: Path) -> None:
    path = tmp_path / "visits.jsonl"
    path.write_text("".join(_line(f"a/{n}") for n in range(8)) * 3, encoding="utf-8")
    found = load_traces(path)
    assert [trace.capacity_bytes >> 20 for trace in found] == [64, 128, 256, 384]
    assert all(len(trace.visits) == 24 for trace in found)


def test_the_runner_replays_a_recorded_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "visits.jsonl"
    path.write_text("".join(_line(f"a/{n}") for n in range(8)) * 3, encoding="utf-8")
    results = tmp_path / "results.json"
    assert main(["--trace", str(path), "--seeds", "1", "--json", str(results)]) == 0
    assert "visits.jsonl, 2x" in capsys.readouterr().out
    rows = json.loads(results.read_text(encoding="utf-8"))["results"]
    assert [row["trace"] for row in rows] == [
        f"visits.jsonl, {x}x" for x in ("8", "4", "2", "1.33")
    ]
    # Half of it fits, three rounds: two of them hit half.
    assert rows[2]["ratios"]["Belady"] == [pytest.approx(1 / 3)]


def test_a_trace_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--trace", str(tmp_path / "missing")]) == 1
    assert "cannot read" in capsys.readouterr().err


@pytest.mark.slow
def test_the_runner_draws_and_writes_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "eviction.png"
    assert main(["--items", "60", "--seeds", "1", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "shuffled, 4x" in capsys.readouterr().out


def test_targets() -> None:
    def result(default: float, belady: float, reference: float, *, is_epoch: bool) -> Result:
        ratios = dict.fromkeys(POLICIES, (reference,)) | {
            "Belady": (belady,),
            "EpochAware": (default,),
        }
        return Result("", is_epoch, ratios, ratios, (1.0,))

    assert result(0.46, 0.5, 0.9, is_epoch=True).met
    assert not result(0.44, 0.5, 0.0, is_epoch=True).met
    assert result(0.46, 0.9, 0.5, is_epoch=False).met
    assert not result(0.44, 0.5, 0.5, is_epoch=False).met
