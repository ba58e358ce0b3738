"""The queues of runs: which one is fetched next.

Pure bookkeeping on the trio loop: `FetchScheduler.pump` decides synchronously which runs may start
and hands them to a callback; it never awaits. Readers that wait go before prefetch, prefetch goes
before idle runs (warm-ups), and neither ever takes the last slots or buffers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from cloudfs_cache.api import Origin, WaitsFor
from cloudfs_cache.memory.block import Block, CachedObject, Run
from cloudfs_cache.memory.lru import MemoryCache


class _Lane:
    """The runs of one origin: three queues and the slots they share."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.active = 0
        self.demand: deque[Run] = deque()
        self.ahead: deque[Run] = deque()
        self.idle: deque[Run] = deque()

    def queue_of(self, run: Run) -> deque[Run]:
        """Where the run belongs."""
        if run.demand:
            return self.demand
        return self.idle if run.idle else self.ahead

    def next_queue(self) -> deque[Run] | None:
        """The queue whose first run may start now."""
        if self.demand and self.active < self.slots:
            return self.demand
        if self.ahead and self.active < max(1, self.slots - 2):
            return self.ahead
        if self.idle and not self.demand and self.active < max(1, self.slots * 3 // 4):
            return self.idle
        return None


class FetchScheduler:
    """Starts runs as slots and buffers allow. `start` is called with each run that may begin.

    `slots` has the number of runs that may be fetched at once from each origin.
    """

    def __init__(
        self,
        memory: MemoryCache,
        slots: Mapping[Origin, int],
        *,
        may_prefetch: Callable[[], bool],
        start: Callable[[Run], None],
    ) -> None:
        self._memory = memory
        self._lanes = {origin: _Lane(count) for origin, count in slots.items()}
        self._may_prefetch = may_prefetch
        self._start = start

    @property
    def queued(self) -> int:
        """How many blocks wait to be fetched ahead."""
        return sum(len(run.blocks) for lane in self._lanes.values() for run in lane.ahead)

    @property
    def active(self) -> int:
        """How many runs are being fetched."""
        return sum(lane.active for lane in self._lanes.values())

    def waits_for(self, block: Block) -> WaitsFor:
        """Tell what the run of a block that is not full waits for; a queue counts as its origin."""
        run = block.run
        if run is None:
            return WaitsFor.OTHER
        lane = self._lanes[run.origin]
        if block.buffer is None and lane.active < lane.slots:
            return WaitsFor.MEMORY
        return WaitsFor(run.origin.value)

    def submit(self, run: Run) -> None:
        """Queue a run whose blocks are planned. Call `pump` afterwards."""
        self._lanes[run.origin].queue_of(run).append(run)

    def promote(self, block: Block) -> None:
        """Move the queued run of a block up, because a reader waits for it.

        Blocks in front of it stay where they are, as a run of their own.
        """
        if block.complete:
            return
        block.demand()
        run = block.run
        if run is None or run.demand:
            return
        lane = self._lanes[run.origin]
        queue = lane.queue_of(run)
        if run not in queue:
            return
        promoted = run.split(run.blocks.index(block)) if run.blocks[0] is not block else run
        assert promoted is not None
        if promoted is run:
            queue.remove(run)
        promoted.demand = True
        lane.demand.append(promoted)

    def withdraw(self, owner: CachedObject) -> None:
        """Forget the queued prefetch of an object that no reader has open any more."""
        for lane in self._lanes.values():
            for run in [r for r in lane.ahead if r.owner is owner]:
                lane.ahead.remove(run)
                self._withdraw(run)

    def finished(self, run: Run) -> None:
        """Give the slot of a started run back. Call `pump` afterwards."""
        self._lanes[run.origin].active -= 1

    def pump(self) -> None:
        """Start every run that may start."""
        for lane in self._lanes.values():
            while (queue := lane.next_queue()) is not None:
                demand = queue is lane.demand
                if not demand and not self._may_prefetch():
                    break
                run = queue.popleft()
                if not self._supply(run):
                    queue.appendleft(run)
                    break
                lane.active += 1
                self._start(run)

    def _supply(self, run: Run) -> bool:
        """Give the run's blocks buffers; keep only the blocks that got one. False if none did.

        Everything up to the last block that a reader wants is needed for that reader.
        """
        needed = max((n for n, block in enumerate(run.blocks, 1) if block.demanded), default=0)
        count = 0
        for block in run.blocks:
            # One that a tier turned out not to have brings its buffer along.
            if block.buffer is None:
                buffer = self._memory.take(demand=count < needed)
                if buffer is None:
                    break
                block.supply(buffer)
            count += 1
        if count == 0:
            return False
        rest = run.split(count)
        if rest is not None:
            rest.demand = any(block.demanded for block in rest.blocks)
            self._lanes[rest.origin].queue_of(rest).appendleft(rest)
        return True

    def _withdraw(self, run: Run) -> None:
        for block in run.blocks:
            block.withdraw()
