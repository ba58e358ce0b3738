"""One request for many askers: callers with the same key share one running piece of work.

The work belongs to a nursery and not to the caller that came first, so a caller that is cancelled
takes nothing from the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Flight(Generic[Result]):
    landed: trio.Event = field(default_factory=trio.Event)
    results: list[Result] = field(default_factory=list)
    failure: Exception | None = None


class SingleFlight(Generic[Result]):
    """Runs at most one piece of work per key at a time. Loop only."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._flights: dict[Hashable, _Flight[Result]] = {}

    async def do(self, key: Hashable, work: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result of the running work of `key`, starting it when there is none.

        Raises what the work raised, in every caller.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            self._nursery.start_soon(self._fly, key, flight, work)
        await flight.landed.wait()
        if flight.failure is not None:
            raise flight.failure
        return flight.results[0]

    async def _fly(
        self, key: Hashable, flight: _Flight[Result], work: Callable[[], Awaitable[Result]]
    ) -> None:
        try:
            flight.results.append(await work())
        except Exception as error:  # whatever it is, the callers get it
            flight.failure = error
        finally:
            del self._flights[key]
            flight.landed.set()
