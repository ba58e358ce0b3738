"""The table of metrics: all that is exposed, documented and tested.

Labels have few values, known beforehand or given by the operator: operations, kinds of errors,
cache directories, the mountpoint. Never a key, a name below the mount, a bucket or a secret.
"""

from __future__ import annotations

from typing import Final

from cloudfs.status.prometheus import samples
from cloudfs.status.prometheus.metric import MetricDefinition, MetricType, Stability

_COUNTER, _GAUGE, _HISTOGRAM = MetricType.COUNTER, MetricType.GAUGE, MetricType.HISTOGRAM
_STABLE, _EXPERIMENTAL = Stability.STABLE, Stability.EXPERIMENTAL

DEFINITIONS: Final = (
    # The mount
    MetricDefinition(
        "cloudfs_build_info", _GAUGE, ("version",), _STABLE,
        "Always 1: the version of cloudfs that serves the mount.",
        "Which version runs where?", samples.build,
    ),
    MetricDefinition(
        "cloudfs_mount_info", _GAUGE, ("mountpoint", "backend"), _STABLE,
        "Always 1: where the mount is, and the kind of its store (s3, gs, az, file).",
        "Which mount is this target?", samples.mount,
    ),
    MetricDefinition(
        "cloudfs_mount_uptime_seconds", _GAUGE, (), _STABLE,
        "Seconds since the mount was made.",
        "Was it restarted?", samples.value(lambda of: of.uptime_s),
    ),
    MetricDefinition(
        "cloudfs_health", _GAUGE, ("state",), _STABLE,
        "1 for the state that the mount is in, 0 for the others: ok, or degraded while a cache "
        "directory is not used as it should be, or the store fails or keeps readers waiting.",
        "Is anything wrong?", samples.health,
    ),
    MetricDefinition(
        "cloudfs_inodes", _GAUGE, (), _EXPERIMENTAL,
        "Files and directories that the kernel knows at this moment.",
        "Why does the daemon's memory grow?", samples.value(lambda of: of.inodes),
    ),
    MetricDefinition(
        "cloudfs_hidden_names", _GAUGE, (), _EXPERIMENTAL,
        "Objects met so far that no path can name, and that are not shown.",
        "Are objects missing in the listings?", samples.value(lambda of: of.hidden_names),
    ),
    # FUSE requests
    MetricDefinition(
        "cloudfs_fuse_requests_total", _COUNTER, ("op",), _STABLE,
        "FUSE requests that were answered.",
        "What does the training do all the time?", samples.fuse(lambda of: of.requests),
    ),
    MetricDefinition(
        "cloudfs_fuse_request_errors_total", _COUNTER, ("op", "errno"), _STABLE,
        "FUSE requests that were answered with an errno; a name that is not there is "
        "no error.",
        "Do programs get errors?", samples.fuse_errors,
    ),
    MetricDefinition(
        "cloudfs_fuse_request_duration_seconds", _HISTOGRAM, ("op",), _STABLE,
        "Time from a FUSE request to its answer.",
        "How long do programs wait?", samples.fuse_durations,
    ),
    MetricDefinition(
        "cloudfs_fuse_read_bytes_total", _COUNTER, (), _STABLE,
        "Bytes delivered to readers; what the kernel's page cache serves is not seen here.",
        "How fast is the training fed?", samples.value(lambda of: of.fuse.read_bytes),
    ),
    MetricDefinition(
        "cloudfs_fuse_inflight_requests", _GAUGE, (), _STABLE,
        "FUSE requests in flight.",
        "How much is in flight at once?", samples.value(lambda of: of.fuse.inflight),
    ),
    MetricDefinition(
        "cloudfs_waiting_requests", _GAUGE, (), _STABLE,
        "FUSE requests that wait for something else than the processor.",
        "How many readers wait?", samples.value(lambda of: of.waiting_count),
    ),
    MetricDefinition(
        "cloudfs_waiting_longest_seconds", _GAUGE, ("waits_for",), _STABLE,
        "How long the request that has waited longest for the store, a disk, memory or something "
        "else waits already; 0 when none does. Of the 20 longest waits.",
        "Is a reader stuck, and on what?", samples.longest_waits,
    ),
    # The cache
    MetricDefinition(
        "cloudfs_cache_hit_bytes_total", _COUNTER, ("tier",), _STABLE,
        "Bytes delivered to readers that were in memory, or on an SSD, when the read came.",
        "What does the cache save?", samples.hit_bytes,
    ),
    MetricDefinition(
        "cloudfs_cache_miss_bytes_total", _COUNTER, (), _STABLE,
        "Bytes delivered to readers that had to come from the store first, read ahead or not.",
        "What share of the reads goes to the bucket?",
        samples.value(lambda of: of.sources.store_bytes),
    ),
    MetricDefinition(
        "cloudfs_cache_hits_total", _COUNTER, ("tier", "directory"), _STABLE,
        "Blocks that a tier was asked for and had.",
        "Which tier answers?", samples.by_tier(lambda of: of.hits),
    ),
    MetricDefinition(
        "cloudfs_cache_misses_total", _COUNTER, ("tier", "directory"), _STABLE,
        "Blocks that a tier was asked for and did not have.",
        "Which tier does not answer?", samples.by_tier(lambda of: of.misses),
    ),
    MetricDefinition(
        "cloudfs_cache_bytes", _GAUGE, ("tier", "directory"), _STABLE,
        "Bytes that the tier holds; of a directory those of all the mounts that share it.",
        "How full is the cache?", samples.by_tier(lambda of: of.used_bytes),
    ),
    MetricDefinition(
        "cloudfs_cache_capacity_bytes", _GAUGE, ("tier", "directory"), _STABLE,
        "Bytes that the tier may hold.",
        "How large may the cache grow?", samples.by_tier(lambda of: of.capacity_bytes),
    ),
    MetricDefinition(
        "cloudfs_cache_free_bytes", _GAUGE, ("directory",), _STABLE,
        "Free bytes of the file system below the cache directory.",
        "Does something else fill the disk?", samples.by_directory(lambda of: of.free_bytes),
    ),
    MetricDefinition(
        "cloudfs_cache_state", _GAUGE, ("directory", "state"), _STABLE,
        "1 for the state that the cache directory is in, 0 for the others: ok, read-only (nothing "
        "is written), bypassed (not asked at all), left out (not usable when the mount was made).",
        "Is an SSD out of use?", samples.disk_states,
    ),
    MetricDefinition(
        "cloudfs_cache_writes_total", _COUNTER, ("directory",), _STABLE,
        "Blocks written to the cache directory by this mount.",
        "How much is written to the SSD?", samples.by_directory(lambda of: of.writes),
    ),
    MetricDefinition(
        "cloudfs_cache_evictions_total", _COUNTER, ("directory",), _STABLE,
        "Blocks that this mount removed to make room.",
        "Is the cache too small?", samples.by_directory(lambda of: of.evictions),
    ),
    MetricDefinition(
        "cloudfs_cache_unwritten_total", _COUNTER, ("directory", "reason"), _STABLE,
        "Blocks that were not written: rejected, for they are worth less than what they would "
        "displace, or skipped, for they came faster than the disk takes them or it takes none.",
        "Why does the cache not fill?",
        samples.by_directory_and(lambda of: {"rejected": of.rejected, "skipped": of.skipped}),
    ),
    MetricDefinition(
        "cloudfs_cache_io_errors_total", _COUNTER, ("directory", "kind"), _STABLE,
        "Failures of the cache directory: an error of the system, a stall (no answer in time), "
        "or a corrupt block, which is fetched again.",
        "Is an SSD failing?",
        samples.by_directory_and(
            lambda of: {"error": of.errors, "stall": of.stalls, "corrupt": of.corrupt}
        ),
    ),
    MetricDefinition(
        "cloudfs_cache_compression_freed_bytes_total", _COUNTER, ("directory",), _EXPERIMENTAL,
        "Bytes that recompression with lz4 has freed.",
        "What does compression save?", samples.by_directory(lambda of: of.recompressed_bytes),
    ),
    MetricDefinition(
        "cloudfs_cache_unsaved_bytes", _GAUGE, (), _EXPERIMENTAL,
        "Bytes in memory that are on their way to an SSD.",
        "Does the SSD keep up?", samples.value(lambda of: of.populate.waiting_bytes),
    ),
    MetricDefinition(
        "cloudfs_catalog_lookups_total", _COUNTER, ("outcome",), _EXPERIMENTAL,
        "Lookups of listings and attributes in the catalog on the SSD, by outcome: hit or miss.",
        "Do restarts find the names?", samples.catalog,
    ),
    MetricDefinition(
        "cloudfs_catalog_errors_total", _COUNTER, (), _EXPERIMENTAL,
        "Failures of the catalog of names.",
        "Is the catalog in use?", samples.value(lambda of: of.catalog.errors),
    ),
    # Reading ahead
    MetricDefinition(
        "cloudfs_prefetch_issued_bytes_total", _COUNTER, (), _STABLE,
        "Bytes fetched, or to be fetched, ahead of the readers.",
        "How much is read ahead?", samples.value(lambda of: of.prefetch.issued_bytes),
    ),
    MetricDefinition(
        "cloudfs_prefetch_used_bytes_total", _COUNTER, (), _STABLE,
        "Bytes read ahead that were then read.",
        "Does reading ahead help?", samples.value(lambda of: of.prefetch.used_bytes),
    ),
    MetricDefinition(
        "cloudfs_prefetch_wasted_bytes_total", _COUNTER, (), _STABLE,
        "Bytes read ahead that were evicted unread.",
        "Is too much read ahead?", samples.value(lambda of: of.prefetch.wasted_bytes),
    ),
    MetricDefinition(
        "cloudfs_prefetch_queue_depth", _GAUGE, (), _EXPERIMENTAL,
        "Requests for read-ahead that have not been started.",
        "Is the link the limit?", samples.value(lambda of: of.prefetch.queued),
    ),
    # The store
    MetricDefinition(
        "cloudfs_store_requests_total", _COUNTER, ("backend", "op"), _STABLE,
        "Requests to the store, each attempt counted.",
        "What is the bucket asked for?", samples.store(lambda of: of.requests),
    ),
    MetricDefinition(
        "cloudfs_store_errors_total", _COUNTER, ("backend", "op", "kind"), _STABLE,
        "Requests to the store that failed, by the kind of the error; throttled is one of them.",
        "Does the store fail, and how?", samples.store_errors,
    ),
    MetricDefinition(
        "cloudfs_store_retries_total", _COUNTER, ("backend", "op"), _STABLE,
        "Requests that were made again.",
        "How much is hidden by retries?", samples.store(lambda of: of.retries),
    ),
    MetricDefinition(
        "cloudfs_store_request_duration_seconds", _HISTOGRAM, ("backend", "op"), _STABLE,
        "Time from a request to the store to the end of its answer.",
        "How slow is the store?",
        samples.store_durations,
    ),
    MetricDefinition(
        "cloudfs_store_first_byte_seconds", _HISTOGRAM, ("backend", "op"), _STABLE,
        "Time from a GET to the first bytes of its body.",
        "Is it latency, or bandwidth?",
        samples.store_first_byte,
    ),
    MetricDefinition(
        "cloudfs_store_received_bytes_total", _COUNTER, ("backend",), _STABLE,
        "Bytes of bodies received from the store.",
        "How busy is the link, and what is paid for?", samples.received,
    ),
    # Threads
    MetricDefinition(
        "cloudfs_threads_busy", _GAUGE, ("limiter", "directory"), _EXPERIMENTAL,
        "Worker threads that move bytes of the store (store-data), ask it for names "
        "(store-metadata), or are inside a cache directory (disk).",
        "Is --max-downloads, or a disk, the limit?", samples.threads(waiting=False),
    ),
    MetricDefinition(
        "cloudfs_threads_waiting", _GAUGE, ("limiter", "directory"), _EXPERIMENTAL,
        "Work that waits for such a thread.",
        "Would more at once be done?", samples.threads(waiting=True),
    ),
    MetricDefinition(
        "cloudfs_cost_usd_total", _COUNTER, ("kind",), _EXPERIMENTAL,
        "Estimate in US dollars from list prices of what the requests, and the egress at "
        "--egress-price, have cost. Absent where the price is not known.",
        "What does this mount cost?", samples.cost,
    ),
)  # fmt: skip
"""In the order in which they are exposed and documented."""

BY_NAME: Final = {definition.name: definition for definition in DEFINITIONS}
