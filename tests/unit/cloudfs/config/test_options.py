from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cloudfs.cli.reference import replaced
from cloudfs.config import options
from cloudfs.config.option import Option
from cloudfs.config.options import OPTIONS
from cloudfs.config.settings import MountSettings
from cloudfs.config.types import CacheDirSpec
from cloudfs.units import GIB

DOCS = Path(__file__).parents[4] / "docs"


def test_the_table_and_the_settings_have_the_same_fields() -> None:
    fields = {field.name for field in dataclasses.fields(MountSettings)}
    fields -= {"url", "mountpoint", "policies"}
    assert {option.field for option in options.settings_options()} == fields
    assert set(options.BY_FIELD) == fields


def test_every_spelling_is_unique() -> None:
    spellings = [
        spelling
        for option in OPTIONS
        for spelling in (option.flag, option.short, option.alias)
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


def test_a_repeated_option_has_a_field_in_the_plural() -> None:
    assert options.BY_NAME["cache_dir"].field == "cache_dirs"
    assert [option.name for option in OPTIONS if option.repeated] == ["cache_dir"]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_default_is_accepted_by_its_own_parser(option: Option) -> None:
    if option.default is not None:
        assert option.parse(option.type.show(option.default)) == option.default


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        ("memory_limit", "63MiB", "at least 64MiB"),
        ("max_downloads", "0", "between 1 and 256"),
        ("max_downloads", "257", "between 1 and 256"),
        ("kernel_read_ahead", "17MiB", "between 0B and 16MiB"),
        ("retry_budget", "indefinite", "between 0s and 1h"),
        ("file_mode", "1777", "at most 0777"),
        ("compress", "lz4", "write auto or off"),
        ("eviction", "", "write epoch or lru"),
    ],
)
def test_a_value_out_of_range_names_the_range(name: str, text: str, accepted: str) -> None:
    with pytest.raises(ValueError, match=accepted):
        options.BY_NAME[name].parse(text)


@pytest.mark.parametrize(
    ("text", "path", "size"),
    [
        ("/ssd", "/ssd", None),
        ("/ssd:10GiB", "/ssd", 10 * GIB),
        ("/ssd:1000", "/ssd", 1000),
        ("/a:b/c:1.5 TiB", "/a:b/c", 1536 * GIB),
        ("/run:2/", "/run:2", None),
        ("/a:b", "/a:b", None),
        ("/a:", "/a:", None),
        ("/a:1.5", "/a:1.5", None),
        ("/a,b", "/a,b", None),
    ],
)
def test_a_cache_directory_may_have_a_size(text: str, path: str, size: int | None) -> None:
    assert options.BY_NAME["cache_dir"].parse(text) == CacheDirSpec(Path(path), size)


@pytest.mark.parametrize(
    "text", ["", "  ", "/ssd:0", "/ssd:0GiB", ":10GiB", "/ssd:10Gi", "/ssd:-5", "/ssd:1.5XB"]
)
def test_a_cache_directory_is_a_name_and_a_size_above_0(text: str) -> None:
    with pytest.raises(ValueError, match="write a"):
        options.BY_NAME["cache_dir"].parse(text)


def test_a_cache_directory_is_shown_as_it_is_written() -> None:
    for text in ("/ssd", "/ssd:10GiB"):
        assert str(options.BY_NAME["cache_dir"].parse(text)) == text


def test_choices_do_not_care_about_case() -> None:
    assert options.BY_NAME["compress"].parse(" OFF ") == "off"


@pytest.mark.parametrize("text", ["", "s3.example.com", "ftp://host", "https://"])
def test_endpoints_are_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        options.BY_NAME["endpoint_url"].parse(text)


def test_the_reference_is_current() -> None:
    command = "python -m cloudfs.cli.reference docs/configuration.md"
    page = (DOCS / "configuration.md").read_text()
    assert replaced(page) == page, f"run: {command}"
