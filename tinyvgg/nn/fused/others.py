"""Stages that stand by themselves: normalisation, sums of two branches, the mean over an image, dropout of single values."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import images, normalize
from tinyvgg.kernels.fast.elementwise import GATE_AFTER, NO_GATE
from tinyvgg.nn.fused.values import Normalizer, Value


@dataclass
class Normalization:
    """BatchNormalization by itself, then ReLU where it follows."""
    source: Value
    target: Value
    norm: Any
    relu: bool = False

    def describe(self):
        return f"{self.norm.name}: batch-norm" + ("; fused: ReLU" if self.relu else "")

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Take the buffers that belong to this stage."""
        channels = self.target.size[2]
        self.normalizer = Normalizer(self.norm, channels, memory)
        self.ones = memory.identity(channels)
        self.x = self._view(self.source.tensor)
        self.dx = self._view(self.source.gradient) if memory.keeps else None

    def _view(self, tensor):
        """The source as the target counts channels: after Flatten, an image is one pixel."""
        return tensor if len(self.target.shape) == 3 else tensor.flat()

    def forward(self, program, mode):
        """Add the steps from source to target."""
        normalizer, x = self.normalizer, self.x
        if not normalizer.frozen(mode):
            program.add(normalize.sums, self.norm.name, y=x, **normalizer.sums)
        normalizer.prepare(program, x, mode)
        program.add(normalize.apply, self.norm.name, x=x, y=self.target.tensor, affine=normalizer.affine, gate=self._gate())

    def _gate(self):
        return GATE_AFTER if self.relu else NO_GATE

    def backward(self, program, mode, gradients, inputs):
        """Add the steps from the target's gradient to the source's and, with `gradients`, to those of gamma and beta."""
        normalizer, incoming = self.normalizer, {"g": self.target.gradient, "gate": self._gate()}
        slope = normalizer.pull(program, self.x, incoming, mode, gradients)
        self.source.fresh()
        program.add(normalize.gradient, self.norm.name, y=self.x, affine=normalizer.affine, slope=slope, mask=self.ones,
                    zeros=normalizer.flat, dx=self.dx, **incoming, **normalizer.sums)


@dataclass
class Addition:
    """The sum of two values, then ReLU where it follows."""
    first: Value
    second: Value
    target: Value
    layer: Any
    relu: bool = False

    def describe(self):
        return f"{self.layer.name}: sum" + ("; fused: ReLU" if self.relu else "")

    def sources(self):
        return [self.first, self.second]

    def allocate(self, memory):
        """Nothing but the values."""

    def forward(self, program, mode):
        """Add the step from both sources to the target."""
        program.add(images.sum_images, self.layer.name, x=self.first.tensor, g=self.second.tensor, y=self.target.tensor,
                    gate=self.relu)

    def backward(self, program, mode, gradients, inputs):
        """Add the steps that pass the gradient on to both sources."""
        for value in self.sources():
            program.add(images.pass_gradient, self.layer.name, g=self.target.gradient, y=self.target.tensor, dx=value.gradient,
                        fresh=value.fresh(), gate=self.relu)


@dataclass
class Mean:
    """The mean over each whole image, channel by channel."""
    source: Value
    target: Value
    layer: Any

    def describe(self):
        return f"{self.layer.name}: mean of the image"

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Nothing but the values."""

    def forward(self, program, mode):
        """Add the step from source to target."""
        program.add(images.mean_images, self.layer.name, x=self.source.tensor, y=self.target.tensor)

    def backward(self, program, mode, gradients, inputs):
        """Add the step that spreads the gradient over the image."""
        program.add(images.spread_gradient, self.layer.name, g=self.target.gradient, dx=self.source.gradient,
                    fresh=self.source.fresh())


@dataclass
class Masking:
    """Dropout of single values, in place: its target is its source."""
    source: Value
    dropout: Any

    @property
    def target(self):
        return self.source

    def describe(self):
        return f"{self.dropout.name}: dropout, in place"

    def sources(self):
        return []

    def allocate(self, memory):
        """Take the mask."""
        height, width, channels = self.source.size
        self.mask = memory.arena.images(memory.capacity, height, width, channels) if memory.keeps else None

    def draw_mask(self, arena, count):
        """Draw the mask of the next training step from the dropout layer's generator."""
        mask = self.dropout.mask((count, *self.source.shape), np.dtype(np.float32))
        flat = arena.matrix(self.mask.at, count, self.mask.image)
        flat[:, :mask[0].size] = mask.reshape(count, -1)

    def forward(self, program, mode):
        """Multiply the value by the mask, in training."""
        if mode == "train" and self.dropout.rate > 0:
            program.add(images.mask_images, self.dropout.name, y=self.source.tensor, x=self.mask)

    def backward(self, program, mode, gradients, inputs):
        """Multiply its gradient by the mask, in training."""
        if mode == "train" and self.dropout.rate > 0:
            program.add(images.mask_images, self.dropout.name, y=self.source.gradient, x=self.mask)
