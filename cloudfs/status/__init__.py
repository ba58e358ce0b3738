"""The status of a running mount: document, snapshots and exporters."""
