"""What lz4 with and without a byte shuffle makes of simulation files: see docs/compression.md."""
