"""Policies to compare with, each exact: LRU, SIEVE, S3-FIFO, and Belady's optimum."""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence

from cloudfs_benchmarks.eviction.cache import Visit


class Lru:
    """The least recently used goes first."""

    def __init__(self, capacity_bytes: int) -> None:
        self._free = capacity_bytes
        self._capacity = capacity_bytes
        self._sizes: OrderedDict[int, int] = OrderedDict()

    def access(self, visit: Visit) -> int:
        """Read an extent; return how many of its bytes were there."""
        if visit.key in self._sizes:
            self._sizes.move_to_end(visit.key)
            return visit.size_bytes
        if visit.size_bytes > self._capacity:
            return 0
        while self._free < visit.size_bytes:
            self._free += self._sizes.popitem(last=False)[1]
        self._sizes[visit.key] = visit.size_bytes
        self._free -= visit.size_bytes
        return 0


class _Node:
    """An entry in SIEVE's list: `newer` towards the head, `older` towards the tail."""

    __slots__ = ("key", "newer", "older", "size", "visited")

    def __init__(self, key: int, size: int) -> None:
        self.key, self.size, self.visited = key, size, False
        self.newer: _Node | None = None
        self.older: _Node | None = None


class Sieve:
    """SIEVE (Zhang et al., NSDI 2024): a hand goes from old to new and spares what was visited."""

    def __init__(self, capacity_bytes: int) -> None:
        self._free = capacity_bytes
        self._capacity = capacity_bytes
        self._nodes: dict[int, _Node] = {}
        self._head: _Node | None = None
        self._tail: _Node | None = None
        self._hand: _Node | None = None

    def access(self, visit: Visit) -> int:
        """Read an extent; return how many of its bytes were there."""
        node = self._nodes.get(visit.key)
        if node is not None:
            node.visited = True
            return visit.size_bytes
        if visit.size_bytes > self._capacity:
            return 0
        while self._free < visit.size_bytes:
            self._evict()
        node = self._nodes[visit.key] = _Node(visit.key, visit.size_bytes)
        node.older = self._head
        if self._head is not None:
            self._head.newer = node
        self._head = node
        self._tail = self._tail or node
        self._free -= node.size
        return 0

    def _evict(self) -> None:
        node = self._hand or self._tail
        while node is not None and node.visited:
            node.visited = False
            node = node.newer or self._tail
        assert node is not None, "only asked for room when there are entries"
        self._hand = node.newer
        if node.newer is not None:
            node.newer.older = node.older
        else:
            self._head = node.older
        if node.older is not None:
            node.older.newer = node.newer
        else:
            self._tail = node.newer
        del self._nodes[node.key]
        self._free += node.size


class S3Fifo:
    """S3-FIFO (Yang et al., SOSP 2023): a small queue on probation, a main queue, and ghosts."""

    _SMALL_SHARE = 0.1
    _USES_MAX = 3

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity = capacity_bytes
        self._small_target = int(capacity_bytes * self._SMALL_SHARE)
        self._ghost_target = capacity_bytes - self._small_target
        self._small: deque[int] = deque()
        self._main: deque[int] = deque()
        self._ghosts: OrderedDict[int, int] = OrderedDict()
        self._small_bytes = self._main_bytes = self._ghost_bytes = 0
        self._sizes: dict[int, int] = {}
        self._uses: dict[int, int] = {}

    def access(self, visit: Visit) -> int:
        """Read an extent; return how many of its bytes were there."""
        key, size = visit.key, visit.size_bytes
        if key in self._sizes:
            self._uses[key] = min(self._USES_MAX, self._uses[key] + 1)
            return size
        if size > self._capacity:
            return 0
        while self._small_bytes + self._main_bytes + size > self._capacity:
            if self._small and (self._small_bytes >= self._small_target or not self._main):
                self._evict_small()
            else:
                self._evict_main()
        self._sizes[key], self._uses[key] = size, 0
        if key in self._ghosts:
            self._ghost_bytes -= self._ghosts.pop(key)
            self._main.append(key)
            self._main_bytes += size
        else:
            self._small.append(key)
            self._small_bytes += size
        return 0

    def _evict_small(self) -> None:
        key = self._small.popleft()
        size = self._sizes[key]
        self._small_bytes -= size
        if self._uses[key] > 1:
            self._uses[key] = 0
            self._main.append(key)
            self._main_bytes += size
            return
        self._drop(key)
        self._ghosts[key] = size
        self._ghost_bytes += size
        while self._ghost_bytes > self._ghost_target:
            self._ghost_bytes -= self._ghosts.popitem(last=False)[1]

    def _evict_main(self) -> None:
        while True:
            key = self._main.popleft()
            if not self._uses[key]:
                break
            self._uses[key] -= 1
            self._main.append(key)
        self._main_bytes -= self._sizes[key]
        self._drop(key)

    def _drop(self, key: int) -> None:
        del self._sizes[key], self._uses[key]


class Belady:
    """What is read again last goes first, knowing the future: no cache hits more bytes.

    It may refuse newcomers and keep parts of extents. With parts, each byte is an item of size one,
    for which the rule is optimal; without, it would only be a guess where sizes differ.
    """

    def __init__(self, capacity_bytes: int, visits: Sequence[Visit]) -> None:
        self._free = capacity_bytes
        self._next = _next_visits(visits)
        self._number = 0
        self._held: dict[int, int] = {}
        self._due: dict[int, int] = {}
        self._latest: list[tuple[int, int]] = []

    def access(self, visit: Visit) -> int:
        """Read an extent; return how many of its bytes were there."""
        due = self._next[self._number]
        self._number += 1
        hit = self._held.pop(visit.key, 0)
        self._free += hit
        if due == len(self._next):
            self._due.pop(visit.key, None)
            return hit
        self._held[visit.key] = visit.size_bytes
        self._due[visit.key] = due
        self._free -= visit.size_bytes
        heapq.heappush(self._latest, (-due, visit.key))
        while self._free < 0:
            self._shrink()
        return hit

    def _shrink(self) -> None:
        """Give up bytes of what is due last, as many as are missing."""
        due, key = self._latest[0]
        held = self._held.get(key, 0)
        if self._due.get(key) != -due or not held:
            heapq.heappop(self._latest)
            return
        given = min(held, -self._free)
        self._held[key] = held - given
        self._free += given


def _next_visits(visits: Sequence[Visit]) -> list[int]:
    """For each visit the number of the next one of its key, or their count when there is none."""
    following: dict[int, int] = {}
    found = [0] * len(visits)
    for number in range(len(visits) - 1, -1, -1):
        key = visits[number].key
        found[number] = following.get(key, len(visits))
        following[key] = number
    return found
