"""A layer without a fast stage: it runs on arrays between the steps of the program, which is slower."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg.nn.fused.values import Value


@dataclass
class Fallback:
    """A layer without a fast stage."""
    inputs: list[Value]
    target: Value
    call: Any
    accumulates = False
    calls_python = True

    def describe(self):
        return f"{self.call.layer.name}: {type(self.call.layer).__name__} by itself, slow ({self.call.why})"

    def sources(self):
        return self.inputs

    def allocate(self, memory):
        """Take no memory except the values; the arrays are views of the arena."""
        self.arena = memory.arena

    def forward(self, program, mode):
        """Add the call of the layer."""
        layer, shapes = self.call.layer, self.call.shapes

        def run(count):
            arrays = [np.ascontiguousarray(value.as_array(self.arena, count)).reshape(count, *shape)
                      for value, shape in zip(self.inputs, shapes, strict=True)]
            result = layer.forward(arrays if layer.joins else arrays[0], training=mode == "train")
            target = self.target.as_array(self.arena, count)
            target[:] = result.reshape(target.shape)
            self.saved = layer.saved
        program.call(run)

    def backward(self, program, mode, gradients, inputs):
        """Add the call of the layer's backward pass."""
        layer = self.call.layer
        firsts = [value.fresh() for value in self.inputs]

        def run(count):
            layer.saved = self.saved
            incoming = np.ascontiguousarray(self.target.as_array(self.arena, count, gradient=True))
            back = layer.backward(incoming.reshape(count, *self.call.shape), parameters=gradients)
            for value, first, part in zip(self.inputs, firsts, back if layer.joins else [back], strict=True):
                target = value.as_array(self.arena, count, gradient=True)
                target[:] = part.reshape(target.shape) + (0 if first else target)
        program.call(run)
