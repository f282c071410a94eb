"""The reader of ST's float codebooks (`AI_ARRAY_FORMAT_LUT4_FLOAT`, `LUT8_FLOAT`), written only from its output.

Layout, proven on a network whose float weights are public: the codebook comes first (2^bits float32, little-endian, sorted
ascending, 64 or 1,024 bytes), then the indices row by row, [out][in], one byte each, or two in a byte with the first weight in
the high half; a row with an odd number of inputs ends with half a byte of padding.
"""

from dataclasses import dataclass

import numpy as np

from tinyvgg.analyze.st import lut_bytes
from tinyvgg.errors import FormatError


@dataclass(frozen=True)
class Codebook:
    """A shared tensor: codebook (2^bits,) float32 and indices (items,) uint8, in ST's order [out][in]."""

    codebook: np.ndarray
    indices: np.ndarray

    @property
    def values(self):
        """The weights (items,) float32 that the runtime uses."""
        return self.codebook[self.indices]


def decode_lut(data, items, bits, row=0):
    """Read a shared tensor of `items` weights from bytes that begin with the codebook -> Codebook.

    row: number of weights of one output, whose indices begin at a new byte; 0 if rows follow each other without padding. Raises
    FormatError if bytes are missing, or the codebook is not sorted or not finite.
    """
    if bits not in (4, 8):
        raise FormatError(f"codebooks have 4 or 8 bits, not {bits}")
    if items < 1 or len(data) < lut_bytes(items, bits, row):
        raise FormatError(
            f"{items:,} weights shared at {bits} bits take {lut_bytes(items, bits, row):,} bytes; there are {len(data):,}",
            "the whole *_data_params.c, and the network.c that was generated with it",
        )
    codebook = np.frombuffer(data, "<f4", 2**bits)
    if not np.isfinite(codebook).all() or (np.diff(codebook) < 0).any():
        raise FormatError(
            f"the {2**bits} values at the codebook's place are not sorted finite floats: this is not a codebook, or "
            "the offset is that of another network"
        )
    stored = np.frombuffer(data, np.uint8, lut_bytes(items, bits, row) - codebook.nbytes, offset=codebook.nbytes)
    if bits == 8:
        return Codebook(codebook.copy(), stored.copy())
    nibbles = np.stack([stored >> 4, stored & 15], axis=1).reshape(-1)
    if row:
        nibbles = nibbles.reshape(items // row, -1)[:, :row].reshape(-1)
    return Codebook(codebook.copy(), nibbles[:items].copy())


def dense_kernel(values, inputs, outputs):
    """Turn stored weights (outputs * inputs,) in ST's order into a Keras kernel (inputs, outputs)."""
    return np.asarray(values).reshape(outputs, inputs).T
