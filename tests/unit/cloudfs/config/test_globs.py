from __future__ import annotations

import pytest

from cloudfs.config import globs


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (
            "checkpoints/**",
            ["checkpoints/a", "checkpoints/a/b"],
            ["checkpoints", "x/checkpoints/a"],
        ),
        ("checkpoints/", ["checkpoints/a", "checkpoints/a/b"], ["checkpoints", "x/checkpoints/a"]),
        # The directory itself, whose listing has a TTL.
        ("checkpoints/**", ["checkpoints/"], ["x/", ""]),
        ("checkpoints/*", ["checkpoints/a", "checkpoints/"], ["checkpoints/a/b"]),
        ("checkpoints", ["checkpoints", "x/checkpoints", "checkpoints/a"], ["checkpoints2"]),
        ("/checkpoints", ["checkpoints"], ["x/checkpoints", "checkpoints/a"]),
        ("*.h5", ["a.h5", ".h5", "x/a.h5", "x.h5/part"], ["a.h5x", "ah5"]),
        ("**/*.h5", ["a.h5", "x/y/a.h5"], ["a.h5/x"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab", "a/xb", "a/b/c"]),
        ("a/*/b", ["a/x/b"], ["a/x/y/b", "a/b"]),
        ("a**b/c", ["ab/c", "ax/y/zb/c"], ["ab"]),
        ("run-?/*.h5", ["run-1/a.h5"], ["run-12/a.h5", "run-/a.h5"]),
        ("?", ["a", "x/b"], ["ab", ""]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
        ("[!a-c]x", ["dx"], ["ax", "x"]),
        ("[^a]/b", ["c/b"], ["a/b", "//b"]),
        ("[]]", ["]"], ["a"]),
        ("[[]", ["["], ["a"]),
        ("[a^&&b|~-]", ["a", "^", "&", "b", "|", "~", "-"], ["c"]),
        ("x[--0]y/z", ["x.y/z"], ["x/y/z"]),
        ("a.b+c(d)|e", ["a.b+c(d)|e"], ["aXb+c(d)|e"]),
        ("line\nbreak/*", ["line\nbreak/\n"], ["line"]),
        ("**", ["", "a", "a/b"], []),
        ("\udc80*", ["\udc80a"], ["a"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    matches = globs.compile_glob(pattern)
    assert [key for key in matching if not matches(key)] == []
    assert [key for key in other if matches(key)] == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "write a pattern"),
        ("/", "write a pattern"),
        ("a[b", "'\\[' has no '\\]'"),
        ("a[b/c]", "'\\[' has no '\\]'"),
        ("[]", "'\\[' has no '\\]'|is empty"),
        ("[z-a]", "'\\[z-a\\]' is not a set of characters"),
    ],
)
def test_bad_patterns_say_what_to_write(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        globs.compile_glob(pattern)


def test_any_of() -> None:
    matches = globs.any_of(["*.h5", "a/**"])
    assert [key for key in ("x.h5", "a/b", "b") if matches(key)] == ["x.h5", "a/b"]
    assert globs.any_of([])("anything")
