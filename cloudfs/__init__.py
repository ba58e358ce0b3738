"""cloudfs: an object-store bucket mounted as a POSIX directory for training jobs."""

__version__ = "0.1.0"
