"""A convolution and the layers that follow it, as far as one kernel computes them together."""
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import depthwise, direct, few_channels, normalize, packing, winograd, winograd_rows
from tinyvgg.kernels.fast.arena import Tensor, whole_vectors
from tinyvgg.kernels.fast.elementwise import (
    AFFINE,
    AFFINE_LEAK,
    AFFINE_POOL,
    AFFINE_RELU,
    GATE_AFTER,
    GATE_BEFORE,
    LEAK_AFTER,
    NO_GATE,
    PLAIN,
    READY,
    RELU,
    RELU_AFFINE,
    RELU_SUMS,
    SUMS,
)
from tinyvgg.kernels.fast.matrices import OUTPUT, POSITIONS
from tinyvgg.kernels.fast.program import FROM_PACKED, Weight
from tinyvgg.kernels.fast.simd import WIDTH
from tinyvgg.kernels.fast.tile import WIDE
from tinyvgg.nn.fused.values import NO_BORDER, Filters, Normalizer, Row, Value

# The activation after the normalisation: a gate's code, and its numbers.
LINEAR = NO_GATE, {"leak": 0.0, "ceiling": 0.0}
PLAIN_RELU = GATE_AFTER, {"leak": 0.0, "ceiling": 0.0}
LONG_ROW, TOGETHER = 32, 64             # pixels: a row of so many is long enough; a block of the backward pass should have so many


@dataclass
class Geometry:
    """A convolution's kernel (by name) and window, whichever layer it comes from."""
    layer: Any
    kernel: str
    bias: str | None
    kernel_size: tuple[int, int]
    strides: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int]
    groups: int
    filters: int


