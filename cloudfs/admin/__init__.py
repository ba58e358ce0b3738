"""Admin operations of a running mount: warm-up, pins, eviction, invalidation, verify, usage."""
