from __future__ import annotations

import math
import tomllib

import pytest

from cloudfs.config import path_policy
from cloudfs.config.path_policy import PathPolicies, PathPolicy, PolicyTable, parse_tables
from cloudfs.errors import ExitCode, UserError
from cloudfs.units import MIB
from cloudfs_cache.api import Placement

TEXT = """
[[policy]]
match = "checkpoints/**"
cache = false
ttl = 0

[[policy]]
match = "*.h5"
block-size = "8MiB"
ttl = "5m"

[[policy]]
match = "/index.json"
pin = true
ttl = "indefinite"

[[policy]]
match = "**"
pin = false
block_size = 2097152
"""


def tables_of(text: str) -> tuple[PolicyTable, ...]:
    return parse_tables("/x.toml", tomllib.loads(text)["policy"])


def test_tables_are_read_in_their_order() -> None:
    assert tables_of(TEXT) == (
        PolicyTable("checkpoints/**", cache=False, ttl_s=0),
        PolicyTable("*.h5", block_bytes=8 * MIB, ttl_s=300),
        PolicyTable("/index.json", pin=True, ttl_s=math.inf),
        PolicyTable("**", pin=False, block_bytes=2 * MIB),
    )


def test_each_field_comes_from_the_first_table_that_sets_it() -> None:
    policies = PathPolicies(tables_of(TEXT))
    for _ in range(2):
        assert policies.of("a/b.h5") == PathPolicy(Placement(fetch_blocks=8), 300)
        assert policies.of("checkpoints/b.h5") == PathPolicy(
            Placement(keep_on_disk=False, fetch_blocks=8), 0
        )
        assert policies.of("index.json") == PathPolicy(
            Placement(pinned=True, fetch_blocks=2), math.inf
        )
        assert policies.of("a/index.json") == PathPolicy(Placement(fetch_blocks=2), None)
    assert policies.placement("a/b.h5").fetch_blocks == 8
    assert policies.ttl("checkpoints/") == 0
    assert policies.ttl("other/") is None


def test_without_tables_the_defaults_hold() -> None:
    assert PathPolicies([]).of("any") == PathPolicy(Placement(), None)


def test_what_is_not_cached_is_not_pinned() -> None:
    tables = [PolicyTable("a/**", cache=False), PolicyTable("**", pin=True)]
    assert PathPolicies(tables).placement("a/b") == Placement(keep_on_disk=False)
    assert PathPolicies(tables).placement("b") == Placement(pinned=True)


def test_tables_are_shown_as_they_are_written() -> None:
    assert list(map(str, tables_of(TEXT))) == [
        "checkpoints/**: cache = false, ttl = 0s",
        "*.h5: ttl = 5m, block-size = 8 MiB",
        "/index.json: pin = true, ttl = indefinite",
        "**: pin = false, block-size = 2 MiB",
    ]


def test_resolved_policies_are_cached_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_policy, "_LRU_MAX", 2)
    policies = PathPolicies([PolicyTable("*.h5", pin=True)])
    for key in ("a.h5", "b", "c.h5", "a.h5"):
        assert policies.placement(key).pinned is key.endswith("h5")
    assert policies._resolve_cached.cache_info().currsize == 2


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("cache = false", "match = 'checkpoints/**'"),
        ("match = '*'", "cache, pin, ttl or block-size"),
        ("match = '*'\nchache = false", "'chache': did you mean cache?"),
        ("match = '*'\nxyzzy = 1", "'xyzzy': keys are match, cache"),
        ("match = 5\npin = true", "match has the wrong type"),
        ("match = '['\npin = true", "'[' for match"),
        ("match = ''\npin = true", "'' for match"),
        ("match = '*'\ncache = 'no'", "cache = false"),
        ("match = '*'\npin = 1", "pin = true"),
        ("match = '*'\nttl = true", "ttl = '5m'"),
        ("match = '*'\nttl = 'soon'", "'soon' for ttl"),
        ("match = '*'\nttl = -1", "-1 for ttl"),
        ("match = '*'\nblock-size = 1.5", "block-size has the wrong type"),
        ("match = '*'\nblock-size = 0", "0 for block-size"),
        ("match = '*'\nblock-size = '1.5MiB'", "multiple of 1MiB"),
        ("match = '*'\nblock-size = '65MiB'", "multiple of 1MiB"),
        ("match = '*'\nblock-size = 1048576\nblock_size = 1048576", "block_size is written twice"),
        ("match = '*'\ncache = false\npin = true", "pin = true and cache = false"),
    ],
)
def test_a_bad_table_is_named_by_file_and_number(table: str, named: str) -> None:
    text = f"[[policy]]\nmatch = 'fine'\npin = true\n[[policy]]\n{table}\n"
    with pytest.raises(UserError) as caught:
        tables_of(text)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.message.startswith("/x.toml: [[policy]] 2: ")
    assert named in caught.value.message
    assert "\n" not in caught.value.message
