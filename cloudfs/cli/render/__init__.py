"""Renderers of the status document: page, table and options, and of the progress of jobs."""
