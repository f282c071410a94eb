"""Models in files: our own checkpoint and Keras' formats."""
