from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("512B", 512),
        ("8M", 8 * 1024**2),
        ("8MiB", 8 * 1024**2),
        ("8 mib", 8 * 1024**2),
        ("8MB", 8_000_000),
        ("1.5GiB", 3 * 512 * 1024**2),
        ("0.1K", 102),
        ("2T", 2 * 1024**4),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "8Q", "8iB", "-1", "1.5", "1e3", "MiB", "8MiBB", "٣", "inf", "1.5B", "0x10"]
)
def test_bad_sizes_say_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="8MiB"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("0", 0), ("500ms", 0.5), ("1.5s", 1.5), ("5m", 300), ("2h", 7200), ("1d", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


def test_indefinite_is_infinite() -> None:
    assert units.parse_duration(" Indefinite ") == math.inf


@pytest.mark.parametrize("text", ["", "-1s", "5 minutes", "inf", "nan", "s", "1h30m"])
def test_bad_durations_say_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match="indefinite"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "mode"), [("644", 0o644), ("0644", 0o644), ("0o22", 0o22), ("0", 0), ("7777", 0o7777)]
)
def test_modes_are_octal(text: str, mode: int) -> None:
    assert units.parse_mode(text) == mode


@pytest.mark.parametrize("text", ["", "888", "0x1", "-1", "u=rw", "12345"])
def test_bad_modes(text: str) -> None:
    with pytest.raises(ValueError, match="octal"):
        units.parse_mode(text)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "²", "one"])
def test_bad_counts(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        units.parse_count(text)


def test_switches() -> None:
    assert [units.parse_switch(text) for text in ("1", "TRUE", "yes", "on")] == [True] * 4
    assert [units.parse_switch(text) for text in ("0", "false", "No", "off")] == [False] * 4
    with pytest.raises(ValueError, match="true or false"):
        units.parse_switch("maybe")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (3 * 512 * 1024**2, "1.50 GiB"),
        (50 * 1024**2 + 1, "50.0 MiB"),
        (1024**6, "1024 PiB"),
    ],
)
def test_shown_sizes(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.integers(0, 2**20), st.sampled_from(["KiB", "MiB", "GiB"]))
def test_a_round_size_survives_being_shown(count: int, unit: str) -> None:
    size = units.parse_size(f"{count}{unit}")
    if units.format_size(size).split()[0].isdigit():
        assert units.parse_size(units.format_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (30, "30s"),
        (60, "1m"),
        (303, "5m 3s"),
        (86400 + 3600, "1d 1h"),
        (86400 + 60, "1d"),
        (math.inf, "indefinite"),
    ],
)
def test_shown_durations(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text
