"""The weights of a float graph as one array of bytes, in X-CUBE-AI's layout, and the size of any graph's constants.

Layout: for each op its weights, then bias, then gain and shift of a batch-norm that follows the activation; float32,
little-endian; convolutions [out][kh][kw][in], dense layers [out][in]. Shared weights: the codebook of 2^bits float32, ascending
(the last entry repeated where fewer are used), then the indices, the first in the high bits.
"""

from dataclasses import dataclass

import numpy as np

from tinyvgg.errors import NotYet
from tinyvgg.quant.ops import Activation, CodedWeights, LayerNorm, LevelTable, LiteSoftmax, LiteTail, PRelu, SharedWeights, Tail, Weighted
from tinyvgg.quant.packing import pack_bits, packed_size
from tinyvgg.quant.prefix import LONGEST, coded_bits, coded_size


@dataclass(frozen=True)
class Section:
    """One tensor in the array of weights: `size` bytes from `offset` on; bits: 32, or of an index into a codebook."""

    op: str
    tensor: str
    offset: int
    size: int
    items: int
    bits: int = 32


def weights_blob(graph):
    """Return the bytes and the Sections of a float Graph, in order and without gaps."""
    data, sections = bytearray(), []
    for op in graph.ops:
        for tensor, array in tensors(op):
            part, bits = _encode(op, tensor, array)
            sections.append(Section(op.name, tensor, len(data), len(part), int(np.prod(array.shape)), bits))
            data += part
    return bytes(data), sections


def tensors(op):
    """(name, array or SharedWeights) of an op of a float graph, in the order of the layout."""
    if not isinstance(op, Weighted):
        return _others(op)
    found = [("weights", op.weights), ("bias", op.tail.bias)]
    return found + ([("gain", op.tail.gain), ("shift", op.tail.shift)] if op.tail.gain is not None else [])


def _others(op):
    """(name, array) of the constants of an op that has no weights."""
    if isinstance(op, LayerNorm):
        return [("gain", op.gain), ("shift", op.shift)]
    return [("slopes", op.below)] if isinstance(op, PRelu) else []


def _encode(op, tensor, array):
    if not isinstance(array, SharedWeights):
        return np.ascontiguousarray(array, "<f4").tobytes(), 32
    if array.codebook.ndim != 1 or array.bits not in (4, 8):
        raise NotYet(
            f"X-CUBE-AI's layout has no codebook of {array.bits} bits per channel ({op.name!r}/{tensor})", "4 or 8 bits per layer"
        )
    book = np.concatenate([array.codebook, np.repeat(array.codebook[-1:], 2**array.bits - len(array.codebook))])
    return book.astype("<f4").tobytes() + pack_bits(array.indices, array.bits).tobytes(), array.bits


def constant_bytes(graph):
    """Return {op: bytes} of the constants that C code needs for a graph: weights, codebooks, biases, tails, tables."""
    weighted = {op.name: weight_bytes(op.weights) + _tail_bytes(op.tail) for op in graph.ops if isinstance(op, Weighted)}
    tables = {op.name: op.table.nbytes for op in graph.ops if isinstance(op, Activation | LevelTable) and op.integer}
    tables |= {op.name: sum(array.nbytes for _, array in found) for op in graph.ops if (found := _others(op))}
    return weighted | tables | {op.name: op.exponentials.nbytes for op in graph.ops if isinstance(op, LiteSoftmax)}


def stored_bits(weights):
    """Return the bits of a stored weight: of its dtype, of an index, or the mean length of its code (a float)."""
    if isinstance(weights, CodedWeights):
        return round(coded_bits(weights.indices, weights.lengths) / weights.indices.size, 2)
    return weights.bits if isinstance(weights, SharedWeights) else 8 * weights.dtype.itemsize


def weight_bytes(weights):
    """Return the bytes of plain or shared weights: indices (packed or coded), codebook and code lengths included."""
    if isinstance(weights, CodedWeights):
        return coded_size(coded_bits(weights.indices, weights.lengths)) + LONGEST + weights.codebook.nbytes
    if isinstance(weights, SharedWeights):
        return packed_size(weights.indices.size, weights.bits) + weights.codebook.nbytes
    return weights.nbytes


def _tail_bytes(tail):
    if isinstance(tail, LiteTail):
        return tail.bias.nbytes + tail.multiplier.nbytes + len(tail.exponent)
    names = ("bias", "offset", "multiplier", "high") if isinstance(tail, Tail) else ("bias", "gain", "shift")
    arrays = [getattr(tail, name) for name in names]
    return sum(a.nbytes for a in arrays if a is not None and not (isinstance(tail, Tail) and a is tail.bias and not a.any()))
