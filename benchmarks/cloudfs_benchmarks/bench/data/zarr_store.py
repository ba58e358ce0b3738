"""A Zarr hierarchy on a target that the kernel has no path for, for zarr-python 3.

Imports zarr: to be imported where that is installed and wanted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import closing

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from cloudfs_benchmarks.bench.targets.tree import Tree


class TreeStore(Store):
    """The files below a folder of a tree, read only.

    Reads block zarr's event loop: a tree does one thing at a time.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, tree: Tree, folder: str) -> None:
        super().__init__(read_only=True)
        self._tree = tree
        self._folder = folder

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, TreeStore)
            and other._tree is self._tree
            and other._folder == self._folder
        )

    def __hash__(self) -> int:
        return hash((id(self._tree), self._folder))

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """The bytes of a key, or a range of them; None when there is no such key."""
        try:
            content = self._read(self._path(key), byte_range)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        return prototype.buffer.from_bytes(content)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """The ranges of the keys, in order."""
        return [await self.get(key, prototype, range_) for key, range_ in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        try:
            self._tree.size(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    async def set(self, key: str, value: Buffer) -> None:
        """Refused."""
        raise PermissionError(f"{self._path(key)}: the benchmark only reads")

    async def delete(self, key: str) -> None:
        """Refused."""
        raise PermissionError(f"{self._path(key)}: the benchmark only reads")

    async def list(self) -> AsyncIterator[str]:
        """All keys."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """The keys that start with `prefix`."""
        for path, _ in self._tree.walk(self._folder):
            key = path.removeprefix(f"{self._folder}/")
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below `prefix`."""
        for entry in self._tree.entries(self._path(prefix.rstrip("/"))):
            yield entry.name

    def _path(self, key: str) -> str:
        return "/".join(part for part in (self._folder, key) if part)

    def _read(self, path: str, byte_range: ByteRequest | None) -> bytes:
        match byte_range:
            case None:
                start, stop = 0, self._tree.size(path)
            case RangeByteRequest(start, end):
                stop = min(end, self._tree.size(path))
            case OffsetByteRequest(start):
                stop = self._tree.size(path)
            case SuffixByteRequest(suffix):
                stop = self._tree.size(path)
                start = max(0, stop - suffix)
        content = bytearray(stop - start)
        with closing(self._tree.open(path)) as file:
            file.seek(start)
            view = memoryview(content)
            while view and (length := file.readinto(view)):  # type: ignore[attr-defined]
                view = view[length:]
        return bytes(content[: len(content) - len(view)])
