"""Prefetch policies: the bytes that readers will want next. Pure, no I/O."""
