"""The worker threads of one store.

Data and metadata have a limiter each, so that a flood of downloads never delays a lookup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from cloudfs_backends.api import ThreadStatistics

METADATA_THREADS: Final = 16

T = TypeVar("T")


class WorkerThreads:
    """Runs blocking calls off the loop. Created anywhere, used from the trio loop only.

    A cancelled call is abandoned: its thread continues and counts as busy until the call returns,
    so that no more threads than the limit ever run.
    """

    def __init__(self, data_threads: int) -> None:
        self.data = trio.CapacityLimiter(data_threads)
        self.metadata = trio.CapacityLimiter(METADATA_THREADS)

    def statistics(self) -> dict[str, ThreadStatistics]:
        """Return a snapshot of both limiters."""
        return {"data": _counts(self.data), "metadata": _counts(self.metadata)}

    async def run_data(self, work: Callable[[], T]) -> T:
        """Run `work`, which transfers the bytes of an object."""
        return await trio.to_thread.run_sync(
            work, thread_name="cloudfs-data", abandon_on_cancel=True, limiter=self.data
        )

    async def run_metadata(self, work: Callable[[], T]) -> T:
        """Run `work`, which requests names or attributes."""
        return await trio.to_thread.run_sync(
            work, thread_name="cloudfs-meta", abandon_on_cancel=True, limiter=self.metadata
        )


def _counts(limiter: trio.CapacityLimiter) -> ThreadStatistics:
    now = limiter.statistics()
    return ThreadStatistics(int(now.total_tokens), now.borrowed_tokens, now.tasks_waiting)
