"""Keras 2 and Keras 3 files (.h5, .weights.h5, .keras) through h5py, zipfile and json alone."""
