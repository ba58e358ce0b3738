"""Pictures, tables and pages of results: pure functions of `Results`."""
