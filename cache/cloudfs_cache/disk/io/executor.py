"""The executor of one disk: worker threads, time limits, and what failures mean for its health.

Owned by the trio loop. Whatever goes wrong with the disk ends here: it is counted, and logged when
it changes what the disk is asked.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from cloudfs_cache.api import DiskStalledError
from cloudfs_cache.disk.io.health import DiskHealth, DiskState
from cloudfs_cache.disk.io.threads import DiskThreads

log = logging.getLogger(__name__)

_ERRNO_OF_SQLITE: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
}
_CONSEQUENCES: Final = {
    DiskState.OK: "it is used again",
    DiskState.READ_ONLY: "nothing is written to it until that works again",
    DiskState.BYPASSED: "reads go to the bucket until it works again",
}

Result = TypeVar("Result")


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds after which a read or a write has stalled, and until what failed is tried again.

    Bytes come from the store while a read hangs; no reader waits for a write, and a busy disk may
    take long over 8 MiB.
    """

    read_s: float = 3.0
    write_s: float = 20.0
    retry_s: float = 10.0


DEFAULT_TIMEOUTS: Final = Timeouts()


class DiskExecutor:
    """Runs work on the disk of one cache directory."""

    def __init__(self, directory: str, threads: int, timeouts: Timeouts) -> None:
        self.health = DiskHealth()
        self.timeouts = timeouts
        self._directory = directory
        self.threads = DiskThreads(threads)

    @property
    def state(self) -> DiskState:
        """What the disk may be asked now."""
        return self.health.state

    @property
    def busy(self) -> bool:
        """Whether a thread is inside, perhaps one that was left behind."""
        return self.threads.busy

    async def wait_idle(self) -> None:
        """Return once no thread is inside."""
        await self.threads.wait_idle()

    async def attempt(
        self,
        work: Callable[[], Result],
        verb: str,
        *,
        limit_s: float | None = None,
        on_late: Callable[[], None] = _nothing,
    ) -> Result | None:
        """Run `work` in a thread; return None when the disk fails (so `work` must not).

        Raises DiskStalledError when it does not end in time (None: that of a read); see
        `DiskThreads.run` for `on_late`.
        """
        limit_s = self.timeouts.read_s if limit_s is None else limit_s
        try:
            result = await self.threads.run(work, limit_s=limit_s, on_late=on_late)
        except DiskStalledError as stall:
            if self.health.stalled(f"cannot {verb}: {stall}"):
                self._log_state()
            raise
        except (OSError, sqlite3.Error) as error:
            self._note_failure(error, verb)
            return None
        self.health.succeeded()
        return result

    def recovered(self) -> None:
        """Note that a probe of a failed disk succeeded."""
        self.health.recovered()
        log.info("cache directory %s: %s", self._directory, _CONSEQUENCES[self.state])

    def _note_failure(self, error: OSError | sqlite3.Error, verb: str) -> None:
        text = f"cannot {verb}: {_described(error)}"
        if _sqlite_code(error) == sqlite3.SQLITE_BUSY:
            # Another thread, or another mount, hangs on this disk and has the index locked.
            changed = self.health.stalled(text)
        else:
            changed = self.health.failed(_errno(error), text)
        if changed:
            self._log_state()
        else:
            log.info("cache directory %s: %s", self._directory, text)

    def _log_state(self) -> None:
        log.warning(
            "cache directory %s: %s; %s",
            self._directory,
            self.health.reason,
            _CONSEQUENCES[self.state],
        )


def _errno(error: OSError | sqlite3.Error) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    return _ERRNO_OF_SQLITE.get(_sqlite_code(error))


def _sqlite_code(error: Exception) -> int:
    """The primary result code, 0 when there is none."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _described(error: OSError | sqlite3.Error) -> str:
    if isinstance(error, OSError):
        return error.strerror or repr(error)
    name = getattr(error, "sqlite_errorname", "")
    return f"index: {error} ({name})" if name else f"index: {error}"
