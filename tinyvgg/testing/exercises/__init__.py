"""The exercises of the notebooks (docs/notebooks/) and of the course (docs/course/): `check("conv_gradient", your_function)`."""
from tinyvgg.testing.exercises import attack, batch_norm, board, chain, convolution, eight_bits, flips
from tinyvgg.testing.exercises._registry import EXERCISES, NotYetRight, check
from tinyvgg.testing.exercises.pieces import pieces, require

NOTEBOOKS = {"1-convolution": convolution, "2-batch-norm": batch_norm, "3-pgd": attack, "4-eight-bits": eight_bits,
             "5-bit-flips": flips, "6-on-the-board": board}
COURSE = chain
__all__ = ["COURSE", "EXERCISES", "NOTEBOOKS", "NotYetRight", "check", "pieces", "require"]
