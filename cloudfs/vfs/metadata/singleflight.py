"""Single flight: callers with the same key share one running request.

The request belongs to a nursery and not to the caller that came first: it goes on for the others
when that caller is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import trio

Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Flight(Generic[Result]):
    done: trio.Event = field(default_factory=trio.Event)
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
            self._nursery.start_soon(self._run, key, flight, work)
        await flight.done.wait()
        if flight.failure is not None:
            raise flight.failure
        return flight.results[0]

    async def _run(
        self, key: Hashable, flight: _Flight[Result], work: Callable[[], Awaitable[Result]]
    ) -> None:
        try:
            flight.results.append(await work())
        except Exception as error:  # whatever it is, the callers get it
            flight.failure = error
        finally:
            del self._flights[key]
            flight.done.set()
