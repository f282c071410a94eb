"""What fused stages have in common: the values between them, the memory that they share, weights, batch normalisation."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyvgg.kernels.fast import normalize, packing
from tinyvgg.kernels.fast.arena import Tensor, whole_vectors
from tinyvgg.kernels.fast.fingerprint import STAMP
from tinyvgg.kernels.fast.program import FROM_EXPANDED, FROM_WEIGHTS, IN_ORDER, Setting, Weight

NO_BORDER = (0, 0, 0, 0)


def grid_of(shape):
    """(H, W, C) of a shape as memory has it: a flat value is one pixel, more than two axes of pixels become one."""
    if len(shape) == 3:
        return tuple(shape)
    return 1, int(np.prod(shape[:-1])), shape[-1]


@dataclass(eq=False)
class Value:
    """An array between stages; the tensors exist once the plan has memory.

    grid: (H, W, C) of one image. Channels are stored in whole vectors, filled up with lanes that no result depends on, except
    where the value is `exact`: images whose only reader is a convolution. `readers`: how many stages read it. `twin`: the value
    whose memory this one is, with a gradient of its own, for one of several readers.
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
        """Channels as they are stored."""
        return self.grid[2] if self.exact else whole_vectors(self.grid[2])

    @property
    def border(self):
        return self.twin.border if self.twin is not None else self._border

    def widen(self, border):
        """Ask for at least this border."""
        if self.twin is not None:
            self.twin.widen(border)
        else:
            self._border = tuple(max(a, b) for a, b in zip(self._border, border, strict=True))

    def allocate(self, memory):
        """Take memory for the value and, where there is a way back, for its gradient."""
        size = (*self.grid[:2], self.channels)
        self.tensor = self.twin.tensor if self.twin is not None else memory.arena.images(memory.capacity, *size, self.border)
        if memory.keeps:
            self.gradient = memory.arena.images(memory.capacity, *size, self.border)

    def fresh(self):
        """Return where the gradient's memory begins if nothing has been added to it yet, else 0."""
        first, self.written = not self.written, True
        top, _, left, _ = self.border
        return self.gradient.shifted(top, left).at if first else 0

    def as_array(self, arena, count, gradient=False):
        """The value or its gradient as an array (count, H, W, C) that shares its memory."""
        return arena.view(self.gradient if gradient else self.tensor, count)[..., :self.grid[2]]


@dataclass
class Memory:
    """What stages take their memory from: an arena, and working space that all of them share."""
    arena: Any
    capacity: int
    threads: int
    keeps: bool                                     # whether there will be a way back
    scratch: dict[str, list] = field(default_factory=dict)

    def identity(self, channels):
        """Return the address of an affine that changes nothing: ones, then as many zeros."""
        at = self.arena.take(2 * channels)
        self.arena.fill(at, channels, 1.0)
        return at

    def packed(self, size):
        """Return {packed, stamp}: the addresses of weights in packed order, and of the hash of what was packed."""
        return {"packed": self.arena.take(size), "stamp": self.arena.take(self.threads * 2 * STAMP)}

    def shared(self, name, size):
        """Return {field: address, field_size: size} of working space for each thread, the largest that any stage asked for."""
        at, largest = self.scratch.get(name, (0, 0))
        self.scratch[name] = (at, max(largest, size))
        return {name: at, f"{name}_size": size}


def parameter(layer, name):
    """The Weight of a trained array."""
    return Weight(layer.parameters, name)


class Filters:
    """A layer's kernel (taps, channels / groups, filters) as products want it: (taps, stored channels, stored filters).

    Where both are the same, steps read the layer's array; else a step expands it, and another collects the gradient.
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
        """How many are stored."""
        return self.spread_taps * self.stored * self.columns

    def allocate(self, memory):
        if not self.plain:
            self.expanded = memory.packed(self.elements)
            self.collected = memory.arena.take(self.elements) if memory.keeps else 0

    def read(self, program):
        """Return where steps of `self.when` find the kernel."""
        if self.plain:
            return parameter(self.layer, self.name)
        program.add(packing.expand, self.layer.name, when=FROM_WEIGHTS, kernel=parameter(self.layer, self.name), **self.expanded,
                    **self.fields)
        return self.expanded["packed"]

    def gradient(self):
        """Where a step writes the gradient; then call `collect`."""
        return Weight(self.layer.gradients, self.name) if self.plain else self.collected

    def collect(self, program):
        """Bring the gradient to the layer."""
        if not self.plain:
            program.add(packing.collect, self.layer.name, partial=self.collected,
                        gradient=Weight(self.layer.gradients, self.name), **self.fields)


class Row:
    """A layer's vector, a bias, followed by zeros where it is not whole vectors long."""

    def __init__(self, layer, name, size):
        self.layer, self.name, self.size = layer, name, size

    def allocate(self, memory):
        self.copied = memory.arena.take(whole_vectors(self.size))

    def read(self, program):
        """Return where steps find it."""
        if whole_vectors(self.size) == self.size:
            return parameter(self.layer, self.name)
        program.add(packing.copy_row, self.layer.name, when=FROM_WEIGHTS, kernel=parameter(self.layer, self.name),
                    packed=self.copied, filters=self.size)
        return self.copied


class Normalizer:
    """Batch normalisation behind a convolution or by itself: addresses of its arrays, and the steps around them."""

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
        """Scale and offset; in training from the sums that were taken."""
        kernel, when = (normalize.moving_affine, FROM_WEIGHTS) if self.frozen(mode) else (normalize.statistics, IN_ORDER)
        program.add(kernel, self.layer.name, when=when, **self._fields(tensor))

    def pull(self, program, tensor, common, mode, gradients):
        """Gradients of gamma and beta, and the slopes; `common` are the fields g, gate, pool, leak."""
        if self.frozen(mode) and not gradients:
            return self.flat
        program.add(normalize.gradient_sums, self.layer.name, y=tensor, affine=self.affine, **common, **self.sums)
        fields = {f"{n}_gradient": Weight(self.layer.gradients, n) if gradients and n in self.layer.parameters else 0
                  for n in ("gamma", "beta")}
        program.add(normalize.gradient_slopes, self.layer.name, y=tensor, affine=self.affine, moments=self.moments,
                    slope=self.slope, frozen=self.frozen(mode), filters=self.channels, **fields, **self.sums)
        return self.flat if self.frozen(mode) else self.slope
