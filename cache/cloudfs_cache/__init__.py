"""Block cache: memory over local SSDs over a store."""
