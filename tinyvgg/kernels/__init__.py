"""Array functions behind the layers: `reference` (NumPy, the definition) and `fast` (Numba, the same results)."""
