"""The choice between obstore and the cloud's SDK for reads.

obstore is some twenty times cheaper, but shows no headers of error responses and accepts fewer
servers. Policy only: no I/O.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

THROTTLED_S: Final = 10.0
"""How long the SDK, which sees Retry-After, reads after a throttled read."""

INCOMPATIBLE_S: Final = 600.0
"""How long the SDK reads after a response that is incompatible with obstore.

Mostly the server is at fault, and a failed read every ten minutes costs next to nothing. But a
proxy may have damaged one response, and a mount lives for weeks.
"""


class ReadRoute:
    """The choice for one store, named `url` in the log; `clock` is in seconds. Safe to use from any
    thread."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._throttled_until = -float("inf")
        self._incompatible_until = -float("inf")
        self._incompatible = ""

    @property
    def uses_obstore(self) -> bool:
        """A read goes through obstore now."""
        return self._clock() >= max(self._throttled_until, self._incompatible_until)

    @property
    def incompatibility(self) -> str:
        """Why the server is incompatible with obstore; "" when it is not known to be."""
        return self._incompatible if self._clock() < self._incompatible_until else ""

    def note_throttled(self) -> None:
        """Read through the SDK for a while: only there the requested pause is seen."""
        self._throttled_until = self._clock() + THROTTLED_S

    def note_incompatible(self, why: str) -> None:
        """Read through the SDK for a while: it has read what obstore could not."""
        with self._lock:
            known, self._incompatible = self._incompatible, why
            self._incompatible_until = self._clock() + INCOMPATIBLE_S
        if why != known:
            log.info(
                "%s: reads go through the slower SDK, the server is incompatible with obstore: %s",
                self._url,
                why,
            )
