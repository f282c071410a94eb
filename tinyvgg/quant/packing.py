"""Indices of 1 to 8 bits in bytes, the first index in the highest bits, as X-CUBE-AI stores its own."""

import numpy as np


def packed_size(count, bits):
    """Return the bytes that `count` indices of `bits` need: ceil(count * bits / 8)."""
    return (count * bits + 7) // 8


def pack_bits(indices, bits):
    """indices (any shape) below 2^bits -> uint8 (packed_size,), in C order; unused bits at the end are 0."""
    flat = np.asarray(indices, np.uint8).reshape(-1)
    if bits == 8:
        return flat.copy()
    return np.packbits(np.unpackbits(flat[:, None], axis=1)[:, 8 - bits :].reshape(-1))


def unpack_bits(packed, bits, count):
    """Return the `count` indices that pack_bits stored, uint8 (count,)."""
    if bits == 8:
        return packed[:count].copy()
    columns = np.unpackbits(packed, count=count * bits).reshape(count, bits)
    return np.packbits(columns, axis=1)[:, 0] >> (8 - bits)
