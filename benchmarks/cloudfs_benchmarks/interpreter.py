"""How children run Python: whatever the user's PYTHON* variables and working folder hold.

It does not know what they run.
"""

from __future__ import annotations

import sys


def python(*arguments: str) -> list[str]:
    """Return the command that runs this interpreter with `arguments`, isolated and unbuffered.

    Isolated (-I) since a module of the user's PYTHONPATH or working folder would replace one of
    the standard library of the same name; the packages must be installed.
    """
    return [sys.executable, "-I", "-u", *arguments]
