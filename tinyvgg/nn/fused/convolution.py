"""A convolution and the layers that follow it, as far as one kernel does them together."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import direct, normalize, packing, winograd
from tinyvgg.kernels.fast.arena import Tensor, whole_vectors
from tinyvgg.kernels.fast.elementwise import (
    AFFINE,
    AFFINE_POOL,
    GATE_AFTER,
    GATE_BEFORE,
    NO_GATE,
    PLAIN,
    READY,
    RELU,
    RELU_SUMS,
    SUMS,
)
from tinyvgg.kernels.fast.matrices import OUTPUT, POSITIONS
from tinyvgg.kernels.fast.program import FROM_PACKED, FROM_WEIGHTS, Weight
from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.kernels.fast.tile import WIDE
from tinyvgg.nn.fused.values import Normalizer, Value, parameter


@dataclass
class Convolution:
    """Conv2D, then as far as they follow: ReLU, SpatialDropout2D, BatchNormalization, ReLU, 2x2 max-pool."""
    source: Value
    target: Value
    conv: Any
    relu: bool = False
    dropout: Any = None
    norm: Any = None
    relu_after: bool = False
    pool: bool = False
    precise: bool = False

    def __post_init__(self):
        geometry = self.conv.geometry(self.source.shape[:2])
        (top, bottom), (left, right) = geometry["padding"]
        self.kernel_size, self.strides, self.padding = self.conv.kernel_size, self.conv.strides, (top, left)
        self.height, self.width, self.filters = self.conv.output_shape(self.source.shape)
        self.channels = self.source.shape[2]
        self.winograd = winograd.fits(self.kernel_size, self.strides, self.channels, self.filters) and not self.precise
        if self.winograd:
            bottom = winograd.in_tiles(self.height) + 2 - top - self.source.shape[0]
            right = winograd.in_tiles(self.width) + 2 - left - self.source.shape[1]
        self.source.widen((top, max(bottom, 0), left, max(right, 0)))
        self.ragged = self.winograd and bool(self.height % OUTPUT or self.width % OUTPUT)

    def describe(self):
        """One line for plan.describe()."""
        parts = ["ReLU"] * self.relu + ["dropout"] * (self.dropout is not None) + ["batch-norm"] * (self.norm is not None)
        parts += ["ReLU"] * self.relu_after + ["max-pool"] * self.pool
        how = "Winograd F(4x4,3x3)" + (", cut edges" if self.ragged else "") if self.winograd else "direct"
        return f"{self.conv.name}: {how}" + (f"; fused: {', '.join(parts)}" if parts else "")

    # --- memory ---

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Take the buffers that belong to this stage."""
        arena, f, c = memory.arena, self.filters, self.channels
        self.identity, self.flat = memory.identity(f), arena.take(2 * f)
        self.normalizer = Normalizer(self.norm, f, memory) if self.norm is not None else None
        self.mask = arena.take(memory.capacity * f) if self.dropout is not None and memory.keeps else 0
        self.sums = memory.shared("sums", 6 * f)
        self.block = winograd.block_of_tiles(c, f)
        needs = [self.width * max(WIDE, whole_vectors(self.kernel_size[0] * self.kernel_size[1] * c))]
        if self.winograd:
            needs.append(POSITIONS * (self.block * (c + f) + 2 * WIDTH))
        self.scratch = memory.shared("scratch", max(needs))
        self.apart = self.normalizer is not None or self.pool or self.relu_after or self.ragged
        self._allocate_packed(arena, memory)
        rows, columns = (winograd.in_tiles(n) if self.ragged else n for n in (self.height, self.width))
        self.result = self._part(arena.images(memory.capacity, rows, columns, f)) if self.apart else self.target.tensor
        if memory.keeps and (not self.winograd or self.ragged):
            self.through = self._part(arena.images(memory.capacity, rows, columns, f))

    def _allocate_packed(self, arena, memory):
        c, f, taps = self.channels, self.filters, self.kernel_size[0] * self.kernel_size[1]
        size = POSITIONS if self.winograd else taps
        self.packed = memory.packed(size * c * f)
        self.partial = memory.shared("partial", size * c * f)
        if memory.keeps:
            self.turned = memory.packed(taps * c * f)
            self.packed_back = memory.packed(POSITIONS * c * f if self.winograd else whole_vectors(taps * c) * f)

    def _part(self, tensor):
        """A buffer as the convolution counts pixels: there may be room for cut tiles, or only for pooled pixels."""
        return Tensor(tensor.at, tensor.row, tensor.image, self.height, self.width, tensor.channels)

    # --- forward ---

    def forward(self, program, mode):
        """Add the steps from source to target."""
        name = self.conv.name
        taps = self.kernel_size[0] * self.kernel_size[1]
        kernel = winograd.pack if self.winograd else packing.pack
        program.add(kernel, name, when=FROM_WEIGHTS, kernel=parameter(self.conv, "kernel"), **self.packed,
                    depth=taps * self.channels, padded_depth=taps * self.channels, filters=self.filters, x=self.source.tensor,
                    y=self.result)
        batch = self.normalizer is not None and not self.normalizer.frozen(mode)
        if self.normalizer is not None and not batch:
            self.normalizer.prepare(program, self.result, mode)
        whole = mode == "infer" and self._fuses_all()
        tail = self._tail(mode, batch, whole)
        kernel = winograd.forward if self.winograd else direct.forward
        program.add(kernel, name, tail=tail, y=self._part(self.target.tensor) if whole else self.result,
                    **self._conv_fields(mode))
        if batch:
            if self.ragged:
                program.add(normalize.sums, name, y=self.result, **self.sums)
            self.normalizer.prepare(program, self.result, mode)
        if self.apart and not whole:
            program.add(normalize.apply, name, x=self.result, y=self.target.tensor, affine=self._affine(), pool=self.pool,
                        gate=GATE_AFTER if self.relu_after else NO_GATE)

    def _fuses_all(self):
        """Whether inference needs no second pass."""
        return self.apart and self.relu and not self.relu_after and not self.ragged and (self.winograd or not self.pool)

    def _tail(self, mode, batch, whole):
        if whole:
            return AFFINE_POOL if self.pool else AFFINE
        if batch or self._drops(mode):
            return RELU_SUMS if self.relu else SUMS
        return RELU if self.relu else PLAIN

    def _drops(self, mode):
        return mode == "train" and self.dropout is not None and self.dropout.rate > 0

    def _affine(self):
        return self.normalizer.affine if self.normalizer is not None else self.identity

    def _mask(self, mode):
        return {"mask": self.mask, "mask_image": self.filters} if self._drops(mode) else {"mask": self.identity, "mask_image": 0}

    def _conv_fields(self, mode):
        bias = parameter(self.conv, "bias") if self.conv.use_bias else self.identity + self.filters
        return {"x": self.source.tensor.shifted(*self.padding), "packed": self.packed["packed"], "bias": bias,
                "affine": self._affine(),
                "block": self.block, "kernel_height": self.kernel_size[0], "kernel_width": self.kernel_size[1],
                "stride_height": self.strides[0], "stride_width": self.strides[1], **self._mask(mode), **self.sums,
                **self.scratch}

    def draw_mask(self, arena, count):
        """Draw the mask of the next training step from the dropout layer's generator."""
        mask = self.dropout.mask((count, self.height, self.width, self.filters), np.dtype(np.float32))
        arena.matrix(self.mask, count, self.filters)[:] = mask.reshape(count, -1)

    # --- backward ---

    def backward(self, program, mode, gradients, inputs):
        """Add the steps from the target's gradient to the source's and, with `gradients`, to those of the weights."""
        name, incoming = self.conv.name, {"g": self.target.gradient, "gate": self._gate(), "pool": self.pool}
        slope = self.flat
        if self.normalizer is not None:
            slope = self.normalizer.pull(program, self.result, incoming, mode, gradients)
        tail = {"y": self.result, "affine": self._affine(), "slope": slope, "zeros": self.flat, **incoming, **self._mask(mode),
                **self.sums}
        if not self.winograd or self.ragged:
            program.add(normalize.gradient, name, **tail, dx=self.through)
            if gradients and self.conv.use_bias:
                self._add_bias_gradient(program)
            tail = {**tail, "g": self.through, "gate": READY, "pool": False}
        if self.winograd:
            self._backward_winograd(program, tail, gradients)
        else:
            self._backward_direct(program, gradients, inputs)

    def _gate(self):
        return GATE_BEFORE if self.relu else GATE_AFTER if self.relu_after else NO_GATE

    def _add_bias_gradient(self, program):
        program.add(normalize.bias_gradient, self.conv.name, y=self.result, bias_gradient=Weight(self.conv.gradients, "bias"),
                    **self.sums)

    def _gradient_into(self):
        """Where the input gradient goes: the window of the convolution in the source's gradient."""
        return {"dx": self.source.gradient.shifted(*self.padding), "fresh": self.source.fresh()}

    def _backward_winograd(self, program, tail, gradients):
        name, c, f = self.conv.name, self.channels, self.filters
        program.add(packing.transpose, name, when=FROM_WEIGHTS, kernel=parameter(self.conv, "kernel"), **self.turned, depth=c,
                    filters=f, kernel_height=3, kernel_width=3)
        program.add(winograd.pack, name, when=FROM_PACKED, kernel=self.turned["packed"], **self.packed_back, x=self.result,
                    y=self.source.tensor)
        program.add(winograd.backward, name, x=self.source.tensor.shifted(*self.padding), packed=self.packed_back["packed"],
                    block=self.block,
                    want_gradient=gradients, **tail, **self._gradient_into(), **self.partial, **self.scratch)
        if gradients:
            program.add(winograd.gather_gradient, name, gradient=Weight(self.conv.gradients, "kernel"), x=self.source.tensor,
                        y=self.result, **self.partial)
            if self.conv.use_bias and not self.ragged:
                self._add_bias_gradient(program)

    def _backward_direct(self, program, gradients, inputs):
        name, depth = self.conv.name, self.kernel_size[0] * self.kernel_size[1] * self.channels
        shape = {"kernel_height": self.kernel_size[0], "kernel_width": self.kernel_size[1], "stride_height": self.strides[0],
                 "stride_width": self.strides[1], "depth": depth, "filters": self.filters}
        if gradients:
            program.add(direct.kernel_gradient, name, x=self.source.tensor.shifted(*self.padding), g=self.through, **shape,
                        **self.partial)
            program.add(direct.gather_gradient, name, gradient=Weight(self.conv.gradients, "kernel"), **shape, **self.partial)
        if inputs:
            program.add(packing.pack_transposed, name, when=FROM_WEIGHTS, kernel=parameter(self.conv, "kernel"),
                        **self.packed_back, **shape)
            program.add(direct.input_gradient, name, g=self.through, packed=self.packed_back["packed"], **shape,
                        **self._gradient_into(),
                        **self.scratch)
