"""The exercises of the notebooks in docs/notebooks/: `check("conv_gradient", your_function)`."""
from tinyvgg.testing.exercises import attack, batch_norm, board, convolution, eight_bits, flips
from tinyvgg.testing.exercises._registry import EXERCISES, NotYetRight, check

NOTEBOOKS = {"1-convolution": convolution, "2-batch-norm": batch_norm, "3-pgd": attack, "4-eight-bits": eight_bits,
             "5-bit-flips": flips, "6-on-the-board": board}
__all__ = ["EXERCISES", "NOTEBOOKS", "NotYetRight", "check"]
