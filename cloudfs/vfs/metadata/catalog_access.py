"""Access to the catalog from the trio loop: in a thread of its own, within a time limit.

A catalog that is slow, broken or absent answers nothing: no lookup waits for it longer than the
limit, and none fails.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final, TypeVar

from cloudfs.vfs.metadata.owner_thread import LateError, OwnerThread
from cloudfs_cache.metadata.database import Catalog, CatalogError

log = logging.getLogger(__name__)

_FAILURES_MAX: Final = 3
_PAUSE_S: Final = 30.0

Result = TypeVar("Result")


class CatalogAccess:
    """The catalog of one mount; None for `open_catalog`: it has none.

    `prepare` is called with the open catalog, in its thread. `limit_s` bounds every call; `clock`
    gives seconds. Loop only.
    """

    def __init__(
        self,
        open_catalog: Callable[[], Catalog] | None,
        prepare: Callable[[Catalog], None],
        *,
        clock: Callable[[], float],
        limit_s: float,
    ) -> None:
        self.is_off = open_catalog is None
        self.errors = 0
        self._open_catalog = open_catalog
        self._prepare = prepare
        self._clock = clock
        self._limit_s = limit_s
        self._thread = OwnerThread("cloudfs catalog", self._open, limit_s=limit_s)
        self._paused_until = -math.inf
        self._failures = 0

    @property
    def state(self) -> str:
        """`off` (there is none), `late` (it has not answered within the limit), `failing` (it is
        not used for a while) or `ok`."""
        if self.is_off:
            return "off"
        if self._thread.late:
            return "late"
        return "failing" if self._clock() < self._paused_until else "ok"

    async def run(self, work: Callable[[Catalog], Result]) -> Result | None:
        """Return what `work` returns, or None when the catalog is not `ok` or fails."""
        if self.state != "ok":
            return None
        try:
            result = await self._thread.run(work)
        except LateError:
            self.errors += 1
            log.info("the catalog has not answered for %.0f s: going on without it", self._limit_s)
            return None
        except Exception as error:  # whatever it is: a lookup never fails for it
            self._note_failure(error)
            return None
        self._failures = 0
        return result

    async def aclose(self) -> None:
        """Close the catalog; wait for it within the limit."""
        self.is_off = True
        await self._thread.aclose()

    def _open(self) -> Catalog:
        assert self._open_catalog is not None
        try:
            catalog = self._open_catalog()
        except Exception:
            self.is_off = True
            raise
        self._prepare(catalog)
        return catalog

    def _note_failure(self, error: Exception) -> None:
        self.errors += 1
        self._failures += 1
        if not isinstance(error, CatalogError):
            log.warning("bug in the catalog: please report it", exc_info=error)
        elif self.is_off and self._failures == 1:
            log.warning("names are not cached across mounts: the catalog in %s", error)
        elif not self.is_off and self._failures == _FAILURES_MAX:
            log.warning("the catalog fails (%s): going on without it", error)
        if self._failures >= _FAILURES_MAX:
            self._paused_until = self._clock() + _PAUSE_S
