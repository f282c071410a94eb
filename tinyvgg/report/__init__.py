"""Records, tables and figures, made from arrays and plain data only."""
