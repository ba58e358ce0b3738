"""The double keeps the contract, or tests that lean on it prove nothing."""

from __future__ import annotations

import pytest

from cloudfs_backends.memory import MemoryStore
from tests.contract.suite import StoreContract


class _World:
    def __init__(self) -> None:
        self.store = MemoryStore()

    def put(self, key: str, data: bytes) -> None:
        self.store.put(key, data)

    def delete(self, key: str) -> None:
        self.store.delete(key)


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def world(self) -> _World:
        return _World()
