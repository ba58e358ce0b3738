"""Logging set-up: records go to stderr, the journal, or a rotated file of bounded size."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError
from cloudfs.telemetry.logs.formats import (
    JournalFormatter,
    JsonFormatter,
    RedactingFormatter,
    TextFormatter,
)
from cloudfs.telemetry.logs.rate_limit import RateLimitingHandler
from cloudfs.telemetry.redact import Redactor

LOGGERS: Final = ("cloudfs", "cloudfs_cache", "cloudfs_backends")

_FILE_BYTES_MAX: Final = 10_000_000
_FILE_BACKUPS: Final = 3
_CLOCK: Final = "%H:%M:%S"
_DATE_AND_CLOCK: Final = "%Y-%m-%d %H:%M:%S"


def setup(
    log_file: Path | None,
    log_format: str,
    *,
    debug: bool,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send log records and Python's warnings to `log_file`, or to stderr when it is None.

    `log_format` is `text` or `json`. Records of cloudfs are shown from INFO on, with `debug` from
    DEBUG on; those of libraries from WARNING on, because at DEBUG they hold headers and signatures.
    Secrets are redacted, those of `environ` wherever they occur, and repeats are rate limited.
    Replaces the set-up of an earlier call. Raises `UserError` when the file cannot be written.
    """
    handler = _file_handler(log_file) if log_file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_file, log_format, environ))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(RateLimitingHandler(handler))
    root.setLevel(logging.WARNING)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)


def _formatter(
    log_file: Path | None, log_format: str, environ: Mapping[str, str]
) -> logging.Formatter:
    redactor = Redactor(environ)
    in_journal = log_file is None and _is_journal(environ.get("JOURNAL_STREAM", ""))
    formatter: RedactingFormatter
    if log_format == "json":
        formatter = JsonFormatter(redactor)
    elif in_journal:
        formatter = TextFormatter(redactor, "%(message)s")
    elif log_file is None:
        formatter = TextFormatter(redactor, "%(asctime)s %(levelname)s %(message)s", _CLOCK)
    else:
        dated = "%(asctime)s.%(msecs)03d %(levelname)s [%(process)d] %(name)s: %(message)s"
        formatter = TextFormatter(redactor, dated, _DATE_AND_CLOCK)
    return JournalFormatter(formatter) if in_journal else formatter


def _is_journal(stream: str) -> bool:
    """Return whether stderr is the journal's stream, which systemd names as DEVICE:INODE.

    The variable alone is no proof: a child whose stderr is redirected inherits it.
    """
    try:
        stat = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{stat.st_dev}:{stat.st_ino}"


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            path,
            maxBytes=_FILE_BYTES_MAX,
            backupCount=_FILE_BACKUPS,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        fix = "give another file with --log-file"
        message = f"cannot write the log file {path}: {error.strerror}: {fix}"
        raise UserError(ExitCode.USAGE, message) from None
