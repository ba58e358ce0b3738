"""results.json: what is written comes back, and what is wrong is named in one line."""

from __future__ import annotations

import dataclasses
import json
import os
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.results import (
    SCHEMA,
    CacheState,
    Environment,
    Kind,
    Latency,
    Measurement,
    Plan,
    Results,
    Series,
    Target,
)
from cloudfs_benchmarks.bench.schema import from_document, load, save, to_document

_PLAIN: dict[type, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
}


def _any(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type hint of the records."""
    inner = get_args(hint)
    if get_origin(hint) is types.UnionType:
        return st.one_of(*(st.none() if each is types.NoneType else _any(each) for each in inner))
    if get_origin(hint) is tuple:
        many = inner[-1] is Ellipsis
        some = st.lists(_any(inner[0]), max_size=2) if many else st.tuples(*map(_any, inner))
        return some.map(tuple)
    if get_origin(hint) is Mapping:
        return st.dictionaries(st.text(max_size=8), _any(inner[1]), max_size=2)
    if dataclasses.is_dataclass(hint):
        fields = {name: _any(each) for name, each in get_type_hints(hint).items()}
        if hint is Results:
            fields["schema"] = st.just(SCHEMA)
        return st.builds(hint, **fields)
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    return _PLAIN[hint]


def _results() -> Results:
    environment = Environment(
        kernel="6.18.0",
        distribution="Debian 12",
        cpu="cpu",
        cpus=2,
        memory_bytes=2**33,
        root=True,
        disks={"/data": "vda"},
        versions={"fio": "3.33"},
        page_cache_bytes=(1, None),
        load=(0.5, 0.25),
    )
    plan = Plan("quick", 2**20, "", 3, 2, 2, 4, 0.05, 1, "dropped as root")
    target = Target("local", "/data", Kind.LOCAL, "ext4", "/dev/vda", "rw", 128, True, 2**30)
    measurement = Measurement(
        "quick",
        "sequential-1",
        "local",
        CacheState.COLD,
        "mincore: 0 %",
        "fio 3.33",
        {"throughput": Series("MB/s", (500.0, 510.0, 505.0))},
        Latency(1.0, 2.0, 3.0, 4.0, ((5.0, 6),)),
    )
    return Results(
        tool="cloudfs 0.1",
        started_at="2026-01-01T00:00:00Z",
        command="cloudfs bench run",
        finished=True,
        seconds=1.0,
        environment=environment,
        plan=plan,
        targets=(target,),
        measurements=(measurement,),
    )


@pytest.fixture
def document() -> dict[str, Any]:
    return to_document(_results())


@settings(max_examples=50)
@given(_any(Results))
def test_a_round_trip_changes_nothing(results: Results) -> None:
    text = json.dumps(to_document(results), allow_nan=False)
    assert from_document(json.loads(text)) == results


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("before")
    save(path, _results())
    assert load(path) == _results()
    assert os.listdir(tmp_path) == ["results.json"]


def test_whole_numbers_are_numbers_of_any_kind(document: dict[str, Any]) -> None:
    document["seconds"] = 1
    seconds = from_document(document).seconds
    assert type(seconds) is float


def test_fields_added_within_the_schema_are_ignored(document: dict[str, Any]) -> None:
    document["weather"] = {"sunny": True}
    document["targets"][0]["colour"] = "blue"
    assert from_document(document) == _results()


def test_fields_with_a_default_may_be_missing(document: dict[str, Any]) -> None:
    del document["targets"][0]["settings"], document["notes"]
    assert from_document(document) == _results()


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("seconds",), True, "seconds: a number is needed, true is there"),
        (("finished",), 1, "finished: true or false is needed, 1 is there"),
        (("tool",), None, "tool: a text is needed, null is there"),
        (("plan",), [], "plan: an object is needed, [] is there"),
        (("plan", "trials"), 3.0, "plan.trials: a whole number is needed, 3.0 is there"),
        (("targets",), {}, "targets: an array is needed, {} is there"),
        (("targets", 0, "kind"), "tape", 'targets[0].kind: "tape" is none of cloudfs, nfs,'),
        (("targets", 0, "kind"), [], "targets[0].kind: [] is none of"),
        (("environment", "versions", "fio"), 3, "environment.versions.fio: a text is needed"),
        (("environment", "load"), [1.0], "environment.load: 2 values are needed, 1 are there"),
        (
            ("measurements", 0, "figures", "throughput", "values", 1),
            float("nan"),
            "measurements[0].figures.throughput.values[1]: a finite number is needed, nan is there",
        ),
        (("seconds",), 10**400, "seconds: a finite number is needed, inf is there"),
        (
            ("measurements", 0, "latency", "histogram", 0, 1),
            "6",
            'measurements[0].latency.histogram[0][1]: a whole number is needed, "6" is there',
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_path(
    document: dict[str, Any], keys: tuple[str | int, ...], value: object, message: str
) -> None:
    place: Any = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(BenchError) as caught:
        from_document(document, "old.json")
    text = str(caught.value)
    assert text.startswith(f"old.json is no valid results file: {message}")
    assert text.endswith(": repeat the run that wrote it")


def test_a_missing_field_is_named_by_its_path(document: dict[str, Any]) -> None:
    del document["measurements"][0]["figures"]["throughput"]["unit"]
    with pytest.raises(BenchError, match=r"measurements\[0\].figures.throughput.unit: is missing"):
        from_document(document)


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, "1", True])
def test_another_schema_is_refused_with_the_fix(document: dict[str, Any], schema: object) -> None:
    document["schema"] = schema
    with pytest.raises(BenchError) as caught:
        from_document(document, "new.json")
    assert str(caught.value) == (
        f"new.json written by cloudfs 0.1 has schema {json.dumps(schema)} and this version reads "
        f"{SCHEMA}: read it with the version of cloudfs that wrote it, or upgrade"
    )


def test_another_schema_may_have_lost_every_field() -> None:
    with pytest.raises(BenchError, match=f"new.json has schema {SCHEMA + 1} and"):
        from_document({"schema": SCHEMA + 1}, "new.json")


@pytest.mark.parametrize("other", [[], None, {}, {"tool": "fio"}])
def test_other_json_is_no_results_file(other: object) -> None:
    with pytest.raises(BenchError, match=r"x\.json is no results file: give"):
        from_document(other, "x.json")


@pytest.mark.parametrize("text", ["", "{", "x", "\x00", "[" * 100_000, '{"a": "\udc80"}'])
def test_what_is_not_json_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BenchError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path} is no results file: it is not JSON")
    assert "\n" not in str(caught.value)


def test_half_a_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, _results())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BenchError, match="is no results file: it is not JSON, or cut short"):
        load(path)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.json does not exist: give the results\.json"):
        load(tmp_path / "none.json")
    with pytest.raises(BenchError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_file_that_cannot_be_saved_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"No such file or directory: give another .* --out"):
        save(tmp_path / "none" / "results.json", _results())
    occupied = tmp_path / "results.json"
    occupied.mkdir()
    with pytest.raises(BenchError, match="Is a directory"):
        save(occupied, _results())
    assert os.listdir(tmp_path) == ["results.json"]


def test_a_number_that_json_lacks_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, _results())
    broken = dataclasses.replace(_results(), seconds=float("inf"))
    with pytest.raises(BenchError, match="seconds: a finite number is needed, inf is there"):
        save(path, broken)
    assert load(path) == _results()