@dataclass
class Convolution:
    """A convolution, then as far as they follow: ReLU, SpatialDropout2D, BatchNormalization, activation, 2x2 max-pool."""
    source: Value
    target: Value
    geometry: Geometry
    shape: tuple[int, int, int]             # (H, W, filters) of the convolution's own result
    relu: bool = False
    dropout: Any = None
    norm: Any = None
    after: tuple[int, dict] = LINEAR
    pool: bool = False
    precise: bool = False
    accumulates = True                      # whether it adds to its source's gradient

    def __post_init__(self):
        geometry = self.geometry
        (top, bottom), (left, right) = geometry.padding
        self.kernel_size, self.strides, self.padding = geometry.kernel_size, geometry.strides, (top, left)
        self.height, self.width, _ = self.shape
        self.layer, self.filters, self.channels = geometry.layer, whole_vectors(geometry.filters), self.source.channels
        self.taps_across = (self.kernel_size[1] - 1) * geometry.dilation[1] + 1
        self.depthwise = geometry.groups == geometry.filters == self.source.grid[2] and not self.source.exact and (
            geometry.groups > 1)
        whole = geometry.dilation == (1, 1) and not self.source.exact and not self.depthwise
        self.winograd = (whole and winograd.fits(self.kernel_size, self.strides, self.channels, self.filters)
                         and not self.precise)
        fits = geometry.dilation == (1, 1) and not self.depthwise and not self.precise and self.norm is None and self.after == LINEAR
        self.by_rows = winograd_rows.rows_together(self.kernel_size, self.strides, self.height) if fits else 0
        if self.winograd:
            bottom = winograd.in_tiles(self.height) + 2 - top - self.source.grid[0]
            right = winograd.in_tiles(self.width) + 2 - left - self.source.grid[1]
        self.source.widen((top, max(bottom, 0), left, max(right, 0)))
        self.ragged = self.winograd and bool(self.height % OUTPUT or self.width % OUTPUT)
        self.bias = Row(self.layer, geometry.bias, geometry.filters) if geometry.bias else None
        self.weights = self._weights()

    def _weights(self):
        geometry, taps = self.geometry, self.kernel_size[0] * self.kernel_size[1]
        if self.depthwise:
            return Filters(self.layer, geometry.kernel, taps, 1, 1, geometry.filters)
        return Filters(self.layer, geometry.kernel, taps, self.source.grid[2], self.channels, geometry.filters,
                       groups=geometry.groups, across=self.kernel_size[1], dilation=geometry.dilation[1])

    def describe(self):
        """Return one line for plan.describe()."""
        after = {GATE_AFTER: ["ReLU"], LEAK_AFTER: ["ReLU with limits"]}.get(self.after[0], [])
        parts = ["ReLU"] * self.relu + ["dropout"] * (self.dropout is not None) + ["batch-norm"] * (self.norm is not None)
        parts += after + ["max-pool"] * self.pool
        return f"{self.layer.name}: {self._how()}" + (f"; fused: {', '.join(parts)}" if parts else "")

    def _how(self):
        if self.winograd:
            how = "Winograd F(4x4,3x3)" + (", cut edges" if self.ragged else "")
        else:
            how = "depthwise" if self.depthwise else f"Winograd F({self.by_rows},5) down the columns, direct back" if self.by_rows else "direct"
        geometry = self.geometry
        if geometry.groups > 1 and not self.depthwise:
            how += f", {geometry.groups} groups as one product with zeros between them ({geometry.groups} times the work)"
        if geometry.dilation[1] > 1 and not self.depthwise:
            how += ", zeros between the taps of a row"
        return how

    # --- memory ---

    def sources(self):
        return [self.source]

    def allocate(self, memory):
        """Allocate the buffers that belong to this stage."""
        arena, f, c = memory.arena, self.filters, self.channels
        self.identity, self.flat = memory.identity(f), arena.take(2 * f)
        self.normalizer = Normalizer(self.norm, f, memory) if self.norm is not None else None
        self.mask = arena.take(memory.capacity * f) if self.dropout is not None and memory.keeps else 0
        self.sums = memory.shared("sums", 6 * f)
        self.block = winograd.block_of_tiles(c, f)
        self.weights.allocate(memory)
        if self.bias is not None:
            self.bias.allocate(memory)
        self.rows = max(1, min(self.height, TOGETHER // self.width))
        needs = [self.height * self.width * WIDE if self._pointwise() else self.width * WIDE,
                 self.rows * self.width * (f + whole_vectors(self.kernel_size[0] * self.taps_across * c) + 2 * direct.GAP)]
        if self.by_rows:
            needs.append(winograd_rows.scratch_size(self.by_rows, self.width, c, f))
        if self.winograd:
            needs.append(POSITIONS * (self.block * (c + f) + 2 * WIDTH))
        if self.source.exact:
            needs.append(few_channels.scratch_size(self.shape, self.source.grid, self.padding, f, self.kernel_size))
        self.scratch = memory.shared("scratch", max(needs))
        self.apart = self.normalizer is not None or self.pool or self.after != LINEAR or self.ragged
        self._allocate_packed(memory)
        rows, columns = (winograd.in_tiles(n) if self.ragged else n for n in (self.height, self.width))
        self.result = self._part(arena.images(memory.capacity, rows, columns, f)) if self.apart else self.target.tensor
        self.gathers = self.depthwise and self.strides == (1, 1) and self.source.readers == 1
        if memory.keeps and (self.depthwise or self._passes_through()):
            border, count = self._gathering_border() if self.gathers else NO_BORDER, memory.capacity
            self.through = self._part(arena.images(count if self._passes_through() else memory.threads, rows, columns, f, border))

    def _passes_through(self):
        """Whether dR is stored, because the backward kernel cannot compute it while it loads."""
        if self.winograd:
            return self.ragged or self._gate() == LEAK_AFTER
        return self.pool

    def _gathering_border(self):
        """Return the border of zeros around dR for a convolution with the taps in reverse order."""
        found = []
        for k, d, before, size, out in zip(self.kernel_size, self.geometry.dilation, self.padding, self.source.grid,
                                           (self.height, self.width), strict=False):
            start = d * (k - 1) - before
            found += [max(start, 0), max(size - out + d * (k - 1) - start, 0)]
        return tuple(found)

    def _allocate_packed(self, memory):
        c, f, taps = self.channels, self.filters, self.kernel_size[0] * self.taps_across
        if self.depthwise:
            taps, c = self.kernel_size[0] * self.kernel_size[1], 1
        size = (POSITIONS if self.winograd else taps) * c * f
        self.packed = memory.packed(size)
        self.partial = memory.shared("partial", size)
        self.packed_rows = memory.packed(winograd_rows.packed_size(self.by_rows, c, f)) if self.by_rows else None
        if memory.keeps:
            self.turned = memory.packed(taps * c * f)
            self.packed_back = memory.packed(POSITIONS * c * f if self.winograd else whole_vectors(taps * c) * f)

    def _pointwise(self):
        """Whether each output is computed from one pixel, and each pixel is read once."""
        return (self.kernel_size == self.strides == (1, 1) and self.source.grid[:2] == (self.height, self.width)
                and not self.depthwise and not self.winograd)

    def _merged(self, *tensors):
        """Return the tensors with rows joined into longer ones, if the rows do not matter and nothing lies between them."""
        if not self._pointwise() or any(t.row != t.width * t.channels or t.image != t.row * t.height for t in tensors):
            return tensors
        pixels = self.height * self.width
        parts = next(n for n in (4, 2, 1) if n == 1 or (pixels % n == 0 and pixels // n >= LONG_ROW))
        return [replace(t, row=pixels // parts * t.channels, height=parts, width=pixels // parts) for t in tensors]

    def _part(self, tensor):
        """Return a buffer with the convolution's own size: it may have room for cut tiles, or only for pooled pixels."""
        return Tensor(tensor.at, tensor.row, tensor.image, self.height, self.width, tensor.channels)

    # --- forward ---

    def forward(self, program, mode):
        """Add the steps from source to target."""
        name = self.layer.name
        batch = self.normalizer is not None and not self.normalizer.frozen(mode)
        if self.normalizer is not None and not batch:
            self.normalizer.prepare(program, self.result, mode)
        whole = (mode == "infer" and self._fuses_all()) or self._told_by_result(mode)
        tail = self._tail(mode, batch, whole)
        kernel, pack, held = self._kernels(tail)
        weights = self.weights.read(program)
        packed = self._pack(program, pack, held, weights)
        x, y = self._merged(self.source.tensor.shifted(*self.padding), self._part(self.target.tensor) if whole else self.result)
        program.add(kernel, name, tail=tail, packed=packed, kernel=weights, x=x, y=y, **self._conv_fields(program, mode))
        if batch:
            if self.ragged:
                program.add(normalize.sums, name, y=self.result, **self.sums)
            self.normalizer.prepare(program, self.result, mode)
        if self.apart and not whole:
            program.add(normalize.apply, name, x=self.result, y=self.target.tensor, affine=self._affine(), pool=self.pool,
                        gate=self.after[0], **self.after[1])

    def _pack(self, program, pack, held, kernel):
        """Add the step that packs the weights `kernel` into the memory `held`; return the packed weights."""
        if pack is None:
            return kernel
        depth = self.kernel_size[0] * self.taps_across * self.channels
        program.add(pack, self.layer.name, when=self.weights.when, kernel=kernel, **held, depth=depth, padded_depth=depth,
                    filters=self.filters, x=self.source.tensor, y=self.result)
        return held["packed"]

    def _kernels(self, tail):
        """Return the kernel that convolves with a tail, the kernel that packs its weights (or None), and the memory for these."""
        if self.winograd:
            affine = tail >= AFFINE
            return *((winograd.forward_affine, winograd.pack_many) if affine else (winograd.forward, winograd.pack)), self.packed
        if self.by_rows and tail in (PLAIN, RELU):
            return *winograd_rows.BY_ROWS[self.by_rows], self.packed_rows
        return (depthwise.forward, None, None) if self.depthwise else (direct.forward_with(tail), packing.pack, self.packed)

    def _fuses_all(self):
        """Whether inference needs no second pass."""
        return self.apart and not self.ragged and (self.winograd or not self.pool)

    def _told_by_result(self, mode):
        """Whether the backward pass needs only the stage's result: the activation's slope follows from its value, and the normalisation's
        slope is the same everywhere.
        """
        return (mode == "images" and self.normalizer is not None and not (self.relu or self.pool or self.ragged)
                and self.after[1]["leak"] >= 0 and (self.after[0] != LEAK_AFTER or self.after[1]["ceiling"] > 0))

    def _tail(self, mode, batch, whole):
        if whole:
            tail = RELU_AFFINE if self.relu else {GATE_AFTER: AFFINE_RELU, LEAK_AFTER: AFFINE_LEAK}.get(self.after[0], AFFINE)
            return tail + (AFFINE_POOL - AFFINE if self.pool else 0)
        if batch or self._drops(mode):
            return RELU_SUMS if self.relu else SUMS
        return RELU if self.relu else PLAIN

    def _drops(self, mode):
        return mode == "train" and self.dropout is not None and self.dropout.rate > 0

    def _affine(self):
        return self.normalizer.affine if self.normalizer is not None else self.identity

    def _mask(self, mode):
        return {"mask": self.mask, "mask_image": self.filters} if self._drops(mode) else {"mask": self.identity, "mask_image": 0}

    def _window(self):
        """Return the fields that say which pixels belong to an output."""
        return {"kernel_height": self.kernel_size[0],
                "kernel_width": self.kernel_size[1] if self.depthwise else self.taps_across,
                "stride_height": self.strides[0], "stride_width": self.strides[1],
                "dilation_height": self.geometry.dilation[0], "dilation_width": self.geometry.dilation[1]}

    def _conv_fields(self, program, mode):
        bias = self.bias.read(program) if self.bias is not None else self.identity + self.filters
        return {"bias": bias, "affine": self._affine(), "block": self.block, **self.after[1], **self._window(),
                **self._mask(mode), **self.sums, **self.scratch}

    def draw_mask(self, arena, count):
        """Draw the mask of the next training step from the dropout layer's generator."""
        mask = self.dropout.mask((count, *self.shape), np.dtype(np.float32)).reshape(count, -1)
        arena.matrix(self.mask, count, self.filters)[:, :mask.shape[1]] = mask

    # --- backward ---

    def backward(self, program, mode, gradients, inputs):
        """Add the steps from the target's gradient to the source's gradient and, with `gradients`, to those of the weights."""
        name, incoming = self.layer.name, {"g": self.target.gradient, "gate": self._gate(), "pool": self.pool,
                                           **self.after[1]}
        slope = self.flat
        if self.normalizer is not None:
            slope = self.normalizer.pull(program, self.result, incoming, mode, gradients)
        tail = {"y": self.result, "affine": self._affine(), "slope": slope, "zeros": self.flat, **incoming, **self._mask(mode),
                **self.sums}
        if self._told_by_result(mode):          # the scale is passed in the mask's field: the value alone is enough, no mask is read
            tail |= {"y": self.target.tensor, "affine": self.identity, "mask": self.normalizer.affine, "mask_image": 0}
        apart = self._passes_through()
        if apart:
            program.add(normalize.gradient, name, **tail, dx=self.through)
            if gradients:
                self._add_bias_gradient(program)
            tail = {**tail, "g": self.through, "gate": READY, "pool": False}
        if self.depthwise and apart:
            self._backward_depthwise(program, gradients, inputs)
        elif self.depthwise:
            self._backward_at_once(program, tail, gradients, inputs)
        elif self.winograd:
            self._backward_winograd(program, tail, gradients)
        else:
            self._backward_direct(program, tail, gradients, inputs)
        if gradients and not apart:
            self._add_bias_gradient(program)

    def _gate(self):
        return GATE_BEFORE if self.relu else self.after[0]

    def _add_bias_gradient(self, program):
        if self.bias is not None:
            program.add(normalize.bias_gradient, self.layer.name, y=self.result, filters=self.geometry.filters,
                        bias_gradient=Weight(self.layer.gradients, self.geometry.bias), **self.sums)

    def _gradient_into(self):
        """Return the place of the input gradient: the convolution's window in the source's gradient."""
        return {"dx": self.source.gradient.shifted(*self.padding), "fresh": self.source.fresh()}

    def _backward_winograd(self, program, tail, gradients):
        name, c, f = self.layer.name, self.channels, self.filters
        program.add(packing.transpose, name, when=self.weights.when, kernel=self.weights.read(program), **self.turned, depth=c,
                    filters=f, kernel_height=3, kernel_width=3)
        program.add(winograd.pack, name, when=FROM_PACKED, kernel=self.turned["packed"], **self.packed_back, x=self.result,
                    y=self.source.tensor)
        program.add(winograd.backward, name, x=self.source.tensor.shifted(*self.padding), packed=self.packed_back["packed"],
                    block=self.block,
                    want_gradient=gradients, **tail, **self._gradient_into(), **self.partial, **self.scratch)
        if gradients:
            program.add(winograd.gather_gradient, name, gradient=self.weights.gradient(), x=self.source.tensor, y=self.result,
                        **self.partial)
            self.weights.collect(program)

    def _backward_direct(self, program, tail, gradients, inputs):
        if inputs and not gradients and self.source.exact and few_channels.fits(self.strides, self.geometry.dilation):
            self.source.fresh()
            program.add(few_channels.image_gradient, self.layer.name, dx=self.source.gradient, packed=self.weights.read(program),
                        top=self.padding[0], left=self.padding[1], **self._window(), **tail, **self.scratch)
            return
        name, depth = self.layer.name, self.kernel_size[0] * self.taps_across * self.channels
        shape = {**self._window(), "depth": depth, "filters": self.filters}
        into = {"dx": self.source.gradient, "fresh": 0, "want_input": direct.NOTHING}
        if inputs:
            program.add(packing.pack_transposed, name, when=self.weights.when, kernel=self.weights.read(program),
                        **self.packed_back, **shape)
            whole = (self._pointwise() and self.source.readers == 1 and self.source.border == NO_BORDER
                     and self.channels % WIDTH == 0)    # else a pixel's vector reaches into the next one, at the end into another thread's image
            into = {**self._gradient_into(), "want_input": direct.OVER if whole else direct.ADDED}
            into["fresh"] = 0 if whole else into["fresh"]
        program.add(direct.backward, name, x=self.source.tensor.shifted(*self.padding), packed=self.packed_back["packed"],
                    want_gradient=gradients, block=self.rows, **shape, **tail, **into, **self.partial, **self.scratch)
        if gradients:
            program.add(direct.gather_gradient, name, gradient=self.weights.gradient(), **shape, **self.partial)
            self.weights.collect(program)

    def _backward_depthwise(self, program, gradients, inputs):
        taps = self.kernel_size[0] * self.kernel_size[1]
        shape = {**self._window(), "depth": taps, "filters": self.filters}
        if gradients:
            program.add(depthwise.kernel_gradient, self.layer.name, x=self.source.tensor.shifted(*self.padding), g=self.through,
                        **shape, **self.partial)
            program.add(direct.gather_gradient, self.layer.name, gradient=self.weights.gradient(), **shape, **self.partial)
            self.weights.collect(program)
        if not inputs:
            return
        kernel = self.weights.read(program)
        if not self.gathers:
            program.add(depthwise.scatter_input_gradient, self.layer.name, g=self.through, packed=kernel, **shape,
                        **self._gradient_into())
            return
        program.add(depthwise.turn, self.layer.name, when=self.weights.when, kernel=kernel, packed=self.turned["packed"],
                    taps=taps, padded_filters=self.filters)
        self.source.fresh()
        window = [d * (k - 1) - before for d, k, before in
                  zip(self.geometry.dilation, self.kernel_size, self.padding, strict=True)]
        program.add(depthwise.gather_input_gradient, self.layer.name, g=self.through.shifted(*window),
                    packed=self.turned["packed"], dx=self.source.gradient, **shape)

    def _backward_at_once(self, program, tail, gradients, inputs):
        """Add a depthwise convolution's backward pass as one step; each thread keeps dR in an image of its own."""
        name, taps = self.layer.name, self.kernel_size[0] * self.kernel_size[1]
        shape = {**self._window(), "depth": taps, "filters": self.filters}
        start = [d * (k - 1) - before for d, k, before in zip(self.geometry.dilation, self.kernel_size, self.padding, strict=True)]
        into, kernel = {"dx": self.source.gradient, "fresh": 0, "want_input": direct.NOTHING, "packed": 0}, None
        if inputs:
            kernel = self.weights.read(program)
        if inputs and self.gathers:
            program.add(depthwise.turn, name, when=self.weights.when, kernel=kernel, packed=self.turned["packed"], taps=taps,
                        padded_filters=self.filters)
            self.source.fresh()
            into |= {"packed": self.turned["packed"], "want_input": direct.OVER}
        elif inputs:
            into |= {"packed": kernel, "want_input": direct.ADDED, **self._gradient_into()}
        program.add(depthwise.backward, name, x=self.source.tensor.shifted(*self.padding), own=self.through, top=start[0],
                    left=start[1], want_gradient=gradients, **shape, **tail, **into, **self.partial)
        if gradients:
            program.add(direct.gather_gradient, name, gradient=self.weights.gradient(), **shape, **self.partial)
            self.weights.collect(program)
