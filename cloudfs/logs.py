"""Where log records go: stderr, the journal, or a file of bounded size.

It configures the root logger once per process. It does not know the options' sources, nor who logs
what.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cloudfs.errors import ExitCode, UserError

LOGGERS: Final = ("cloudfs", "cloudfs_cache", "cloudfs_backends")

_FILE_BYTES_MOST: Final = 10_000_000
_FILE_BACKUPS: Final = 3
_CLOCK: Final = "%(asctime)s %(levelname)s %(message)s"
_DATED: Final = "%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s"

# sd-daemon(3): the journal takes the priority from this prefix.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_PRIORITY_OF_DEBUG: Final = 7


class JournalFormatter(logging.Formatter):
    """Prefixes every line with its priority; the journal keeps the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with a prefix on each of its lines."""
        levels = (priority for level, priority in _PRIORITIES if record.levelno >= level)
        prefix = f"<{next(levels, _PRIORITY_OF_DEBUG)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def setup(*, debug: bool, log_file: Path | None, environ: Mapping[str, str] = os.environ) -> None:
    """Send log records and Python's warnings to `log_file`, or to stderr when it is None.

    Records of cloudfs are shown from INFO on, with `debug` from DEBUG on; those of libraries from
    WARNING on. Replaces what an earlier call set up. Raises `UserError` when the file cannot be
    written.
    """
    handler = _stderr_handler(environ) if log_file is None else _file_handler(log_file)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)
    logging.captureWarnings(capture=True)


def _stderr_handler(environ: Mapping[str, str]) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    in_journal = "JOURNAL_STREAM" in environ
    handler.setFormatter(
        JournalFormatter("%(message)s") if in_journal else logging.Formatter(_CLOCK, "%H:%M:%S")
    )
    return handler


def _file_handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=_FILE_BYTES_MOST, backupCount=_FILE_BACKUPS, encoding="utf-8"
        )
    except OSError as error:
        fix = "give another file with --log-file"
        message = f"cannot write the log file {path}: {error.strerror}: {fix}"
        raise UserError(ExitCode.USAGE, message) from None
    handler.setFormatter(logging.Formatter(_DATED))
    return handler
