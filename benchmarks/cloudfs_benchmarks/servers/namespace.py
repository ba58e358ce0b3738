"""A network namespace with one veth pair, whose end inside is limited in rate. Root only.

Everything made here is taken away by the stack, also after a failure half way: names and addresses
belong to this run alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError

_COMMAND_S = 10.0
_SUBNETS = 256
_NAMESPACES = Path("/run/netns")
# A bucket of 4 MB is 6 ms at 5 Gbit/s: small beside the first-byte delay, large beside a segment.
_BURST = "4mb"
_LATENCY = "40ms"


@dataclass(frozen=True, slots=True)
class Namespace:
    """`prefix` starts a command inside; `address` is what the server inside listens on."""

    prefix: tuple[str, ...]
    address: str


def create(children: Children, total_gbit: float) -> Namespace:
    """Make the namespace, its link and its limit; `children.stack` takes them away again."""
    name = _free_name()
    outer, inner = f"{name}o", f"{name}i"
    subnet = _free_subnet()
    with children.gate.deferred():
        children.stack.callback(_remove, name, outer)
        _ip("netns", "add", name)
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
    _ip("addr", "add", f"{subnet}.1/30", "dev", outer)
    _ip("link", "set", outer, "up")
    _ip("-n", name, "addr", "add", f"{subnet}.2/30", "dev", inner)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "link", "set", inner, "up")
    rate = f"{total_gbit * 1000:.0f}mbit"
    limit = ("tbf", "rate", rate, "burst", _BURST, "latency", _LATENCY)
    _run(["tc", "-n", name, "qdisc", "add", "dev", inner, "root", *limit])
    # Not `ip netns exec`: that makes a mount namespace too, whose copies of the mounts that are
    # there at that moment keep them alive after they are unmounted.
    return Namespace(("nsenter", f"--net={_NAMESPACES / name}"), f"{subnet}.2")


def _free_name() -> str:
    """A name of this process's that no namespace has; with an `o` behind it fits an interface."""
    for number in range(_SUBNETS):
        name = f"cfs{os.getpid()}n{number}"
        if not (_NAMESPACES / name).exists():
            return name
    raise StageError(f"this run has {_SUBNETS} network namespaces already")


def _free_subnet() -> str:
    """The first three bytes of a 10.x network that no address of this machine lies in."""
    taken = _run(["ip", "-o", "-4", "addr"])
    for number in range(_SUBNETS):
        subnet = f"10.231.{number}"
        if f" {subnet}." not in taken:
            return subnet
    raise StageError("every network of 10.231.0.0/16 is taken on this machine")


def _remove(name: str, outer: str) -> None:
    for arguments in (("link", "del", outer), ("netns", "del", name)):
        with suppress(StageError):
            _ip(*arguments)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        raise StageError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
