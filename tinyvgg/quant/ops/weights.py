"""Weights of ops: plain arrays, or indices into a codebook."""
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SharedWeights:
    """Weights as indices into a codebook: w[f, ...] = codebook[indices[f, ...]], or codebook[f, indices[f, ...]] by channel.

    codebook: int8 (float32 in a float graph), (K,) for the whole layer or (F, K), sorted ascending, K = 2^bits at most;
    indices: uint8, of the weights' shape. A file packs the indices `bits` each, first in the high bits.
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


def weights_of(op):
    """Return the weights of an op as a plain array, codebooks looked up."""
    return expanded(op.weights)


def expanded(weights):
    """Return plain or shared weights as a plain array."""
    return weights.expand() if isinstance(weights, SharedWeights) else weights


def along(values, weights):
    """values (F,) as they multiply weights (F, ...)."""
    return np.reshape(values, (-1, *[1] * (weights.ndim - 1)))
