"""Which bytes a reader will want next: pure policy, no I/O."""
