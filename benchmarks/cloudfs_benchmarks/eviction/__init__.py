"""The simulator that judges the eviction policies; see docs/eviction.md."""
