"""A dense layer with the ReLU and the dropout behind it."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import fully_connected, packing
from tinyvgg.kernels.fast.arena import whole_vectors
from tinyvgg.kernels.fast.program import FROM_WEIGHTS, Weight
from tinyvgg.nn.fused.values import Value, parameter


@dataclass
class FullyConnected:
    """Dense, then ReLU and Dropout where they follow."""
    source: Value
    target: Value
    dense: Any
    relu: bool = False
    dropout: Any = None

    def describe(self):
        parts = ["ReLU"] * self.relu + ["dropout"] * (self.dropout is not None)
        return f"{self.dense.name}: dense" + (f"; fused: {', '.join(parts)}" if parts else "")

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Take the buffers that belong to this stage."""
        arena = memory.arena
        self.inputs, self.units = self.dense.parameters["kernel"].shape
        self.rows, self.columns = self.source.tensor.image, whole_vectors(self.units)
        self.identity = memory.identity(self.columns)
        self.packed, self.bias = memory.packed(self.rows * self.columns), arena.take(self.columns)
        self.mask = arena.take(memory.capacity * self.columns) if self.dropout is not None and memory.keeps else 0
        self.source_flat, self.target_flat = self.source.tensor.flat(), self.target.tensor.flat()
        if memory.keeps:
            self.packed_back = memory.packed(self.rows * self.columns)
            self.partial = memory.shared("partial", self.inputs * self.columns)["partial"]
            self.source_gradient, self.target_gradient = self.source.gradient.flat(), self.target.gradient.flat()

    def forward(self, program, mode):
        """Add the steps from source to target."""
        name = self.dense.name
        program.add(packing.pack, name, when=FROM_WEIGHTS, kernel=parameter(self.dense, "kernel"), **self.packed,
                    depth=self.inputs, padded_depth=self.rows, filters=self.units)
        program.add(fully_connected.forward, name, x=self.source_flat, y=self.target_flat, packed=self.packed["packed"],
                    bias=self._bias(program),
                    gate=self.relu, **self._mask(mode))

    def _bias(self, program):
        """The bias, copied to where it is followed by zeros if it is not whole vectors long."""
        if not self.dense.use_bias:
            return self.identity + self.columns
        weight = parameter(self.dense, "bias")
        if self.units == self.columns:
            return weight
        program.add(packing.copy_row, self.dense.name, when=FROM_WEIGHTS, kernel=weight, packed=self.bias, filters=self.units)
        return self.bias

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
        if gradients:
            gradient = Weight(self.dense.gradients, "kernel")
            bias = {"bias_gradient": Weight(self.dense.gradients, "bias")} if self.dense.use_bias else {}
            program.add(fully_connected.kernel_gradient, name, x=self.source_flat, g=self.target_gradient, gradient=gradient,
                        partial=gradient if self.units == self.columns else self.partial, depth=self.inputs, filters=self.units,
                        **bias)
        if inputs:
            program.add(packing.pack_transposed, name, when=FROM_WEIGHTS, kernel=parameter(self.dense, "kernel"),
                        **self.packed_back, depth=self.inputs, filters=self.units)
            program.add(fully_connected.input_gradient, name, g=self.target_gradient, dx=self.source_gradient,
                        packed=self.packed_back["packed"])
            self.source.fresh()
