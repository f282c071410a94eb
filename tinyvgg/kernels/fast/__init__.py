"""Numba kernels with the names and signatures of tinyvgg.kernels.reference."""
