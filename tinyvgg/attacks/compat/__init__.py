"""Other libraries' attack functions by their own names, signatures and steps."""
