"""What the registry keeps: everything in use, and of the rest as much as its bounds allow."""

from __future__ import annotations

from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion
from cloudfs_cache.memory import registry as objects
from cloudfs_cache.memory.block import CachedObject
from cloudfs_cache.memory.registry import ObjectRegistry


def cached(key: str, blocks: int, *, opens: int = 0) -> CachedObject:
    found = CachedObject(ObjectVersion("s3://b", key, "1", blocks * BLOCK_BYTES))
    found.opens = opens
    return found


def test_the_longest_idle_are_forgotten_when_there_are_too_many() -> None:
    registry = ObjectRegistry()
    kept = [cached(f"k{number}", 1) for number in range(objects._IDLE_MAX + 3)]
    for found in kept[:-3]:
        registry.add(found)
    registry.get(kept[0].version)
    for found in kept[-3:]:
        registry.add(found)
    assert [registry.peek(found.version) is None for found in kept[:5]] == [
        False, True, True, True, False,
    ]  # fmt: skip


def test_large_objects_count_by_their_blocks() -> None:
    registry = ObjectRegistry()
    half = objects._BLOCKS_MAX // 2
    first, second, third = (cached(key, half) for key in "abc")
    for found in (first, second, third):
        registry.add(found)
    assert registry.peek(first.version) is None
    assert registry.peek(second.version) is second
    assert registry.peek(third.version) is third


def test_what_is_open_stays() -> None:
    registry = ObjectRegistry()
    in_use = cached("a", objects._BLOCKS_MAX, opens=1)
    registry.add(in_use)
    registry.add(cached("b", 5))
    assert registry.peek(in_use.version) is in_use


def test_one_that_is_larger_than_the_bound_is_entered() -> None:
    registry = ObjectRegistry()
    huge = cached("a", objects._BLOCKS_MAX + 1)
    registry.add(huge)
    assert registry.get(huge.version) is huge
