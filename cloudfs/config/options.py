"""The one table of mount options.

Flags, `CLOUDFS_*` variables, TOML keys, `-o` words, the help, the manual page and the reference in
docs/configuration.md all come from `OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloudfs.config.option import Heading, Option
from cloudfs.config.types import (
    CACHE_DIRECTORY,
    COMPRESS,
    CONFIG,
    COUNT,
    DURATION,
    ENDPOINT,
    EVICTION,
    FILE,
    LISTEN,
    LOG_FORMAT,
    MODE,
    MOUNTPOINT,
    PRICE,
    SIZE,
    SWITCH,
    TEXT,
    URL,
)
from cloudfs.units import GIB, MIB

ID_LARGEST: Final = 2**32 - 2

OPTIONS: Final[tuple[Option, ...]] = (
    Option(
        "url",
        URL,
        Heading.BUCKET,
        "Bucket or prefix to mount: s3://bucket/prefix, gs://, az://, file:///folder.",
        setting=False,
        argument=True,
    ),
    Option(
        "region",
        TEXT,
        Heading.BUCKET,
        "Region of the bucket.",
        default_text="from the environment or the profile",
    ),
    Option(
        "force_path_style",
        SWITCH,
        Heading.BUCKET,
        "Write the bucket into the path of requests instead of the host name.",
        default=False,
    ),
    Option(
        "endpoint_url",
        ENDPOINT,
        Heading.ENDPOINT,
        "Address of a compatible store or an emulator.",
        default_text="the cloud's own",
    ),
    Option(
        "profile",
        TEXT,
        Heading.ENDPOINT,
        "Named profile of the AWS configuration to take credentials from.",
        default_text="the SDK's default",
    ),
    Option(
        "no_sign_request",
        SWITCH,
        Heading.ENDPOINT,
        "Send anonymous requests, for public buckets.",
        default=False,
    ),
    Option(
        "requester_pays",
        SWITCH,
        Heading.ENDPOINT,
        "Pay for the requests to an S3 bucket whose owner does not.",
        default=False,
    ),
    Option(
        "sse_customer_key",
        FILE,
        Heading.ENDPOINT,
        "File with the key (32 bytes, raw or base64) that S3 objects are encrypted with (SSE-C).",
    ),
    Option(
        "user_project",
        TEXT,
        Heading.ENDPOINT,
        "Google Cloud project that pays for the requests.",
    ),
    Option(
        "azure_account",
        TEXT,
        Heading.ENDPOINT,
        "Azure storage account of the container.",
        default_text="from AZURE_STORAGE_ACCOUNT or the connection string",
    ),
    Option(
        "mountpoint",
        MOUNTPOINT,
        Heading.MOUNT,
        "Empty directory to mount on, or /dev/fd/N for a FUSE device that the caller has mounted.",
        setting=False,
        argument=True,
    ),
    Option(
        "read_only",
        SWITCH,
        Heading.MOUNT,
        "Refuse every change.",
        default=False,
        extra_word="ro",
    ),
    Option(
        "allow_other",
        SWITCH,
        Heading.MOUNT,
        "Let other users, root included, use the mount.",
        default=False,
    ),
    Option(
        "uid",
        COUNT,
        Heading.MOUNT,
        "User id that owns every file.",
        default_text="the mounting user",
        most=ID_LARGEST,
    ),
    Option(
        "gid",
        COUNT,
        Heading.MOUNT,
        "Group id that owns every file.",
        default_text="the mounting user's group",
        most=ID_LARGEST,
    ),
    Option(
        "umask",
        MODE,
        Heading.MOUNT,
        "Permission bits taken away from --file-mode and --dir-mode.",
        default=0o022,
        most=0o777,
    ),
    Option(
        "file_mode",
        MODE,
        Heading.MOUNT,
        "Permission bits of files.",
        default=0o644,
        most=0o777,
    ),
    Option(
        "dir_mode",
        MODE,
        Heading.MOUNT,
        "Permission bits of directories.",
        default=0o755,
        most=0o777,
    ),
    Option(
        "foreground",
        SWITCH,
        Heading.MOUNT,
        "Stay in the foreground until unmounted. This is the default.",
        default=False,
        short="-f",
        negates="background",
        setting=False,
    ),
    Option(
        "background",
        SWITCH,
        Heading.MOUNT,
        "Return as soon as the mount answers and serve it in the background.",
        default=False,
    ),
    Option(
        "config",
        CONFIG,
        Heading.MOUNT,
        "TOML file with options, or the NAME of one in ~/.config/cloudfs or /etc/cloudfs.",
        setting=False,
    ),
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
        "Whether blocks that nobody reads are compressed (lz4) before any are evicted.",
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
    Option(
        "memory_limit",
        SIZE,
        Heading.CLIENT,
        "Most memory for data: cached blocks, read-ahead and requests under way.",
        default_text="the smaller of 1GiB and 1/8 of the memory",
        least=64 * MIB,
    ),
    Option(
        "max_downloads",
        COUNT,
        Heading.CLIENT,
        "Most downloads at one time.",
        default=32,
        least=1,
        most=256,
    ),
    Option(
        "read_ahead",
        SIZE,
        Heading.CLIENT,
        "Largest read-ahead window of one stream; 0 turns read-ahead off.",
        default=128 * MIB,
        least=0,
        most=16 * GIB,
    ),
    Option(
        "kernel_read_ahead",
        SIZE,
        Heading.CLIENT,
        "Read-ahead of the kernel on this mount; setting it needs root.",
        default=1 * MIB,
        least=0,
        most=16 * MIB,
    ),
    Option(
        "retry_budget",
        DURATION,
        Heading.CLIENT,
        "How long one operation may keep retrying before it fails with an I/O error.",
        default=30.0,
        least=0,
        most=3600,
    ),
    Option(
        "debug",
        SWITCH,
        Heading.LOGGING,
        "Log what the mount does in detail.",
        default=False,
        short="-d",
    ),
    Option(
        "log_file",
        FILE,
        Heading.LOGGING,
        "File to log to, kept below 40 MB with its older parts.",
        default_text="stderr; in the background a file that `cloudfs status` names",
    ),
    Option(
        "log_format",
        LOG_FORMAT,
        Heading.LOGGING,
        "Log lines for people, or one JSON object a line.",
        default="text",
    ),
    Option(
        "metrics_address",
        LISTEN,
        Heading.LOGGING,
        "Serve Prometheus metrics there: a port of this machine, HOST:PORT, or unix:PATH.",
        default_text="not served",
    ),
    Option(
        "egress_price",
        PRICE,
        Heading.LOGGING,
        "US dollars per GB (10^9 bytes) read from the bucket, for the estimate of cost."
        " 0 suits a machine in the bucket's own region.",
        default=0.0,
        least=0,
        most=10,
    ),
    Option(
        "record_visits",
        FILE,
        Heading.LOGGING,
        "File to append a trace of what is read to, for the eviction simulator.",
    ),
)

BY_NAME: Final = {option.name: option for option in OPTIONS}
BY_FIELD: Final = {option.field: option for option in OPTIONS if option.setting}


def flag_options() -> Iterator[Option]:
    """Yield the options that have a flag: all but the arguments."""
    return (option for option in OPTIONS if not option.argument)


def settings_options() -> Iterator[Option]:
    """Yield the options that are fields of `MountSettings`."""
    return (option for option in OPTIONS if option.setting)


def find(spelling: str) -> Option | None:
    """Return the option written `spelling`, with `-` or `_`, or None."""
    return BY_NAME.get(spelling.replace("-", "_"))
