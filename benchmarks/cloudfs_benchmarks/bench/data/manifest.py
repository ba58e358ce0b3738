"""`cloudfs-bench.json`: what the benchmark wrote. Written last: its presence says complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import xxhash

from cloudfs_benchmarks.bench.data.files import File
from cloudfs_benchmarks.bench.errors import BenchError

MANIFEST_NAME = "cloudfs-bench.json"
LAYOUT = 1
"""Raised when the folders, formats or contents of the data change."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was asked for, and every file with its path relative to the data's folder."""

    seed: int
    size_bytes: int
    files: tuple[File, ...]

    def to_text(self) -> str:
        """The content of `cloudfs-bench.json`."""
        files = {file.path: {"size": file.size, "xxh3_64": file.digest} for file in self.files}
        document = {"layout": LAYOUT, "seed": self.seed, "size": self.size_bytes, "files": files}
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def parse(cls, text: bytes, where: str) -> Manifest:
        """The content of the manifest `where`; `BenchError` when damaged or of another layout."""
        try:
            document = json.loads(text)
            layout = document["layout"]
            if layout == LAYOUT:
                return cls(document["seed"], document["size"], tuple(_files(document["files"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(
                f"{where} is damaged ({error!r}): write the data again with `cloudfs bench data`"
            ) from error
        raise BenchError(
            f"{where} has layout {layout}, this version knows {LAYOUT}: "
            "write the data again with `cloudfs bench data`"
        )


def _files(entries: dict[str, Any]) -> Iterator[File]:
    for path, entry in entries.items():
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} leads out of the folder")
        yield File(path, int(entry["size"]), str(entry["xxh3_64"]))


class Digest:
    """XXH3-64 and length of what goes through `through`."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_64()
        self.size = 0

    def through(self, chunks: Iterable[memoryview]) -> Iterator[memoryview]:
        """The same chunks, counted; each is valid until the next is asked for."""
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def hexadecimal(self) -> str:
        """16 digits."""
        return str(self._hash.hexdigest())


def blocks(file: BinaryIO) -> Iterator[memoryview]:
    """The rest of a file in blocks of at most 1 MiB, all in one buffer."""
    buffer = memoryview(bytearray(_BLOCK_BYTES))
    while length := _fill(file, buffer):
        yield buffer[:length]


def _fill(file: BinaryIO, buffer: memoryview) -> int:
    # Typeshed gives `readinto` to the concrete classes only.
    return int(file.readinto(buffer) or 0)  # type: ignore[attr-defined]


def digest_of(file: BinaryIO) -> Digest:
    """The digest of the rest of a file."""
    digest = Digest()
    for _ in digest.through(blocks(file)):
        pass
    return digest
