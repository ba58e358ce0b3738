"""What a client sees of the way to a store: delay, rate per connection, rate in all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Link:
    """Zero turns a limit off. `first_byte_ms` in milliseconds, `connection_rate` in bytes per
    second of one request, `total_gbit` in Gbit/s (10**9 bits) of everything together."""

    first_byte_ms: float = 30.0
    connection_rate: int = 90_000_000
    total_gbit: float = 5.0

    def describe(self, *, shaped: bool) -> str:
        """One line for a report; `shaped` says whether the total rate is in force."""
        first = f"{self.first_byte_ms:g} ms to the first byte"
        each = f"{self.connection_rate / 1e6:g} MB/s per connection"
        if not self.connection_rate:
            each = "no limit per connection"
        if shaped:
            total = f"{self.total_gbit:g} Gbit/s in all"
        else:
            total = "no limit in all" if not self.total_gbit else "no limit in all (needs root)"
        return f"{first}, {each}, {total}"
