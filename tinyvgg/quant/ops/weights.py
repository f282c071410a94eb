"""Weights of ops: plain arrays, or indices into a codebook."""
import math
from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import FormatError
from tinyvgg.quant.prefix import code_lengths, decode


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """Weights as indices into a codebook: w[f, ...] = codebook[indices[f, ...]], or codebook[f, indices[f, ...]] by channel.

    codebook: int8 (float32 in a float graph), (K,) for the whole layer or (F, K), sorted ascending, K at most 2^bits. indices:
    uint8, of the weights' shape. In a file an index takes `bits` bits; the first index is in the high bits.
    """

    codebook: np.ndarray
    indices: np.ndarray
    bits: int

    @property
    def shape(self):
        """Shape of the weights."""
        return self.indices.shape

    def expand(self):
        """Return the weights, of the codebook's dtype."""
        if self.codebook.ndim == 1:
            return self.codebook[self.indices]
        flat = np.take_along_axis(self.codebook, self.indices.reshape(len(self.indices), -1).astype(np.intp), axis=1)
        return flat.reshape(self.indices.shape)


@dataclass(frozen=True, eq=False)
class CodedWeights(SharedWeights):
    """Shared weights whose indices are stored with a prefix code: the code of entry k has lengths[k] bits (tinyvgg.quant.prefix).

    codebook: (K,), distinct entries, one of them 0; lengths: uint8 (K,).
    """

    lengths: np.ndarray

    @classmethod
    def from_indices(cls, codebook, indices):
        """Make coded weights from entries (K,) and indices of any shape, with the best code for them."""
        lengths = code_lengths(np.bincount(indices.reshape(-1), minlength=len(codebook)))
        return cls(codebook, indices.astype(np.uint8), max(1, int(len(codebook) - 1).bit_length()), lengths)

    @classmethod
    def from_stream(cls, codebook, lengths, stream, shape):
        """Make coded weights of `shape` from an untrusted stream; raise FormatError if it does not decode to so many weights."""
        if codebook.ndim != 1 or lengths.shape != codebook.shape or len(codebook) > 256:
            raise FormatError(f"coded weights have {codebook.shape} values; expected one row of up to 256")
        indices = decode(stream, lengths, math.prod(shape)).reshape(shape)
        return cls(codebook, indices, max(1, int(len(codebook) - 1).bit_length()), lengths)

    @property
    def silent(self):
        """The index of the entry 0."""
        return int(np.flatnonzero(self.codebook == 0)[0])


def weights_of(op):
    """Return the weights of an op as a plain array; codebook indices are replaced by their entries."""
    return expanded(op.weights)


def expanded(weights):
    """Return plain or shared weights as a plain array."""
    return weights.expand() if isinstance(weights, SharedWeights) else weights


def along(values, weights):
    """Return values (F,) with axes of length 1 added, so that they broadcast against weights (F, ...)."""
    return np.reshape(values, (-1, *[1] * (weights.ndim - 1)))
