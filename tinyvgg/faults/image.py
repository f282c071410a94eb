"""The constants of the generated C as stored in flash: weights in blocks of two filters, biases that include the zero point. A
flip there differs from one in the .tvq: the bias contains the input's zero point times the original weights, so a changed weight
is multiplied with x instead of x - zero.
"""
from dataclasses import replace
from math import prod

import numpy as np

from tinyvgg.codegen.ops import _fixed
from tinyvgg.codegen.ops._common import UNROLL, pair_blocks, round_up
from tinyvgg.codegen.program import build_program
from tinyvgg.errors import NotYet
from tinyvgg.faults.store import GraphStore
from tinyvgg.quant.ops.depthwise_conv2d import DepthwiseConv2D
from tinyvgg.quant.ops.level_table import LevelTable
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import SharedWeights
from tinyvgg.quant.packing import unpack_bits


def is_fixed(op):
    """Return whether an op's kernel was generated for its shape: int8 weights that are expanded in RAM ("..._ram", "..._rows"),
    or int16 weights."""
    return getattr(op, "variant", "direct") not in ("direct", "direct_ram")


class ImageStore(GraphStore):
    """The arrays of a graph's C, with names and layout as in NAME_weights.c, and the shift of each integer layer whose struct has
    one."""

    form = "image"

    def __init__(self, graph):
        super().__init__(graph)
        for op in graph.ops:
            if _fixed.is_transformed(getattr(op, "variant", "direct")):
                raise NotYet(f"{op.name!r} runs as {op.variant}, whose transformed words are weights of no convolution: their flips are not "
                             "simulated", f"the variant {_fixed.base_of(op.variant)}_ram, direct16 or direct for that layer")
        self.program, self._permutations = build_program(graph, "network"), {}
        for op in graph.ops:
            prefix = f"{self.program.symbol(op)}_"
            own = [c for c in self.program.constants if c.op == op.name]
            self.arrays.update({f"{op.name}/{c.name.removeprefix(prefix)}": np.array(c.array) for c in own})
            if is_fixed(op) and f"{op.name}/weights" not in self.arrays:
                raise NotYet(f"{op.name!r} runs as {op.variant} and looks its codebook up there: flips of its indices are not simulated",
                             "the variant direct_ram or direct for that layer")
            if is_fixed(op):                       # its shift is a number in the code
                words = self.arrays[f"{op.name}/weights"]
                self.arrays[f"{op.name}/weights"] = words.view(np.int16) if words.dtype == np.uint32 else words
            elif isinstance(op, Weighted) and op.integer and not op.lite:
                self.arrays[f"{op.name}/tail_shift"] = np.array([op.tail.shift], np.uint32)

    def constant(self, key, name="network"):
        """Return the C name of an array in a network called `name`; for a shift, the name of its layer's struct."""
        op, what = key.rsplit("/", 1)
        symbol = self.program.symbol(self.original[op])
        return f"{symbol}_layer" if what == "tail_shift" else f"{name}_{symbol}_{what}"

    def usable(self, key):
        op, what = self.original[key.rsplit("/", 1)[0]], key.rsplit("/", 1)[1]
        if what != "weights" or isinstance(op, DepthwiseConv2D) or not op.integer:
            return super().usable(key)
        return self.layout(op, np.ones(op.weights.shape, np.int8)).reshape(-1) != 0

    def layout(self, op, values):
        """Arrange values of an op's weights as C stores them; padding is 0."""
        if not op.integer:
            return values
        if isinstance(op, DepthwiseConv2D):
            return values.transpose(1, 2, 0)
        if is_fixed(op):
            places = self._places(op)
            laid = np.zeros(places.shape, values.dtype)
            laid[places >= 0] = values.reshape(-1)[places[places >= 0]]
            return laid
        if values.dtype == np.int8:
            return pair_blocks(values.reshape(len(values), -1))
        f, k = len(values), prod(values.shape[1:])
        padded = np.zeros((f + f % 2, round_up(k, UNROLL)), values.dtype)
        padded[:f, :k] = values.reshape(f, k)
        return padded.reshape(len(padded) // 2, 2, -1, 4).transpose(0, 2, 1, 3)

    def logical(self, op, stored):
        """The inverse of layout: weights (F, ...)."""
        shape = op.weights.shape
        if not op.integer:
            return stored.reshape(shape)
        if isinstance(op, DepthwiseConv2D):
            return stored.reshape(*shape[1:], shape[0]).transpose(2, 0, 1)
        if is_fixed(op):
            places, flat = self._places(op), np.empty(prod(shape), stored.dtype)
            flat[places[places >= 0]] = stored.reshape(-1)[places >= 0]
            return flat.reshape(shape)
        f, k = shape[0], prod(shape[1:])
        rows = stored.reshape((f + f % 2) // 2, -1, 2, 4).transpose(0, 2, 1, 3).reshape(f + f % 2, -1)
        return rows[:f, :k].reshape(shape)

    def _places(self, op):
        """For each stored number of a fixed convolution the flat index of its weight, -1 for padding.

        Found by laying out the indices themselves, six bits at a time and one more than they are, since 0 is padding.
        """
        if op.name not in self._permutations:
            index, found = np.arange(prod(op.weights.shape)).reshape(op.weights.shape), 0
            for digit in range(4):
                laid = self._laid(op, (index >> 6 * digit & 63).astype(np.int8) + np.int8(1)).astype(np.int64)
                found = found + (np.maximum(laid - 1, 0) << 6 * digit)
            self._permutations[op.name] = np.where(laid > 0, found, -1)
        return self._permutations[op.name]

    def _laid(self, op, weights):
        """int8 weights (F, KH, KW, C) as the kernel of a fixed convolution keeps them, flat."""
        if op.variant in ("direct16", "direct16_held"):
            depth = self.arrays[f"{op.name}/weights"].size // (2 * round_up(len(weights), 4))
            return _fixed.words16(weights, depth).reshape(-1).view(np.int16)
        laid = _fixed.bytes16(weights) if _fixed.base_of(op.variant) == "direct16" else _fixed.bytes_winograd(weights)
        return np.ascontiguousarray(laid).reshape(-1)

    def indices(self, op, stored):
        """Indices (F, ...) from their packed bytes."""
        return unpack_bits(stored.reshape(-1), op.weights.bits, prod(op.weights.shape)).reshape(op.weights.shape)

    def build(self, op, arrays):
        """Return the op that the C computes: the bias in its tail includes the zero point, with the stored weights."""
        if isinstance(op, LevelTable):
            return replace(op, table=arrays[f"{op.name}/table"])
        if not isinstance(op, Weighted):
            return op
        mine = {key.rsplit("/", 1)[1]: a for key, a in arrays.items() if key.rsplit("/", 1)[0] == op.name}
        if "codebook" in mine:
            weights = SharedWeights(mine["codebook"], self.indices(op, mine["indices"]), op.weights.bits)
            expanded = weights.expand()
        else:
            weights = expanded = np.ascontiguousarray(self.logical(op, mine["weights"]))
        if not op.integer:
            return replace(op, weights=weights, tail=replace(op.tail, **{n: mine[n] for n in ("bias", "gain", "shift") if n in mine}))
        folded = op.input_zero * expanded.reshape(len(expanded), -1).sum(axis=1, dtype=np.int64)
        bias = (mine["bias"] if "bias" in mine else 0) + folded
        bias = ((bias + 2 ** 31) % 2 ** 32 - 2 ** 31).astype(np.int32)
        if op.lite:
            return replace(op, weights=weights, tail=replace(op.tail, bias=bias, multiplier=mine["multiplier"],
                                                             exponent=mine["exponent"].astype(np.int32)))
        shift = int(mine["tail_shift"][0]) if "tail_shift" in mine else op.tail.shift
        tail = replace(op.tail, bias=bias, offset=mine["offset"], multiplier=mine["multiplier"], shift=shift,
                       high=mine.get("high", op.tail.high))
        return replace(op, weights=weights, tail=tail)

