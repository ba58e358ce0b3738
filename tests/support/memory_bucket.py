"""The in-memory double as a bucket that other processes mount and the test changes.

The bucket is the history of its changes. Each mount (`python -m tests.support.memory_cloudfs`)
replays it in a store of its own, which then has the same content identities as any other one, and
follows later changes.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

from tests.support.memory_store import MemoryStore

SCHEME = "memory"
SOCKET_VARIABLE = "MEMORY_BUCKET_SOCKET"
_ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Put:
    """An object was written."""

    key: str
    data: bytes
    mtime_ns: int

    def apply(self, store: MemoryStore) -> str:
        """Apply the change to `store`; return the content identity."""
        return store.put(self.key, self.data, mtime_ns=self.mtime_ns).etag


@dataclass(frozen=True)
class Delete:
    """An object was deleted."""

    key: str

    def apply(self, store: MemoryStore) -> str:
        """Apply the change to `store`."""
        store.delete(self.key)
        return ""


class MemoryBucket:
    """The test's side; methods block until every mount has applied the change."""

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._listener = Listener(str(socket_path), "AF_UNIX")
        self._lock = threading.Lock()
        self._history: list[Put | Delete] = []
        self._twin = MemoryStore()
        self._etags: dict[str, str] = {}
        self._mounts: list[Connection[object, object]] = []
        self._closing = False
        self._thread = threading.Thread(target=self._accept, name="memory-bucket", daemon=True)
        self._thread.start()

    def put(self, key: str, data: bytes, *, mtime_ns: int) -> None:
        """Write or overwrite an object."""
        self._change(Put(key, data, mtime_ns))

    def delete(self, key: str) -> None:
        """Delete an object; raises KeyError when there is none."""
        self._change(Delete(key))

    def etag(self, key: str) -> str:
        """The content identity of an object."""
        return self._etags[key]

    def close(self) -> None:
        """Disconnect the mounts and wait for the thread."""
        self._closing = True
        # To end `accept`, which a close alone would leave waiting.
        Client(str(self.socket_path), "AF_UNIX").close()
        self._thread.join()
        self._listener.close()
        for mount in self._mounts:
            mount.close()

    def _change(self, change: Put | Delete) -> None:
        with self._lock:
            self._etags[change.key] = change.apply(self._twin)
            self._history.append(change)
            self._mounts = [mount for mount in self._mounts if _send(mount, [change])]

    def _accept(self) -> None:
        while True:
            mount = self._listener.accept()
            if self._closing:
                mount.close()
                return
            with self._lock:
                if _send(mount, self._history):
                    self._mounts.append(mount)


def _send(mount: Connection[object, object], changes: list[Put | Delete]) -> bool:
    """Send changes and wait until they are made; False when the mount has ended."""
    try:
        mount.send(changes)
        if not mount.poll(_ANSWER_TIMEOUT_S):
            raise TimeoutError(f"a mount did not follow within {_ANSWER_TIMEOUT_S} s")
        mount.recv()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        mount.close()
        return False
    return True


@contextmanager
def memory_bucket() -> Iterator[MemoryBucket]:
    """Make an empty bucket that lasts until the block ends."""
    # Not in the test's own folder: the path of a socket may have 107 bytes only.
    with tempfile.TemporaryDirectory(prefix="cloudfs-") as folder:
        bucket = MemoryBucket(Path(folder) / "socket")
        try:
            yield bucket
        finally:
            bucket.close()
