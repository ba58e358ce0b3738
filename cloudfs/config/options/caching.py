"""Options of the disk cache and of cached metadata."""

from __future__ import annotations

from typing import Final

from cloudfs.config.option import Heading, Option
from cloudfs.config.types import CACHE_DIRECTORY, COMPRESS, DURATION, EVICTION, SIZE

OPTIONS: Final = (
    Option(
        "cache_dir",
        CACHE_DIRECTORY,
        Heading.CACHING,
        "Directory on a local SSD that keeps what was read, across mounts; once for each SSD.",
        default_text="/var/cache/cloudfs for root, else ~/.cache/cloudfs",
        repeated=True,
    ),
    Option(
        "max_cache_size",
        SIZE,
        Heading.CACHING,
        "Most bytes to keep in each --cache-dir without a SIZE; 0 turns the disk cache off.",
        default_text="as the free space allows",
    ),
    Option(
        "min_free_space",
        SIZE,
        Heading.CACHING,
        "Bytes of each cache disk to leave free for others.",
        default_text="the larger of 1GiB and 5% of the disk",
    ),
    Option(
        "compress",
        COMPRESS,
        Heading.CACHING,
        "Compress blocks that are not read any more (lz4) before any are evicted.",
        default="auto",
    ),
    Option(
        "eviction",
        EVICTION,
        Heading.CACHING,
        "What is evicted when the disk cache is full: epoch keeps a share of a dataset that is"
        " read again and again, lru what was read last.",
        default="epoch",
    ),
    Option(
        "metadata_ttl",
        DURATION,
        Heading.CACHING,
        "How long names, sizes and times may be served without asking the store.",
        default=60.0,
    ),
    Option(
        "negative_ttl",
        DURATION,
        Heading.CACHING,
        "How long a name may be said not to exist without asking the store.",
        default=5.0,
    ),
)
