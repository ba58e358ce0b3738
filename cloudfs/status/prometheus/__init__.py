"""Prometheus metrics of a mount over HTTP, made from its status document."""
