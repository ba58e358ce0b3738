"""Which way a cloud store's reads take: through obstore, or through the cloud's SDK.

obstore is some twenty times cheaper, but shows no headers of a refusal and is particular about the
answers. Policy only: decides at once, from any thread, and knows neither.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

THROTTLED_S: Final = 10.0
"""How long after a throttled read the SDK, which sees Retry-After, does the reading."""

INCOMPATIBLE_S: Final = 600.0
"""How long after an unfit answer the SDK does the reading.

Mostly the server is like that, and a read that obstore tries in vain every ten minutes costs next
to nothing. But a proxy may have damaged one answer, and a mount lives for weeks.
"""


class ReadRoute:
    """The way of the reads of one store, named `url` in the log; `clock` is in seconds."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._throttled_until = -float("inf")
        self._incompatible_until = -float("inf")
        self._incompatible = ""

    @property
    def uses_obstore(self) -> bool:
        """Whether a read goes through obstore now."""
        return self._clock() >= max(self._throttled_until, self._incompatible_until)

    @property
    def incompatibility(self) -> str:
        """Why the server is held to be unfit for obstore, or "" when it is not."""
        return self._incompatible if self._clock() < self._incompatible_until else ""

    def note_throttled(self) -> None:
        """The store asks obstore to slow down: for how long, only the SDK is told."""
        self._throttled_until = self._clock() + THROTTLED_S

    def note_incompatible(self, why: str) -> None:
        """The SDK has read what obstore could not: leave it at that for a while."""
        with self._lock:
            known, self._incompatible = self._incompatible, why
            self._incompatible_until = self._clock() + INCOMPATIBLE_S
        if why != known:  # a server that stays as it is says nothing new
            log.info("%s: reads go through the slower SDK, for the server is unfit: %s",
                      self._url, why)  # fmt: skip
