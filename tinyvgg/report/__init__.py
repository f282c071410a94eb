"""Records, tables and figures: knows only arrays and plain data."""
