"""`python -m cloudfs_benchmarks.demo.drop_pages DIR`: drop the page cache of the files below DIR.

Works without root. A process of its own, because a call into a mount cannot be interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def drop_pages(root: Path) -> None:
    """Ask the kernel to forget the cached pages of every file below `root`."""
    for folder, _, names in os.walk(root):
        for name in names:
            descriptor = os.open(os.path.join(folder, name), os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


if __name__ == "__main__":
    drop_pages(Path(sys.argv[1]))
