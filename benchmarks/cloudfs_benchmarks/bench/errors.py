"""What the benchmark can end with that the user can mend."""

from __future__ import annotations


class BenchError(Exception):
    """One line that names the thing and the fix; the command line prints it and ends with 2."""


class TargetError(BenchError):
    """A target cannot be used, or stopped working: the run goes on with the others."""
