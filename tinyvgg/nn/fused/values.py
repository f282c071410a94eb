"""Parts common to fused stages: the values between them, the memory that they share, weights, batch normalisation."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import normalize, packing
from tinyvgg.kernels.fast.arena import Tensor, whole_vectors
from tinyvgg.kernels.fast.fingerprint import STAMP
from tinyvgg.kernels.fast.program import FROM_EXPANDED, FROM_WEIGHTS, IN_ORDER, Setting, Weight

NO_BORDER = (0, 0, 0, 0)


def grid_of(shape):
    """Return (H, W, C) of a shape in memory: a flat value is one pixel; more than two axes of pixels are merged into one."""
    if len(shape) == 3:
        return tuple(shape)
    return 1, int(np.prod(shape[:-1])), shape[-1]


@dataclass(eq=False)
class Value:
    """An array between stages; its tensors exist once the plan has memory.

    grid: (H, W, C) of one image. Channels are padded to whole vectors; no result depends on the padding. exact: no padding, for
    images that only one convolution reads. readers: the number of stages that read the value. twin: the value whose memory this
    one shares; it has its own gradient, for one of several readers.
    """
    grid: tuple[int, int, int]
    exact: bool = False
    readers: int = 1
    twin: Any = None
    tensor: Tensor | None = None
    gradient: Tensor | None = None
    written: bool = False               # while a backward program is built: whether a stage has set the gradient
    _border: tuple[int, ...] = NO_BORDER

    @property
    def channels(self):
        """Number of stored channels, padding included."""
        return self.grid[2] if self.exact else whole_vectors(self.grid[2])

    @property
    def border(self):
        return self.twin.border if self.twin is not None else self._border

    def widen(self, border):
        """Request at least this border."""
        if self.twin is not None:
            self.twin.widen(border)
        else:
            self._border = tuple(max(a, b) for a, b in zip(self._border, border, strict=True))

    def allocate(self, memory):
        """Take memory for the value and, if there is a backward pass, for its gradient."""
        size = (*self.grid[:2], self.channels)
        self.tensor = self.twin.tensor if self.twin is not None else memory.arena.images(memory.capacity, *size, self.border)
        if memory.keeps:
            self.gradient = memory.arena.images(memory.capacity, *size, self.border)

    def fresh(self):
        """Return the address of the gradient if nothing has been added to it yet, else 0."""
        first, self.written = not self.written, True
        top, _, left, _ = self.border
        return self.gradient.shifted(top, left).at if first else 0

    def as_array(self, arena, count, gradient=False):
        """Return the value or its gradient as an array (count, H, W, C) that shares its memory."""
        return arena.view(self.gradient if gradient else self.tensor, count)[..., :self.grid[2]]


@dataclass
class Memory:
    """The memory of all stages: an arena, and working space that they share."""
    arena: Any
    capacity: int
    threads: int
    keeps: bool                                     # whether there will be a backward pass
    scratch: dict[str, list] = field(default_factory=dict)

    def identity(self, channels):
        """Return the address of scale and offset that change nothing: ones, then as many zeros."""
        at = self.arena.take(2 * channels)
        self.arena.fill(at, channels, 1.0)
        return at

    def packed(self, size):
        """Return {packed, stamp}: the addresses of the packed weights, and of the hash of the weights that were packed."""
        return {"packed": self.arena.take(size), "stamp": self.arena.take(self.threads * 2 * STAMP)}

    def shared(self, name, size):
        """Return {field: address, field_size: size} of working space for each thread: the largest that any stage requests."""
        at, largest = self.scratch.get(name, (0, 0))
        self.scratch[name] = (at, max(largest, size))
        return {name: at, f"{name}_size": size}


def parameter(layer, name):
    """Return the Weight of a trained array."""
    return Weight(layer.parameters, name)


class Filters:
    """A layer's kernel (taps, channels / groups, filters) in the shape for products: (taps, stored channels, stored filters).

    If both shapes are equal, steps read the layer's array. Else one step expands it, and another one collects the gradient.
    """

    def __init__(self, layer, name, taps, channels, stored, filters, *, groups=1, across=1, dilation=1):
        self.layer, self.name, self.taps, self.dilation = layer, name, taps, dilation
        self.stored, self.columns = stored, whole_vectors(filters)
        self.spread_taps = taps // across * ((across - 1) * dilation + 1)
        self.plain = groups == 1 and dilation == 1 and stored == channels and self.columns == filters
        self.fields = {"taps": taps, "kernel_width": across, "dilation_width": dilation, "real_channels": channels,
                       "filters": filters, "groups": groups, "padded_channels": stored, "padded_filters": self.columns}
        self.when = FROM_WEIGHTS if self.plain else FROM_EXPANDED

    @property
    def elements(self):
        """Number of stored elements."""
        return self.spread_taps * self.stored * self.columns

    def allocate(self, memory):
        if not self.plain:
            self.expanded = memory.packed(self.elements)
            self.collected = memory.arena.take(self.elements) if memory.keeps else 0

    def read(self, program):
        """Return the Weight or the address that steps of `self.when` read."""
        if self.plain:
            return parameter(self.layer, self.name)
        program.add(packing.expand, self.layer.name, when=FROM_WEIGHTS, kernel=parameter(self.layer, self.name), **self.expanded,
                    **self.fields)
        return self.expanded["packed"]

    def gradient(self):
        """Return where a step must write the gradient; afterwards call `collect`."""
        return Weight(self.layer.gradients, self.name) if self.plain else self.collected

    def collect(self, program):
        """Copy the gradient to the layer."""
        if not self.plain:
            program.add(packing.collect, self.layer.name, partial=self.collected,
                        gradient=Weight(self.layer.gradients, self.name), **self.fields)


class Row:
    """A vector of a layer, such as a bias, padded with zeros to whole vectors."""

    def __init__(self, layer, name, size):
        self.layer, self.name, self.size = layer, name, size

    def allocate(self, memory):
        self.copied = memory.arena.take(whole_vectors(self.size))

    def read(self, program):
        """Return the Weight or the address that steps read."""
        if whole_vectors(self.size) == self.size:
            return parameter(self.layer, self.name)
        program.add(packing.copy_row, self.layer.name, when=FROM_WEIGHTS, kernel=parameter(self.layer, self.name),
                    packed=self.copied, filters=self.size)
        return self.copied


class Normalizer:
    """Batch normalisation after a convolution or by itself: the addresses of its arrays, and the steps that use them."""

    def __init__(self, layer, channels, memory):
        self.layer, self.channels = layer, len(layer.state["moving_mean"])
        self.affine, self.moments, self.slope = (memory.arena.take(2 * channels) for _ in range(3))
        self.flat = memory.arena.take(2 * channels)             # no slopes: for constant statistics
        self.sums = memory.shared("sums", 6 * channels)

    def frozen(self, mode):
        return mode != "train" or not self.layer.trainable

    def _fields(self, tensor):
        layer = self.layer
        weights = {n: parameter(layer, n) if n in layer.parameters else 0 for n in ("gamma", "beta")}
        weights |= {n: Weight(layer.state, n) for n in ("moving_mean", "moving_variance")}
        return {"y": tensor, "affine": self.affine, "moments": self.moments, "epsilon": Setting(layer, "epsilon"),
                "momentum": Setting(layer, "momentum"), "unbiased": layer.unbiased_moving_variance, "filters": self.channels,
                **weights, **self.sums}

    def prepare(self, program, tensor, mode):
        """Add the step for scale and offset; in training they come from the sums that were computed before."""
        kernel, when = (normalize.moving_affine, FROM_WEIGHTS) if self.frozen(mode) else (normalize.statistics, IN_ORDER)
        program.add(kernel, self.layer.name, when=when, **self._fields(tensor))

    def pull(self, program, tensor, common, mode, gradients):
        """Add the steps for the gradients of gamma and beta, and for the slopes. common: the fields g, gate, pool, leak."""
        if self.frozen(mode) and not gradients:
            return self.flat
        program.add(normalize.gradient_sums, self.layer.name, y=tensor, affine=self.affine, **common, **self.sums)
        fields = {f"{n}_gradient": Weight(self.layer.gradients, n) if gradients and n in self.layer.parameters else 0
                  for n in ("gamma", "beta")}
        program.add(normalize.gradient_slopes, self.layer.name, y=tensor, affine=self.affine, moments=self.moments,
                    slope=self.slope, frozen=self.frozen(mode), filters=self.channels, **fields, **self.sums)
        return self.flat if self.frozen(mode) else self.slope
