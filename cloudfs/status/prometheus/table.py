"""The one table of metrics: everything that is exposed, documented and tested is in it.

Labels have few values, known beforehand or given by the operator: operations, kinds of errors,
cache directories, the mountpoint. Never a key, a name below the mount, a bucket or a secret.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from cloudfs.status.prometheus import readers
from cloudfs.status.prometheus.definition import Definition, Stability, Type, figure

_COUNTER, _GAUGE, _HISTOGRAM = Type.COUNTER, Type.GAUGE, Type.HISTOGRAM
_STABLE, _EXPERIMENTAL = Stability.STABLE, Stability.EXPERIMENTAL

DEFINITIONS: Final = (
    # The mount
    Definition(
        "cloudfs_build_info", _GAUGE, ("version",), _STABLE,
        "Always 1: the version of cloudfs that serves the mount.",
        "Which version runs where?", readers.build,
    ),
    Definition(
        "cloudfs_mount_info", _GAUGE, ("mountpoint", "backend"), _STABLE,
        "Always 1: where the mount is, and the kind of its store (s3, gs, az, file).",
        "Which mount is this target?", readers.mount,
    ),
    Definition(
        "cloudfs_mount_uptime_seconds", _GAUGE, (), _STABLE,
        "Seconds since the mount was made.",
        "Was it restarted?", figure("uptime_s"),
    ),
    Definition(
        "cloudfs_health", _GAUGE, ("state",), _STABLE,
        "1 for the state that the mount is in, 0 for the others: ok, or degraded while a cache "
        "directory is not used as it should be, or the store fails or keeps readers waiting.",
        "Is anything wrong?", readers.health,
    ),
    Definition(
        "cloudfs_inodes", _GAUGE, (), _EXPERIMENTAL,
        "Files and directories that the kernel knows at this moment.",
        "Why does the daemon's memory grow?", figure("inodes"),
    ),
    Definition(
        "cloudfs_hidden_names", _GAUGE, (), _EXPERIMENTAL,
        "Objects met so far that no path can name, and that are not shown.",
        "Are objects missing in the listings?", figure("hidden_names"),
    ),
    # Requests of the kernel
    Definition(
        "cloudfs_fuse_requests_total", _COUNTER, ("op",), _STABLE,
        "Requests of the kernel that were answered.",
        "What does the training do all the time?", readers.fuse("requests"),
    ),
    Definition(
        "cloudfs_fuse_request_errors_total", _COUNTER, ("op", "errno"), _STABLE,
        "Requests of the kernel that were answered with an errno; a name that is not there is "
        "no error.",
        "Do programs get errors?", readers.fuse_errors,
    ),
    Definition(
        "cloudfs_fuse_request_duration_seconds", _HISTOGRAM, ("op",), _STABLE,
        "Time from a request of the kernel to its answer.",
        "How long do programs wait?", readers.fuse_durations,
    ),
    Definition(
        "cloudfs_fuse_read_bytes_total", _COUNTER, (), _STABLE,
        "Bytes delivered to readers; what the kernel's page cache serves is not seen here.",
        "How fast is the training fed?", figure("fuse", "read_bytes"),
    ),
    Definition(
        "cloudfs_fuse_inflight_requests", _GAUGE, (), _STABLE,
        "Requests of the kernel under way.",
        "How much is asked for at once?", figure("fuse", "inflight"),
    ),
    Definition(
        "cloudfs_waiting_requests", _GAUGE, (), _STABLE,
        "Requests of the kernel that wait for something else than the processor.",
        "How many readers wait?", figure("waiting_count"),
    ),
    Definition(
        "cloudfs_waiting_longest_seconds", _GAUGE, ("waits_for",), _STABLE,
        "How long the request that has waited longest for the store, a disk, memory or something "
        "else waits already; 0 when none does. Of the 20 longest waits.",
        "Is somebody stuck, and on what?", readers.longest_waits,
    ),
    # The cache
    Definition(
        "cloudfs_cache_hit_bytes_total", _COUNTER, ("tier",), _STABLE,
        "Bytes delivered to readers that were in memory, or on an SSD, when the read came.",
        "What does the cache save?", readers.hit_bytes,
    ),
    Definition(
        "cloudfs_cache_miss_bytes_total", _COUNTER, (), _STABLE,
        "Bytes delivered to readers that had to come from the store first, read ahead or not.",
        "What share of the reads goes to the bucket?", figure("sources", "store_bytes"),
    ),
    Definition(
        "cloudfs_cache_hits_total", _COUNTER, ("tier", "directory"), _STABLE,
        "Blocks that were looked for in a tier and found.",
        "Which tier answers?", readers.by_tier("hits"),
    ),
    Definition(
        "cloudfs_cache_misses_total", _COUNTER, ("tier", "directory"), _STABLE,
        "Blocks that were looked for in a tier and not found.",
        "Which tier does not answer?", readers.by_tier("misses"),
    ),
    Definition(
        "cloudfs_cache_bytes", _GAUGE, ("tier", "directory"), _STABLE,
        "Bytes that the tier holds; of a directory those of all the mounts that share it.",
        "How full is the cache?", readers.by_tier("used_bytes"),
    ),
    Definition(
        "cloudfs_cache_capacity_bytes", _GAUGE, ("tier", "directory"), _STABLE,
        "Bytes that the tier may hold.",
        "How large may the cache grow?", readers.by_tier("capacity_bytes"),
    ),
    Definition(
        "cloudfs_cache_free_bytes", _GAUGE, ("directory",), _STABLE,
        "Free bytes of the file system below the cache directory.",
        "Does something else fill the disk?", readers.by_directory("free_bytes"),
    ),
    Definition(
        "cloudfs_cache_state", _GAUGE, ("directory", "state"), _STABLE,
        "1 for the state that the cache directory is in, 0 for the others: ok, read-only (nothing "
        "is written), bypassed (not asked at all), left out (not usable when the mount was made).",
        "Is an SSD out of use?", readers.disk_states,
    ),
    Definition(
        "cloudfs_cache_writes_total", _COUNTER, ("directory",), _STABLE,
        "Blocks written to the cache directory by this mount.",
        "How much is written to the SSD?", readers.by_directory("writes"),
    ),
    Definition(
        "cloudfs_cache_evictions_total", _COUNTER, ("directory",), _STABLE,
        "Blocks that this mount removed to make room.",
        "Is the cache too small?", readers.by_directory("evictions"),
    ),
    Definition(
        "cloudfs_cache_unwritten_total", _COUNTER, ("directory", "reason"), _STABLE,
        "Blocks that were not written: rejected, for they are worth less than what they would "
        "displace, or skipped, for they came faster than the disk takes them or it takes none.",
        "Why does the cache not fill?",
        readers.by_directory_and({"rejected": "rejected", "skipped": "skipped"}),
    ),
    Definition(
        "cloudfs_cache_io_errors_total", _COUNTER, ("directory", "kind"), _STABLE,
        "Failures of the cache directory: an error of the system, a stall (no answer in time), "
        "or a corrupt block, which is fetched again.",
        "Is an SSD failing?",
        readers.by_directory_and({"errors": "error", "stalls": "stall", "corrupt": "corrupt"}),
    ),
    Definition(
        "cloudfs_cache_compression_freed_bytes_total", _COUNTER, ("directory",), _EXPERIMENTAL,
        "Bytes that recompression with lz4 has freed.",
        "What does compression save?", readers.by_directory("recompressed_bytes"),
    ),
    Definition(
        "cloudfs_cache_unsaved_bytes", _GAUGE, (), _EXPERIMENTAL,
        "Bytes in memory that are on their way to an SSD.",
        "Does the SSD keep up?", figure("populate", "waiting_bytes"),
    ),
    Definition(
        "cloudfs_catalog_lookups_total", _COUNTER, ("outcome",), _EXPERIMENTAL,
        "Listings and attributes looked for in the catalog on the SSD, by outcome: hit or miss.",
        "Do restarts find the names?", readers.catalog,
    ),
    Definition(
        "cloudfs_catalog_errors_total", _COUNTER, (), _EXPERIMENTAL,
        "Failures of the catalog of names.",
        "Is the catalog in use?", figure("catalog", "errors"),
    ),
    # Reading ahead
    Definition(
        "cloudfs_prefetch_issued_bytes_total", _COUNTER, (), _STABLE,
        "Bytes asked for ahead of the readers.",
        "How much is read ahead?", figure("prefetch", "issued_bytes"),
    ),
    Definition(
        "cloudfs_prefetch_used_bytes_total", _COUNTER, (), _STABLE,
        "Bytes read ahead that were then read.",
        "Does reading ahead help?", figure("prefetch", "used_bytes"),
    ),
    Definition(
        "cloudfs_prefetch_wasted_bytes_total", _COUNTER, (), _STABLE,
        "Bytes read ahead that were dropped unread.",
        "Is too much read ahead?", figure("prefetch", "wasted_bytes"),
    ),
    Definition(
        "cloudfs_prefetch_queue_depth", _GAUGE, (), _EXPERIMENTAL,
        "Requests for read-ahead that have not been started.",
        "Is the link the limit?", figure("prefetch", "queued"),
    ),
    # The store
    Definition(
        "cloudfs_store_requests_total", _COUNTER, ("backend", "op"), _STABLE,
        "Requests to the store, each attempt counted.",
        "What is the bucket asked for?", readers.store("requests"),
    ),
    Definition(
        "cloudfs_store_errors_total", _COUNTER, ("backend", "op", "kind"), _STABLE,
        "Requests to the store that failed, by the kind of the error; throttled is one of them.",
        "Does the store fail, and how?", readers.store_errors,
    ),
    Definition(
        "cloudfs_store_retries_total", _COUNTER, ("backend", "op"), _STABLE,
        "Requests that were made again.",
        "How much is hidden by retries?", readers.store("retries"),
    ),
    Definition(
        "cloudfs_store_request_duration_seconds", _HISTOGRAM, ("backend", "op"), _STABLE,
        "Time from a request to the store to the end of its answer.",
        "How slow is the store?",
        partial(readers.store_histogram, "durations", "seconds"),
    ),
    Definition(
        "cloudfs_store_first_byte_seconds", _HISTOGRAM, ("backend", "op"), _STABLE,
        "Time from a GET to the first bytes of its body.",
        "Is it latency, or bandwidth?",
        partial(readers.store_histogram, "first_byte", "first_byte_seconds"),
    ),
    Definition(
        "cloudfs_store_received_bytes_total", _COUNTER, ("backend",), _STABLE,
        "Bytes of bodies received from the store.",
        "How busy is the link, and what is paid for?", readers.received,
    ),
    # Threads
    Definition(
        "cloudfs_threads_busy", _GAUGE, ("limiter", "directory"), _EXPERIMENTAL,
        "Worker threads that move bytes of the store (store-data), ask it for names "
        "(store-metadata), or are inside a cache directory (disk).",
        "Is --max-downloads, or a disk, the limit?", readers.threads("busy"),
    ),
    Definition(
        "cloudfs_threads_waiting", _GAUGE, ("limiter", "directory"), _EXPERIMENTAL,
        "Work that waits for such a thread.",
        "Would more at once be done?", readers.threads("waiting"),
    ),
    Definition(
        "cloudfs_cost_usd_total", _COUNTER, ("kind",), _EXPERIMENTAL,
        "Estimate in US dollars from list prices of what the requests, and the egress at "
        "--egress-price, have cost. Absent where the price is not known.",
        "What does this mount cost?", readers.cost,
    ),
)  # fmt: skip
"""In the order in which they are exposed and documented."""

BY_NAME: Final = {definition.name: definition for definition in DEFINITIONS}
