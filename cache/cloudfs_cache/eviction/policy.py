"""Eviction policies: the protocol, and LRU.

Pure: no I/O, no clock of its own, no randomness. An extent is what the disk gives back at once: a
whole small object, or EXTENT_BLOCKS adjacent blocks of a large one. Nothing here knows how many
extents there are: the caller draws a random sample, the policy says what each is worth, and the
least worthy of the sample go. `epoch_policy` has the policy that is used by default.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)

LARGEST_SHARE = 4
"""At most 1/LARGEST_SHARE of a sample goes at once: more would not be the least worthy any more."""


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """What is kept of the accesses to an extent, also after it is evicted (then it is a ghost).

    The clock counts the bytes that readers were given, in all mounts of a cache directory.
    """

    accessed_at: int
    """Clock at the last access."""
    interval: int
    """Bytes between the last two accesses; 0 if it was accessed once."""
    accesses: int
    group: int
    """0 to 255: a hash of the dataset that the extent belongs to."""


class EvictionPolicy(Protocol):
    """Learns from accesses, and says what is worth keeping.

    Not thread-safe. A clock that runs backwards by a little (another mount was faster) is fine.
    """

    @property
    def margin(self) -> float:
        """By how much a newcomer must be worth more than a resident to take its place."""

    def access(
        self, known: AccessRecord | None, clock: int, group: int, *, resident: bool
    ) -> AccessRecord:
        """Return the record after a demand read of an extent, and learn from it.

        `known` is the record of the extent or of its ghost. The very object `known` is returned
        when there is nothing to store.
        """

    def forget(self, record: AccessRecord) -> None:
        """A record is dropped: of a ghost, when there are too many, or of an object that is gone.

        Without it the policy would learn that such extents are never accessed again.
        """

    def worth(self, record: AccessRecord, clock: int) -> float:
        """What keeping the extent is worth, per byte that it occupies; lower goes first."""

    def dump(self) -> dict[str, object]:
        """Return what was learnt, ready for JSON."""

    def restore(self, state: Mapping[str, object]) -> None:
        """Replace what was learnt; a state that makes no sense counts as nothing learnt."""


@dataclass(frozen=True, slots=True)
class Candidate(Generic[Key]):
    """A resident extent that could go."""

    key: Key
    size_bytes: int
    record: AccessRecord


def choose_victims(
    policy: EvictionPolicy,
    sample: Sequence[Candidate[Key]],
    needed_bytes: int,
    clock: int,
    newcomer: AccessRecord | None,
) -> list[Key] | None:
    """Return the least worthy of a random sample that make room together, least worthy first.

    None: one that would have to go is worth as much as `newcomer`, which should not be admitted.
    Without a newcomer room is made in any case. The result may free less than `needed_bytes`, since
    at most a quarter of the sample goes (and always one): ask again with a fresh sample. The sample
    must not hold the newcomer itself; of an empty one nothing goes. Equal worth keeps its order.
    """
    ranked = sorted(
        ((policy.worth(candidate.record, clock), number) for number, candidate in enumerate(sample))
    )
    limit = float("inf") if newcomer is None else policy.worth(newcomer, clock) - policy.margin
    victims: list[Key] = []
    freed_bytes = 0
    for worth, number in ranked[: max(1, len(sample) // LARGEST_SHARE)]:
        if freed_bytes >= needed_bytes:
            break
        if worth >= limit:
            return None
        victims.append(sample[number].key)
        freed_bytes += sample[number].size_bytes
    return victims


class LeastRecentlyUsed:
    """What was not accessed for the longest time goes first. Learns nothing."""

    margin = 0.0

    def access(
        self, known: AccessRecord | None, clock: int, group: int, *, resident: bool
    ) -> AccessRecord:
        """Return the record after an access."""
        del resident
        if known is None:
            return AccessRecord(clock, 0, 1, group)
        return AccessRecord(clock, max(0, clock - known.accessed_at), known.accesses + 1, group)

    def forget(self, record: AccessRecord) -> None:
        """Nothing was learnt."""

    def worth(self, record: AccessRecord, clock: int) -> float:
        """The clock of the last access."""
        del clock
        return float(record.accessed_at)

    def dump(self) -> dict[str, object]:
        """Nothing was learnt."""
        return {}

    def restore(self, state: Mapping[str, object]) -> None:
        """Nothing was learnt."""
