"""Glob patterns over keys, as in `[[policy]]` tables and `--glob`.

`*` and `?` stay within a level, `**` crosses levels, `[..]` is one character. A pattern with a `/`
is matched against the whole key; one without is matched against each of its names, as gitignore
does, so `*.zarr` covers everything in a folder of that name. A trailing `/` means `/**`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

Match: TypeAlias = Callable[[str], bool]
"""The predicate of a pattern over keys that are relative to the root of the pattern.

The key of a directory ends with `/`; the directory of a subtree pattern (`a/**`) matches as well.
"""

_TOKEN: Final = re.compile(
    r"(?P<levels>(?:(?<=/)|^)\*\*/)"
    r"|(?P<all>\*\*+)"
    r"|(?P<star>\*)"
    r"|(?P<one>\?)"
    r"|\[(?P<not>[!^])?(?P<set>\]?[^\]/]*)\]"
    r"|(?P<open>\[)"
    r"|(?P<plain>.)",
    re.DOTALL,
)
_FIXED: Final = {"levels": "(?:[^/]+/)*", "all": ".*", "star": "[^/]*", "one": "[^/]"}


def compile_glob(pattern: str) -> Match:
    """Compile `pattern`; `ValueError` names the mistake and the fix."""
    stripped = pattern.removeprefix("/")
    if not stripped.strip("/"):
        raise ValueError("write a pattern such as 'checkpoints/**' or '*.h5'")
    if stripped.endswith("/"):
        stripped += "**"
    matches = re.compile(_regex(stripped), re.DOTALL).fullmatch
    if "/" in pattern:
        return lambda key: matches(key) is not None
    return lambda key: any(map(matches, key.split("/")))


def any_of(patterns: Iterable[str]) -> Match:
    """Return the union of the patterns; without patterns everything matches."""
    compiled = [compile_glob(pattern) for pattern in patterns]
    return lambda key: not compiled or any(matches(key) for matches in compiled)


def _regex(pattern: str) -> str:
    return "".join(map(_token_regex, _TOKEN.finditer(pattern)))


def _token_regex(token: re.Match[str]) -> str:
    if token["open"]:
        raise ValueError("'[' has no ']': close it, or write [[] for the character")
    if token["set"] is not None:
        return _set_regex(token["set"], negated=token["not"] is not None)
    if token["plain"] is not None:
        return re.escape(token["plain"])
    return next(regex for name, regex in _FIXED.items() if token[name])


def _set_regex(characters: str, *, negated: bool) -> str:
    """Return `[..]` as a regular expression: a set of characters and ranges, never of levels."""
    if not characters:
        raise ValueError("'[]' is empty: write the characters to match in it")
    inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", characters)
    text = f"[^/{inside}]" if negated else f"(?!/)[{inside}]"
    try:
        re.compile(text)
    except re.error:
        raise ValueError(f"'[{characters}]' is not a set of characters: write [a-z]") from None
    return text
