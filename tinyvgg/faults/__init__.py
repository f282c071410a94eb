"""Bit flips in the weights: fault and memory models, searches, sensitivity maps, defences."""
