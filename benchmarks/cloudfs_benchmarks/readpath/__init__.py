"""Benchmarks of reading through a mount, against the store's ceiling and the disk itself."""
