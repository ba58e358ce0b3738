"""Emptying and filling the caches between a target's files and their reader, with proof.

Of a cloudfs mount there are four: the page cache of the mount, the daemon's memory, the SSD tier,
and the page cache below the SSD tier. `cloudfs cache evict` empties the second and third,
dropping pages the others. Nothing outside the folder that is measured is evicted or invalidated;
drop_caches, where root may, drops clean pages of the whole machine.
"""

from __future__ import annotations

import io
import ipaddress
import json
import os
import posixpath
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.residency import drop, resident_share, spread
from cloudfs_benchmarks.bench.results import CacheState, Kind, Target
from cloudfs_benchmarks.bench.targets import commandline
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.bench.targets.urls import parse_nfs
from cloudfs_benchmarks.readpath import pages

_UNPROVEN = CacheState.UNPROVEN
_COLD_MAX, _WARM_MIN = 0.01, 0.99
_STEER_S = 300.0
_EVICTIONS = 3
_ASKED_MAX = 2000
_BLOCK_BYTES = 1 << 20
_LIBNFS = "libnfs keeps nothing"
_CACHED_XATTR = "user.cloudfs.cached"


@dataclass(frozen=True, slots=True)
class Proof:
    """A state, and in words how it was established."""

    state: CacheState
    text: str


def of_names(proof: Proof, kind: Kind, *, dropped: bool) -> Proof:
    """What a proof about pages says about names: only root can have them `dropped` by the kernel.

    A cloudfs mount takes its own back, and libnfs keeps none.
    """
    if dropped or kind in (Kind.CLOUDFS, Kind.LIBNFS):
        return proof
    return Proof(_UNPROVEN, f"{proof.text}; names may be in caches that only root can drop")


