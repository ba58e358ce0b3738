"""Blocks and tiers: memory and local SSD. Knows neither FUSE nor any cloud."""
