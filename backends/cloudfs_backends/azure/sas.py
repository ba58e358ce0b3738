"""Shared access signatures: the permissions and validity in a token's fields.

The signature itself is neither checked nor shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

_NEEDED: Final = {"r": "read", "l": "list"}


@dataclass(frozen=True, slots=True)
class SasFields:
    """The fields of a SAS token that matter for reads. Times have a time zone.

    `permissions` is a string of letters; it and the times may instead be in the stored access
    policy `policy`, which the service keeps.
    """

    permissions: str
    starts_at: datetime | None
    expires_at: datetime | None
    policy: str

    def problem(self, now: datetime) -> str | None:
        """Return why the token is invalid at `now`, as a predicate for messages, or None."""
        if self.expires_at is not None and self.expires_at <= now:
            return f"expired at {_format_time(self.expires_at)}"
        if self.starts_at is not None and self.starts_at > now:
            return f"is not valid before {_format_time(self.starts_at)}"
        return None

    def notes(self) -> tuple[str, ...]:
        """Return sentences about the permissions."""
        if self.policy:
            return (f"its stored access policy is {self.policy}",)
        missing = [f"{what} ({letter})" for letter, what in _NEEDED.items()
                   if letter not in self.permissions]  # fmt: skip
        notes = (f"it permits sp={self.permissions}",)
        return (*notes, f"it does not permit to {' or '.join(missing)}") if missing else notes


def parse_sas(token: str) -> SasFields:
    """Return the fields of a token, without missing and malformed ones."""
    fields = dict(parse_qsl(token))
    return SasFields(
        permissions=fields.get("sp", ""),
        starts_at=_time(fields.get("st", "")),
        expires_at=_time(fields.get("se", "")),
        policy=fields.get("si", ""),
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