class Caches:
    """The caches before one target. Paths are the tree's.

    What cannot be read is a `TargetError`.
    """

    def __init__(self, target: Target, tree: Tree) -> None:
        self._target = target
        self._tree = tree
        self._provable: bool | None = None

    def make_cold(self, paths: Sequence[str], folder: str) -> Proof:
        """Empty the caches of `paths`, and of a cloudfs mount everything below `folder`.

        `UNPROVEN` with what is in the way where that did not work or cannot be seen.
        """
        with self._failures():
            return self._cold(paths, folder)

    def _cold(self, paths: Sequence[str], folder: str) -> Proof:
        if self._target.kind is Kind.LIBNFS:
            return self._cold_libnfs()
        self._drop_pages(paths)
        share = resident_share(spread(self._natives(paths)))
        state = CacheState.COLD if share is not None and share < _COLD_MAX else _UNPROVEN
        texts = [_pages_text(share)]
        if self._target.kind is Kind.CLOUDFS:
            proof = self._evict(folder)
            state = state if proof.state is CacheState.COLD else _UNPROVEN
            texts.append(proof.text)
        elif self._target.kind is Kind.FUSE:
            state = _UNPROVEN
            texts.append("what this FUSE filesystem itself keeps cannot be seen")
        elif self._target.kind is Kind.NFS:
            texts.append("the server's memory is out of reach")
        return Proof(state, "; ".join(texts))

    def make_ssd_warm(self, paths: Sequence[str]) -> Proof:
        """Have a cloudfs mount hold the files itself, and drop the pages over and below its SSDs.

        What it does not hold is read once. `ValueError` for other targets, which have no tier.
        """
        if self._target.kind is not Kind.CLOUDFS:
            raise ValueError(f"target {self._target.name} has no SSD tier")
        with self._failures():
            return self._ssd_warm(paths)

    def _ssd_warm(self, paths: Sequence[str]) -> Proof:
        asked = spread(self._natives(paths), _ASKED_MAX)
        if _local_share(asked) < _WARM_MIN:
            self._drop_pages(paths)  # a read that finds pages does not come to the mount
            self._read_through(paths)
        self._drop_pages(paths)
        local = _local_share(asked)
        share = resident_share(spread(asked))
        cold = share is not None and share < _COLD_MAX
        return Proof(
            CacheState.SSD_WARM if cold and local >= _WARM_MIN else _UNPROVEN,
            f"{_pages_text(share)}; {local:.1%} of the bytes are local to the mount, on its SSD or "
            f"in the daemon's memory ({_CACHED_XATTR} of {len(asked)} files)",
        )

    def make_ram_warm(self, paths: Sequence[str]) -> Proof:
        """Read every file through once; `UNPROVEN` unless its pages stayed."""
        with self._failures():
            self._read_through(paths)
            share = resident_share(spread(self._natives(paths)))
        if self._target.kind is Kind.LIBNFS:
            return Proof(_UNPROVEN, "read once; libnfs keeps nothing on this machine")
        warm = share is not None and share > _WARM_MIN
        return Proof(CacheState.RAM_WARM if warm else _UNPROVEN, f"read once; {_pages_text(share)}")

    def cold_method(self) -> str:
        """How `make_cold` works here, for the plan."""
        if self._target.kind is Kind.LIBNFS:
            return "nothing to drop: libnfs keeps nothing"
        root = "drop_caches and " if pages.may_drop_all() else ""
        steer = ", cloudfs cache evict" if self._target.kind is Kind.CLOUDFS else ""
        return f"{root}POSIX_FADV_DONTNEED for each file{steer}, proven by the kernel's page counts"

    def can_prove_cold(self) -> bool:
        """Whether `make_cold` can succeed: tried once, by dropping the pages of one file."""
        if self._provable is None:
            match self._target.kind:
                case Kind.LIBNFS:
                    self._provable = True
                case Kind.FUSE:
                    self._provable = False
                case _:
                    return self._tried()
        return self._provable

    def _tried(self) -> bool:
        """Try it on the first file that is there; without one nothing is settled yet."""
        with self._failures():
            path = next((path for path, size in self._tree.walk("") if size), None)
            if path is None:
                return pages.may_drop_all()
            with self._tree.open(path) as file:
                file.read(_BLOCK_BYTES)
            self._drop_pages([path])
            share = resident_share(self._natives([path]))
        empty = share is not None and share < _COLD_MAX
        self._provable = empty and (self._target.kind is not Kind.CLOUDFS or self._answers())
        return self._provable

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TargetError(
                f"target {self._target.name}: {error.filename or self._target.location}: "
                f"{error.strerror}, while its caches were prepared"
            ) from error

    def _answers(self) -> bool:
        try:
            return commandline.status(self._target.location).get("health") != "dead"
        except TargetError:
            return False

    def _drop_pages(self, paths: Sequence[str]) -> None:
        if pages.may_drop_all():
            pages.drop(())
        elif self._target.kind is Kind.CLOUDFS:
            # The files below the SSD tier are this user's as the mount is.
            pages.drop(self._cache_folders())
        for path in self._natives(paths):
            drop(path)

    def _cache_folders(self) -> list[Path]:
        folders = self._target.settings.get("cache_dirs", "").split(", ")
        return [Path(folder) for folder in folders if folder and os.access(folder, os.R_OK)]

    def _evict(self, folder: str) -> Proof:
        """Evict what is below `folder` from the mount and make it ask for the names again."""
        where = posixpath.join(self._target.location, folder).rstrip("/")
        try:
            local = self._evicted(where)
            commandline.run("cache", "invalidate", where, timeout_s=_STEER_S)
            pins = 0 if local == 0 else self._pins()
        except TargetError as error:
            return Proof(_UNPROVEN, f"the mount could not be emptied: {error}")
        if local == 0:
            return Proof(CacheState.COLD, f"evicted: {_CACHED_XATTR} counts 0 bytes local")
        reason = f"; the mount has {pins} pinned (see `cloudfs cache info`)" if pins else ""
        return Proof(_UNPROVEN, f"{local} bytes are still local to the mount{reason}")

    def _evicted(self, where: str) -> int:
        """Evict; returns the bytes that are local afterwards."""
        # A block that is being read or written stays, so that one time may not be enough.
        for _ in range(_EVICTIONS):
            commandline.run("cache", "evict", where, timeout_s=_STEER_S)
            local = _local(where)[0]
            if local == 0:
                break
        return local

    def _pins(self) -> int:
        location = self._target.location
        output = commandline.run("cache", "info", location, "--json", timeout_s=_STEER_S)
        return sum(int(mount["pins_total"]) for mount in json.loads(output)["mounts"])

    def _cold_libnfs(self) -> Proof:
        """Nothing is kept on the client's side; a server on this machine loses its pages, too."""
        if not pages.may_drop_all():
            return Proof(CacheState.COLD, f"{_LIBNFS}; the server's memory is out of reach")
        pages.drop(())
        if _is_this_machine(parse_nfs(self._target.location).server):
            return Proof(
                CacheState.COLD,
                f"{_LIBNFS}; the server is this machine, whose page cache was dropped",
            )
        return Proof(
            CacheState.COLD,
            f"{_LIBNFS}; the page cache of this machine was dropped, the memory of a server "
            "elsewhere is out of reach",
        )

    def _read_through(self, paths: Sequence[str]) -> None:
        block = bytearray(_BLOCK_BYTES)
        for path in paths:
            with cast("io.RawIOBase", self._tree.open(path)) as file:
                while file.readinto(block):
                    pass

    def _natives(self, paths: Sequence[str]) -> list[str]:
        natives = (self._tree.native(path) for path in paths)
        return [native for native in natives if native is not None]


def _pages_text(share: float | None) -> str:
    if share is None:
        return "how many pages are in the page cache cannot be seen: the files are another user's"
    return f"{share:.1%} of the pages are in the page cache"


def _local_share(paths: Sequence[str]) -> float:
    """The share of the files' bytes that a read would not fetch from the store."""
    local = size = 0
    for path in paths:
        part, whole = _local(path)
        local += part
        size += whole
    return local / size if size else 1.0


def _local(path: str) -> tuple[int, int]:
    """The bytes of a file or a tree in a cloudfs mount that are local, and all of them."""
    part, _, whole = os.getxattr(path, _CACHED_XATTR).decode("ascii").partition("/")
    return int(part), int(whole)


def _is_this_machine(server: str) -> bool:
    """Whether an address is one of this machine's: a socket can be bound to it."""
    try:
        address = socket.getaddrinfo(server, 0, type=socket.SOCK_STREAM)[0]
        if ipaddress.ip_address(address[4][0]).is_loopback:
            return True
        with socket.socket(address[0], address[1]) as probe:
            probe.bind(address[4])
    except OSError:
        return False
    return True
