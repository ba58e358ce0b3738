"""Recent HEAD responses, shared between concurrent requests about the same name. No I/O.

A lookup sends the HEAD of a key and the LIST below it concurrently. When the list is empty, the
HEAD tells whether the key is an empty folder: without this it would be sent twice.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from azure.storage.blob import BlobProperties

_HEADS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class RecentHead:
    """The response to a HEAD; `blob` is None when there was none of that name."""

    received_at: float
    blob: BlobProperties | None


class RecentHeads:
    """The latest HEAD responses by name. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heads: OrderedDict[str, RecentHead] = OrderedDict()

    def add(self, name: str, blob: BlobProperties | None) -> None:
        """Record the response to a HEAD that was received just now."""
        with self._lock:
            self._heads.pop(name, None)
            self._heads[name] = RecentHead(time.monotonic(), blob)
            if len(self._heads) > _HEADS_MAX:
                self._heads.popitem(last=False)

    def since(self, name: str, moment: float) -> RecentHead | None:
        """Return a response received at `moment` (of the monotonic clock) or later, if any."""
        with self._lock:
            head = self._heads.get(name)
        return head if head is not None and head.received_at >= moment else None
