"""Options of logs, metrics and traces."""

from __future__ import annotations

from typing import Final

from cloudfs.config.option import Heading, Option
from cloudfs.config.types import FILE, LISTEN, LOG_FORMAT, PRICE, SWITCH

OPTIONS: Final = (
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
        "Human-readable log lines, or one JSON object a line.",
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
        minimum=0,
        maximum=10,
    ),
    Option(
        "record_visits",
        FILE,
        Heading.LOGGING,
        "File to append a trace of what is read to, for the eviction simulator.",
    ),
)
