"""Training scripts that know nothing of cloudfs: they take a data directory and read its files."""
