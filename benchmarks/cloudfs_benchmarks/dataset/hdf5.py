"""Creating HDF5 files on disks that may become full.

HDF5 cannot close a file that it cannot write: the file stays open, and the process may crash when
the handle is collected. So HDF5 is not told, and the error comes when it has closed the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


@contextmanager
def create_hdf5(path: Path) -> Iterator[h5py.File]:
    """Create a file, or replace one; `OSError` at the end when not everything could be written."""
    with _Disk(path) as disk:
        with h5py.File(disk, "w") as file:
            yield file
        if disk.error is not None:
            raise disk.error


class _Disk(io.RawIOBase):
    """A file whose first failure is kept in `error`; from then on writing does nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        rest = view
        try:
            while rest and self.error is None:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's length."""
        try:
            return self._file.truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read from where the file stands."""
        return self._file.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where the next read or write begins."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            try:
                self._file.close()
            finally:
                super().close()
