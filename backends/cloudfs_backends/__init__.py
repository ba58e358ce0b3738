"""Object stores behind one protocol. Knows neither FUSE nor blocks."""
