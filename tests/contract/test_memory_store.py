"""The contract on the in-memory double: other tests rely on it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cloudfs_backends.common.mtime import metadata_mtime_ns
from tests.contract.suite import StoreContract
from tests.support.memory_store import MemoryStore


class _World:
    def __init__(self) -> None:
        self.store = MemoryStore()

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        self.store.put(key, data, mtime_ns=metadata_mtime_ns(metadata or {}) or 0)

    def delete(self, key: str) -> None:
        self.store.delete(key)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def world(self) -> _World:
        return _World()
