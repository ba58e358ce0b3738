"""What a shared access signature says of itself: what it permits and until when.

Text in, values out. The signature itself is never looked at, nor shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

_NEEDED = {"r": "read", "l": "list"}


@dataclass(frozen=True, slots=True)
class SasFields:
    """The parts of a SAS token that matter to a reader. Times have a time zone.

    `permissions` is a string of letters; it and the times may instead be kept by the service, in
    the stored access policy `policy`.
    """

    permissions: str
    starts_at: datetime | None
    expires_at: datetime | None
    policy: str

    def problem(self, now: datetime) -> str | None:
        """Why the token is of no use at `now`, as the end of a sentence about it; None: it is."""
        if self.expires_at is not None and self.expires_at <= now:
            return f"expired at {_format_time(self.expires_at)}"
        if self.starts_at is not None and self.starts_at > now:
            return f"is not valid before {_format_time(self.starts_at)}"
        return None

    def notes(self) -> tuple[str, ...]:
        """Return sentences about what it permits."""
        if self.policy:
            return (f"its stored access policy is {self.policy}",)
        missing = [f"{what} ({letter})" for letter, what in _NEEDED.items()
                   if letter not in self.permissions]  # fmt: skip
        notes = (f"it permits sp={self.permissions}",)
        return (*notes, f"it does not permit to {' or '.join(missing)}") if missing else notes


def parse_sas(token: str) -> SasFields:
    """Return what the token says; what is not there or makes no sense is left out."""
    said = dict(parse_qsl(token))
    return SasFields(
        permissions=said.get("sp", ""),
        starts_at=_time(said.get("st", "")),
        expires_at=_time(said.get("se", "")),
        policy=said.get("si", ""),
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
