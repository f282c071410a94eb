"""The constants of the generated C as they lie in flash: weights in blocks of two filters, biases with the zero point in them.

A flip there is not the same as one in the .tvq: the input's zero point has been folded into the bias with the weights as they
were, so a changed weight meets x instead of x - zero.
"""
from dataclasses import replace
from math import prod

import numpy as np

from tinyvgg.codegen.ops._common import UNROLL, pair_blocks, round_up
from tinyvgg.codegen.program import build_program
from tinyvgg.errors import NotYet
from tinyvgg.faults.store import GraphStore
from tinyvgg.quant.graph import DepthwiseConv2D, SharedWeights, Tail
from tinyvgg.quant.packing import unpack_bits


class ImageStore(GraphStore):
    """The arrays of a graph's C, named and laid out as in NAME_weights.c, and each integer layer's shift."""

    form = "image"

    def __init__(self, graph):
        super().__init__(graph)
        expanded = [op.name for op in graph.ops if getattr(op, "variant", "direct") not in ("direct", "direct_ram")]
        if expanded:
            raise NotYet(f"{expanded[0]!r} is not a direct convolution; the image's words are known for direct ones only", "--plan direct")
        self.program = build_program(graph, "network")
        for op in graph.ops:
            prefix = f"{self.program.symbol(op)}_"
            own = [c for c in self.program.constants if c.op == op.name]
            self.arrays.update({f"{op.name}/{c.name.removeprefix(prefix)}": np.array(c.array) for c in own})
            if isinstance(getattr(op, "tail", None), Tail):
                self.arrays[f"{op.name}/tail_shift"] = np.array([op.tail.shift], np.uint32)

    @property
    def sha256(self):
        """SHA-256 of the graph before any flip, which the board says in its HELLO."""
        from tinyvgg.quant.tvq import graph_sha256
        return graph_sha256(self.original)

    def constant(self, key, name="network"):
        """The C name of an array in a network called `name`; of a shift, that of its layer's struct."""
        op, what = key.rsplit("/", 1)
        symbol = self.program.symbol(self.original[op])
        return f"{symbol}_layer" if what == "tail_shift" else f"{name}_{symbol}_{what}"

    def usable(self, key):
        op, what = self.original[key.rsplit("/", 1)[0]], key.rsplit("/", 1)[1]
        if what != "weights" or isinstance(op, DepthwiseConv2D) or not isinstance(op.tail, Tail):
            return super().usable(key)
        return self.layout(op, np.ones(op.weights.shape, np.int8)).reshape(-1) != 0

    def layout(self, op, values):
        """Put values shaped as an op's weights where C keeps them; padding is 0."""
        if isinstance(op, DepthwiseConv2D):
            return values.transpose(1, 2, 0)
        if not isinstance(op.tail, Tail):
            return values
        if values.dtype == np.int8:
            return pair_blocks(values.reshape(len(values), -1))
        f, k = len(values), prod(values.shape[1:])
        padded = np.zeros((f + f % 2, round_up(k, UNROLL)), values.dtype)
        padded[:f, :k] = values.reshape(f, k)
        return padded.reshape(len(padded) // 2, 2, -1, 4).transpose(0, 2, 1, 3)

    def logical(self, op, stored):
        """The inverse of layout: weights (F, ...)."""
        shape = op.weights.shape
        if isinstance(op, DepthwiseConv2D):
            return stored.reshape(*shape[1:], shape[0]).transpose(2, 0, 1)
        if not isinstance(op.tail, Tail):
            return stored.reshape(shape)
        f, k = shape[0], prod(shape[1:])
        rows = stored.reshape((f + f % 2) // 2, -1, 2, 4).transpose(0, 2, 1, 3).reshape(f + f % 2, -1)
        return rows[:f, :k].reshape(shape)

    def indices(self, op, stored):
        """Indices (F, ...) from their packed bytes."""
        return unpack_bits(stored.reshape(-1), op.weights.bits, prod(op.weights.shape)).reshape(op.weights.shape)

    def build(self, op, arrays):
        """Return the op that the C computes: its tail's bias holds what the stored numbers make of the zero point."""
        if not hasattr(op, "weights"):
            return op
        mine = {key.rsplit("/", 1)[1]: a for key, a in arrays.items() if key.rsplit("/", 1)[0] == op.name}
        if isinstance(op.weights, SharedWeights):
            weights = SharedWeights(mine["codebook"], self.indices(op, mine["indices"]), op.weights.bits)
            expanded = weights.expand()
        else:
            weights = expanded = np.ascontiguousarray(self.logical(op, mine["weights"]))
        if not isinstance(op.tail, Tail):
            return replace(op, weights=weights, tail=replace(op.tail, **{n: mine[n] for n in ("bias", "gain", "shift") if n in mine}))
        folded = op.input_zero * expanded.reshape(len(expanded), -1).sum(axis=1, dtype=np.int64)
        bias = (mine["bias"] if "bias" in mine else 0) + folded
        bias = ((bias + 2 ** 31) % 2 ** 32 - 2 ** 31).astype(np.int32)
        tail = replace(op.tail, bias=bias, offset=mine["offset"], multiplier=mine["multiplier"], shift=int(mine["tail_shift"][0]),
                       high=mine.get("high", op.tail.high))
        return replace(op, weights=weights, tail=tail)

