"""How long an answer of the store is believed, and what was learnt against older ones. No I/O.

Owned by the trio loop. Moments are seconds of the tree's clock. An answer is as old as its
question: whatever was learnt after it was asked wins, however late it arrives.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_ABSENCES_MAX = 65_536
_DOUBTS_MAX = 4096


@dataclass(frozen=True, slots=True)
class FreshnessPolicy:
    """How long answers of the store are believed, in seconds (`math.inf`: for ever).

    `ttl_of` may say another metadata TTL for a key (None: the usual one); directories end with
    `/`, the root is "".
    """

    metadata_ttl_s: float
    negative_ttl_s: float
    ttl_of: Callable[[str], float | None] | None = None

    def ttl_s(self, key: str) -> float:
        """How long the entry or the listing of a key is believed."""
        chosen = None if self.ttl_of is None else self.ttl_of(key)
        return self.metadata_ttl_s if chosen is None else chosen


class Doubts:
    """From which moment on answers are believed again, for keys that were invalidated.

    A listing is named by its directory's key ("" or ending with `/`), an entry by its key without
    a slash at the end. Nothing but a few thousand names is kept: beyond, everything is doubted.
    """

    def __init__(self) -> None:
        self._everything = -math.inf
        self._named: dict[str, float] = {}
        self._below: dict[str, float] = {}

    def note(self, name: str, now: float) -> None:
        """Doubt one listing or entry as it was known before `now`."""
        self._named[name] = now
        self._bound(now)

    def note_below(self, directory: str, now: float) -> None:
        """Doubt the listing of a directory and everything below it as known before `now`."""
        self._below[directory] = now
        self._bound(now)

    def since(self, name: str) -> float:
        """The moment before which no answer about a listing or an entry is to be believed."""
        latest = self._everything
        if self._named:
            latest = max(latest, self._named.get(name, -math.inf))
        if self._below:
            for directory in _directories(name):
                latest = max(latest, self._below.get(directory, -math.inf))
        return latest

    def _bound(self, now: float) -> None:
        if len(self._named) + len(self._below) > _DOUBTS_MAX:
            self._everything = now
            self._named.clear()
            self._below.clear()


@dataclass(frozen=True, slots=True)
class Absence:
    """A name that was found missing or changed at `noted_at`; nobody is asked about it until
    `believed_until`, and nothing older brings it back."""

    noted_at: float
    believed_until: float


class Absences:
    """The names that were not there, by directory. The oldest go when there are too many."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, bytes], Absence] = OrderedDict()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """The inode number of the directory and the name of each."""
        return iter(self._known)

    def note(self, parent_ino: int, name: bytes, noted_at: float, believed_s: float) -> None:
        """Enter a name, unless its absence is known from a later moment."""
        known = self._known.get((parent_ino, name))
        if known is not None and known.noted_at > noted_at:
            return
        self._known[parent_ino, name] = Absence(noted_at, noted_at + believed_s)
        while len(self._known) > _ABSENCES_MAX:
            self._known.popitem(last=False)

    def get(self, parent_ino: int, name: bytes) -> Absence | None:
        """What is known of a name's absence."""
        return self._known.get((parent_ino, name))

    def outlived(self, parent_ino: int, name: bytes, seen_at: float) -> bool:
        """Whether a name seen at `seen_at` may be there; an older absence is then forgotten."""
        absence = self._known.get((parent_ino, name))
        if absence is not None and absence.noted_at > seen_at:
            return False
        self._known.pop((parent_ino, name), None)
        return True


def _directories(name: str) -> Iterator[str]:
    """The directories that hold a name, from the root down; a directory holds itself."""
    yield ""
    end = name.find("/")
    while end >= 0:
        yield name[: end + 1]
        end = name.find("/", end + 1)
