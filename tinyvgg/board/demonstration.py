"""The computation of the demonstration firmware (firmware/demonstration/) in NumPy: the answers that the board must give."""
import numpy as np

# Ways to misbehave that the firmware offers (function 2): what the virtual board must say of each.
MISTAKES = {0: "a load from nowhere", 1: "a store to nowhere", 2: "a store to flash", 3: "an undefined instruction",
            4: "a jump to nowhere", 5: "an unaligned LDRD", 6: "a division by zero", 7: "a stack overflow"}
CRC, NORM, MISBEHAVE = 0, 1, 2


def filters():
    """Return the ten fixed filters, (10, 3, 3, 3) int32 in -7..7."""
    return (np.arange(270) * 37 % 15 - 7).astype(np.int32).reshape(10, 3, 3, 3)


def logits(images):
    """images (N, 32, 32, 3) uint8 -> (N, 10) int32: sum over positions of max(0, correlation with filter f)."""
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(images).astype(np.int32), (3, 3), axis=(1, 2))
    maps = np.einsum("nijcpq,fpqc->nijf", windows, filters(), optimize=True)
    return np.maximum(maps, 0).sum(axis=(1, 2)).astype(np.int32)
