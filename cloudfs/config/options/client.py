"""Options of memory, concurrency, read-ahead and retries."""

from __future__ import annotations

from typing import Final

from cloudfs.config.option import Heading, Option
from cloudfs.config.types import COUNT, DURATION, SIZE
from cloudfs.units import GIB, MIB

OPTIONS: Final = (
    Option(
        "memory_limit",
        SIZE,
        Heading.CLIENT,
        "Most memory for data: cached blocks, read-ahead and requests under way.",
        default_text="the smaller of 1GiB and 1/8 of the memory",
        minimum=64 * MIB,
    ),
    Option(
        "max_downloads",
        COUNT,
        Heading.CLIENT,
        "Most downloads at one time.",
        default=32,
        minimum=1,
        maximum=256,
    ),
    Option(
        "read_ahead",
        SIZE,
        Heading.CLIENT,
        "Largest read-ahead window of one stream; 0 turns read-ahead off.",
        default=128 * MIB,
        minimum=0,
        maximum=16 * GIB,
    ),
    Option(
        "kernel_read_ahead",
        SIZE,
        Heading.CLIENT,
        "Read-ahead of the kernel on this mount; setting it needs root.",
        default=1 * MIB,
        minimum=0,
        maximum=16 * MIB,
    ),
    Option(
        "retry_budget",
        DURATION,
        Heading.CLIENT,
        "How long one operation may keep retrying before it fails with an I/O error.",
        default=30.0,
        minimum=0,
        maximum=3600,
    ),
)
