"""Log formats: text, JSON lines, and the journal's priority prefixes.

In every format secrets are redacted and a record cannot pass for several: control characters are
escaped, and the lines of a traceback are indented.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cloudfs.telemetry.redact import Redactor

_MESSAGE_MAX: Final = 16_384
_TRACEBACK_MAX: Final = 65_536
_FIELDS_MAX: Final = 32

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has; the others came with `extra`."""

# sd-daemon(3): the journal takes the priority from this prefix.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_PRIORITY_OF_DEBUG: Final = 7


class RedactingFormatter(logging.Formatter):
    """Formats the parts of a record without secrets. Never caches them in the record."""

    def __init__(
        self, redactor: Redactor, line: str = "%(message)s", clock: str | None = None
    ) -> None:
        super().__init__(line, clock)
        self._redactor = redactor

    def message(self, record: logging.LogRecord) -> str:
        """Return the message, cut at 16 KiB."""
        return self._redactor.redact(_cut(record.getMessage().strip("\n"), _MESSAGE_MAX))

    def traceback(self, record: logging.LogRecord) -> str:
        """Return the traceback and the stack of the record, cut at 64 KiB; "" without."""
        parts = []
        if record.exc_info and record.exc_info[0] is not None:
            parts.append(self.formatException(record.exc_info))
        elif record.exc_text:
            parts.append(record.exc_text)
        if record.stack_info:
            parts.append(record.stack_info)
        return self._redactor.redact(_cut("\n".join(parts), _TRACEBACK_MAX))


class TextFormatter(RedactingFormatter):
    """One line per record; the lines of a traceback follow it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        record.message = _escaped(self.message(record))
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        lines = [self.formatMessage(record)]
        lines += [f"  {_escaped(line)}" for line in self.traceback(record).splitlines()]
        return "\n".join(lines)


class JsonFormatter(RedactingFormatter):
    """One object per line: time, level, logger, message, pid, exception, fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a JSON object on one line, in ASCII."""
        document: dict[str, Any] = {
            "time": _iso_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
            "pid": record.process or os.getpid(),
        }
        if exception := self.traceback(record):
            document["exception"] = exception
        return json.dumps({**document, **self._extra(record), **document})

    def _extra(self, record: logging.LogRecord) -> dict[str, Any]:
        names = [name for name in vars(record) if name not in _STANDARD][:_FIELDS_MAX]
        fields = {name: _plain(getattr(record, name)) for name in names}
        redacted: dict[str, Any] = self._redactor.redact_all(fields)
        return redacted


class JournalFormatter(logging.Formatter):
    """Prefixes every line with its priority; the journal adds the time itself."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with a prefix on each of its lines."""
        levels = (priority for level, priority in _PRIORITIES if record.levelno >= level)
        prefix = f"<{next(levels, _PRIORITY_OF_DEBUG)}>"
        return "\n".join(prefix + line for line in self._inner.format(record).split("\n"))


def _escaped(text: str) -> str:
    """Return `text` on one line, free of control characters and of what no encoding has."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}... ({len(text)} characters)"


def _iso_time(seconds: float) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: object) -> object:
    """Return `value` as a JSON value: what JSON cannot represent becomes text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in list(value.items())[:_FIELDS_MAX]}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:_FIELDS_MAX]]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return _cut(str(value), _MESSAGE_MAX)
