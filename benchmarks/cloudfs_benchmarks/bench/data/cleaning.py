"""The run's own folder in a target, `.cloudfs-bench-RUNID`, and its removal.

A marker file in it names the run and its process. Nothing is removed of a folder whose marker is
missing or names another run, no symbolic link is followed, and no other filesystem is entered.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.process_start import start_ticks
from cloudfs_benchmarks.bench.targets.tree import Tree

PREFIX = ".cloudfs-bench-"
MARKER_NAME = "cloudfs-bench-run.json"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MARKER_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Owner:
    """Who made a folder: the run, and the process by pid, start and boot of a host."""

    run: str
    pid: int
    start_ticks: int
    boot: str
    host: str

    @classmethod
    def this_process(cls, run: str) -> Owner:
        """The process that calls."""
        pid = os.getpid()
        return cls(run, pid, start_ticks(pid) or 0, _boot(), socket.gethostname())


class OwnerState(StrEnum):
    """Whether the run that made a folder still goes on."""

    RUNNING = "running"
    GONE = "gone"
    UNKNOWN = "unknown"  # of another host, or without a legible marker


@dataclass(frozen=True, slots=True)
class Leftover:
    """A run's folder in a target, by its name there."""

    name: str
    state: OwnerState


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder of this run in a target; `path` is relative to the target."""

    tree: Tree
    run: str

    @classmethod
    def create(cls, tree: Tree, run: str) -> RunFolder:
        """Make it, with its marker. `OSError` is the target's; `ValueError` for an unfit run id."""
        if not _RUN_ID.fullmatch(run):
            raise ValueError(f"{run!r} is no run id")
        folder = cls(tree, run)
        tree.make_folder(folder.path)
        text = json.dumps(asdict(Owner.this_process(run))) + "\n"
        try:
            tree.write(f"{folder.path}/{MARKER_NAME}", [text.encode()], sync=True)
        except OSError:
            folder._forget()
            raise
        return folder

    def _forget(self) -> None:
        """Undo a creation that got no further than the marker."""
        with suppress(FileNotFoundError):
            self.tree.remove(f"{self.path}/{MARKER_NAME}")
        self.tree.remove_folder(self.path)

    @property
    def path(self) -> str:
        """The folder's name in the target."""
        return PREFIX + self.run

    def remove(self) -> None:
        """Remove the folder and everything in it; nothing happens when it is gone.

        `BenchError`, and nothing removed, when it is not this run's, or holds another filesystem.
        `OSError` is the target's; the marker goes last, so that what is left can be removed later.
        """
        if self.path not in {entry.name for entry in self.tree.entries("")}:
            return
        owner = _owner(self.tree, self.path)
        if owner is None or owner.run != self.run:
            raise BenchError(
                f"{self.tree.location}/{self.path} has no marker of run {self.run}: "
                "look what it is and remove it by hand"
            )
        _remove_all(self.tree, self.path)


def leftovers(tree: Tree) -> list[Leftover]:
    """The folders of runs in a target, also of those going on. `OSError` is the target's."""
    found = []
    for entry in tree.entries(""):
        if entry.is_dir and entry.name.startswith(PREFIX) and not _is_link(tree, entry.name):
            found.append(Leftover(entry.name, _state(_owner(tree, entry.name), entry.name)))
    return found


def clean_leftovers(tree: Tree) -> list[str]:
    """Remove the folders of runs that are known to be gone; returns their names.

    `BenchError` and `OSError` as of `RunFolder.remove`.
    """
    names = [leftover.name for leftover in leftovers(tree) if leftover.state is OwnerState.GONE]
    for name in names:
        RunFolder(tree, name.removeprefix(PREFIX)).remove()
    return names


def _state(owner: Owner | None, name: str) -> OwnerState:
    if owner is None or name != PREFIX + owner.run or owner.host != socket.gethostname():
        return OwnerState.UNKNOWN
    if owner.boot == _boot() and start_ticks(owner.pid) == owner.start_ticks:
        return OwnerState.RUNNING
    return OwnerState.GONE


def _owner(tree: Tree, folder: str) -> Owner | None:
    """What the marker says; None without one that can be understood."""
    if _is_link(tree, folder) or _is_link(tree, f"{folder}/{MARKER_NAME}"):
        return None
    try:
        with closing(tree.open(f"{folder}/{MARKER_NAME}")) as file:
            return Owner(**json.loads(file.read(_MARKER_BYTES_MAX)))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remove_all(tree: Tree, top: str) -> None:
    """Remove `top`, its marker last. Everything is looked at before anything is removed."""
    marker = f"{top}/{MARKER_NAME}"
    found = list(_below(tree, top, _device(tree, top)))
    for path, is_folder in found:
        if is_folder:
            tree.remove_folder(path)
        elif path != marker:
            tree.remove(path)
    tree.remove(marker)
    tree.remove_folder(top)


def _below(tree: Tree, folder: str, device: int | None) -> Iterator[tuple[str, bool]]:
    """Everything below a folder, contents before what holds them, and whether it is a folder."""
    for entry in tree.entries(folder):
        path = f"{folder}/{entry.name}"
        is_folder = entry.is_dir and not _is_link(tree, path)
        if is_folder:
            if _device(tree, path) != device:
                raise BenchError(f"{tree.location}/{path} is a mount: unmount it and clean again")
            yield from _below(tree, path, device)
        yield path, is_folder


def _is_link(tree: Tree, path: str) -> bool:
    # A tree without native paths names links as what is no folder.
    native = tree.native(path)
    return native is not None and Path(native).is_symlink()


def _device(tree: Tree, path: str) -> int | None:
    native = tree.native(path)
    return None if native is None else os.lstat(native).st_dev


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
