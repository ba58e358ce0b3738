"""What an operator asks of a running mount: warm, pin, evict, invalidate, verify, and look."""
