from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cloudfs import options
from cloudfs.cli.reference import render_markdown
from cloudfs.config import MountSettings
from cloudfs.options import OPTIONS

DOCS = Path(__file__).parents[3] / "docs"


def test_the_table_and_the_settings_have_the_same_fields() -> None:
    fields = {field.name for field in dataclasses.fields(MountSettings)} - {"url", "mountpoint"}
    assert {option.name for option in options.settings_options()} == fields


def test_every_spelling_is_unique() -> None:
    spellings = [
        spelling
        for option in OPTIONS
        for spelling in (option.flag, option.short, option.extra_word)
        if spelling
    ]
    assert len(spellings) == len(set(spellings))


def test_spellings_follow_from_the_name() -> None:
    option = options.BY_NAME["max_cache_size"]
    assert option.flag == "--max-cache-size"
    assert option.key == "max-cache-size"
    assert option.variable == "CLOUDFS_MAX_CACHE_SIZE"
    assert options.find("max-cache-size") is option
    assert options.find("max_cache_size") is option
    assert options.find("cache") is None


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_default_is_accepted_by_its_own_parser(option: options.Option) -> None:
    if option.default is not None:
        assert option.parse(option.kind.show(option.default)) == option.default


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("memory_limit", "63MiB", "at least 64MiB"),
        ("max_downloads", "0", "between 1 and 256"),
        ("max_downloads", "257", "between 1 and 256"),
        ("kernel_read_ahead", "17MiB", "between 0B and 16MiB"),
        ("retry_budget", "indefinite", "between 0s and 1h"),
        ("file_mode", "1777", "at most 0777"),
    ],
)
def test_a_value_out_of_range_names_the_range(name: str, text: str, accepted: str) -> None:
    with pytest.raises(ValueError, match=accepted):
        options.BY_NAME[name].parse(text)


@pytest.mark.parametrize("text", ["", "s3.example.com", "ftp://host", "https://"])
def test_endpoints_are_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        options.BY_NAME["endpoint_url"].parse(text)


def test_the_reference_is_current() -> None:
    command = "python -m cloudfs.cli.reference > docs/options.md"
    assert (DOCS / "options.md").read_text() == render_markdown(), f"run: {command}"
