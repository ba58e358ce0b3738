"""Golden texts: what a renderer gives for one input, as a file beside its test.

`UPDATE_GOLDEN=1 python -m pytest tests/cli` writes them anew; read the difference before it is
committed.
"""

from __future__ import annotations

import os
from pathlib import Path


def check(path: Path, text: str) -> None:
    """Compare a text with the file, or write it there when an update is asked for."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path}: see {__name__}"
