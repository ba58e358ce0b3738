"""Kernel tuning of a FUSE mount, right after mounting: read-ahead and background requests.

`read_ahead_kb` decides how large the READ requests of a sequential reader are, `max_background` how
many of them the kernel keeps in flight; setting either needs root. Blocks for microseconds (sysfs):
worker threads only.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

MAX_BACKGROUND: Final = 128


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """The settings in force; None where they could not be read, or before the mount answers."""

    read_ahead_bytes: int | None
    max_background: int | None


def tune(device: tuple[int, int], read_ahead_bytes: int) -> KernelSettings:
    """Set read-ahead and background requests of the mount on `device` (major, minor).

    Without the rights, log what is lost and what to run as root. Return what is in force then.
    """
    read_ahead, background, congestion = _paths(device)
    kib = read_ahead_bytes >> 10
    if not _write(read_ahead, kib):
        log.warning(
            "no right to set the kernel's read-ahead: sequential reads will be several times "
            "slower; as root run: echo %d > %s",
            kib,
            read_ahead,
        )
    threshold = MAX_BACKGROUND * 3 // 4
    if not (_write(background, MAX_BACKGROUND) and _write(congestion, threshold)):
        log.info(
            "the kernel keeps 12 requests of read-ahead in flight instead of %d, which slows many "
            "readers at once; as root run: mount -t fusectl fusectl /sys/fs/fuse/connections; "
            "echo %d > %s; echo %d > %s",
            MAX_BACKGROUND,
            MAX_BACKGROUND,
            background,
            threshold,
            congestion,
        )
    return current(device)


def current(device: tuple[int, int]) -> KernelSettings:
    """Return the settings in force."""
    read_ahead, background, _ = _paths(device)
    kib = _read(read_ahead)
    return KernelSettings(None if kib is None else kib << 10, _read(background))


def _paths(device: tuple[int, int]) -> tuple[str, str, str]:
    major, minor = device
    connection = f"/sys/fs/fuse/connections/{minor}"
    return (
        f"/sys/class/bdi/{major}:{minor}/read_ahead_kb",
        f"{connection}/max_background",
        f"{connection}/congestion_threshold",
    )


def _write(path: str, value: int) -> bool:
    if _read(path) == value:
        return True
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{value}\n")
    except OSError:
        return False
    return True


def _read(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None
