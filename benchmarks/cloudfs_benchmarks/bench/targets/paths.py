"""What a path may be before something is written or removed there."""

from __future__ import annotations


def check_inside(path: str) -> None:
    """`ValueError` for a path that names the tree's root or could lead out of it."""
    if not path or path.startswith("/") or not {"", ".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} is not a path below the root of a target")
