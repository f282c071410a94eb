"""A dense layer with the ReLU and the dropout after it."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import fully_connected, images, packing
from tinyvgg.kernels.fast.arena import Tensor, whole_vectors
from tinyvgg.kernels.fast.program import Weight
from tinyvgg.nn.fused.values import Filters, Row, Value


@dataclass
class FullyConnected:
    """Dense, then ReLU and Dropout if they follow. Its source may be images, each of which it reads as one row."""
    source: Value
    target: Value
    dense: Any
    relu: bool = False
    dropout: Any = None
    accumulates = False

    def __post_init__(self):
        inputs, self.units = self.dense.parameters["kernel"].shape
        channels, stored = self.source.grid[2], self.source.channels
        if stored == channels:
            channels = stored = inputs                              # pixels without gaps: one row
        self.weights = Filters(self.dense, "kernel", inputs // channels, channels, stored, self.units)
        self.bias = Row(self.dense, "bias", self.units) if self.dense.use_bias else None
        self.rows, self.columns = inputs // channels * stored, whole_vectors(self.units)

    def describe(self):
        parts = ["ReLU"] * self.relu + ["dropout"] * (self.dropout is not None)
        return f"{self.dense.name}: dense" + (f"; fused: {', '.join(parts)}" if parts else "")

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Take the buffers that belong to this stage."""
        arena = memory.arena
        self.identity = memory.identity(self.columns)
        self.packed = memory.packed(self.rows * self.columns)
        self.weights.allocate(memory)
        if self.bias is not None:
            self.bias.allocate(memory)
        self.mask = arena.take(memory.capacity * self.columns) if self.dropout is not None and memory.keeps else 0
        self.source_flat, self.target_flat = self.source.tensor.flat(), self.target.tensor.flat()
        if memory.keeps:
            self.packed_back = memory.packed(self.rows * self.columns)
            self.source_gradient, self.target_gradient = self.source.gradient.flat(), self.target.gradient.flat()

    def forward(self, program, mode):
        """Add the steps from source to target."""
        name = self.dense.name
        kernel = self.weights.read(program)
        program.add(fully_connected.pack, name, when=self.weights.when, kernel=kernel, **self.packed,
                    depth=self.rows, padded_depth=self.rows, filters=self.columns)
        program.add(fully_connected.forward, name, x=self.source_flat, y=self.target_flat, kernel=kernel, packed=self.packed["packed"],
                    bias=self._bias(program), gate=self.relu, **self._mask(mode))

    def _bias(self, program):
        return self.bias.read(program) if self.bias is not None else self.identity + self.columns

    def _mask(self, mode):
        drops = mode == "train" and self.dropout is not None and self.dropout.rate > 0
        return {"mask": self.mask, "mask_image": self.columns} if drops else {"mask": 0, "mask_image": 0}

    def draw_mask(self, arena, count):
        """Draw the mask of the next training step from the dropout layer's generator."""
        arena.matrix(self.mask, count, self.columns)[:, :self.units] = self.dropout.mask((count, self.units),
                                                                                         np.dtype(np.float32))

    def backward(self, program, mode, gradients, inputs):
        """Add the steps from the target's gradient to the source's and, with `gradients`, to those of the weights."""
        name, mask = self.dense.name, self._mask(mode)
        if self.relu:
            mask = mask if mask["mask"] else {"mask": self.identity, "mask_image": 0}
            program.add(fully_connected.gate, name, g=self.target_gradient, y=self.target_flat, **mask)
        elif mask["mask"]:
            factors = Tensor(self.mask, self.columns, self.columns, 1, 1, self.columns)
            program.add(images.mask_images, name, y=self.target_gradient, x=factors)
        if gradients:
            program.add(fully_connected.kernel_gradient, name, x=self.source_flat, g=self.target_gradient,
                        gradient=self.weights.gradient(), depth=self.rows, filters=self.units,
                        bias_gradient=Weight(self.dense.gradients, "bias") if self.bias is not None else 0)
            self.weights.collect(program)
        if inputs:
            program.add(packing.pack_transposed, name, when=self.weights.when, kernel=self.weights.read(program),
                        **self.packed_back, depth=self.rows, filters=self.columns)
            program.add(fully_connected.input_gradient, name, g=self.target_gradient, dx=self.source_gradient,
                        packed=self.packed_back["packed"])
            self.source.fresh()
