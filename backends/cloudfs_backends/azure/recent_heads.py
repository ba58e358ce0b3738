"""What the store has just said of single names, for those who were about to ask. No I/O.

The core asks for a key and for what is below it at once. When nothing is below, the answer about
the key tells whether it is an empty folder: without this it would be asked for twice.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from azure.storage.blob import BlobProperties

_REMEMBERED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class RecentHead:
    """What a name stood for; `blob` is None when it was nothing."""

    received_at: float
    blob: BlobProperties | None


class RecentHeads:
    """The last answers about names. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, RecentHead] = OrderedDict()

    def note(self, name: str, blob: BlobProperties | None) -> None:
        """The store has said what a name stands for."""
        with self._lock:
            self._answers.pop(name, None)
            self._answers[name] = RecentHead(time.monotonic(), blob)
            if len(self._answers) > _REMEMBERED_MAX:
                self._answers.popitem(last=False)

    def since(self, name: str, moment: float) -> RecentHead | None:
        """Return what was said at `moment` (of the monotonic clock) or later, None for nothing."""
        with self._lock:
            answer = self._answers.get(name)
        return answer if answer is not None and answer.received_at >= moment else None
