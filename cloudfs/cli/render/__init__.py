"""How the state of a mount is shown: as a page, a table, rows, a live view, or JSON."""
