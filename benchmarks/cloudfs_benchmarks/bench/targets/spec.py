"""What the user names as targets: NAME=PATH, NAME=nfs://SERVER/EXPORT, or a path alone."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from cloudfs_benchmarks.bench.errors import BenchError, TargetError
from cloudfs_benchmarks.bench.targets.mounts import Mount, check_answers, mount_of
from cloudfs_benchmarks.bench.targets.urls import SCHEME, parse_nfs

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_NAME_RULE = "a name is 1 to 32 letters, digits, `.`, `_` and `-`, and begins with one of the first"


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target as it was asked for; `location` is an absolute path or an nfs:// URL."""

    name: str
    location: str


def parse_targets(texts: Sequence[str]) -> tuple[TargetSpec, ...]:
    """Parse what was given for `--target`, in order; `BenchError` in one line with the fix.

    Names are all different, and so are the files: no target is, or lies in, another one. Whether
    the targets are there is not asked.
    """
    if not texts:
        raise BenchError("no target: name at least one with --target NAME=PATH")
    specs = tuple(_parse(text) for text in texts)
    for first, second in combinations(specs, 2):
        if first.name == second.name:
            raise BenchError(f"two targets are named {first.name}: give one of them another name")
        _check_apart(first, second)
    return specs


def _parse(text: str) -> TargetSpec:
    name, equals, location = text.partition("=")
    if not equals or "/" in name:  # a path that has a `=` in it is no name
        name, location = "", text
    elif not name:
        raise BenchError(f"target {text!r} has no name: write NAME=PATH")
    if not location:
        raise BenchError(f"target {text!r} has no path: write NAME=PATH")
    if location.startswith(SCHEME):
        url = parse_nfs(location)
        name = name or url.path.rpartition("/")[2]
    elif "://" in location:
        raise TargetError(
            f"{location}: only nfs:// URLs can be targets; mount it and name the directory"
        )
    else:
        location = os.path.abspath(os.path.expanduser(location))
        name = name or os.path.basename(location)
    if _NAME.fullmatch(name) is None:
        raise BenchError(f"target {text!r}: {name!r} is no name; {_NAME_RULE}: write NAME=PATH")
    return TargetSpec(name, location)


def _check_apart(first: TargetSpec, second: TargetSpec) -> None:
    of_first, of_second = _place(first.location), _place(second.location)
    if of_first == of_second:
        raise BenchError(f"targets {first.name} and {second.name} are the same: leave one out")
    for inner, outer, (mount, path), (other, above) in (
        (first, second, of_first, of_second),
        (second, first, of_second, of_first),
    ):
        if mount == other and path.startswith(f"{above.rstrip('/')}/"):
            raise BenchError(
                f"target {inner.name} lies inside target {outer.name}, on the same filesystem: "
                "name folders beside each other"
            )


def _place(location: str) -> tuple[Mount | str, str]:
    """The filesystem or server of a target, and its path there."""
    if location.startswith(SCHEME):
        url = parse_nfs(location)
        return f"{url.server}:{url.port}", url.path
    try:
        check_answers(location)
    except TargetError:
        path = location  # as it is written: following links would hang, and `inspect` will say so
    else:
        path = os.path.realpath(location)
    return mount_of(path), path
