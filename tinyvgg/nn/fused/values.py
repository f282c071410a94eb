"""What fused stages have in common: the values between them, the memory that they share, batch normalisation."""
from dataclasses import dataclass, field
from typing import Any

from tinyvgg.kernels.fast import normalize
from tinyvgg.kernels.fast.arena import Tensor, whole_vectors
from tinyvgg.kernels.fast.fingerprint import STAMP
from tinyvgg.kernels.fast.program import FROM_WEIGHTS, IN_ORDER, Setting, Weight

NO_BORDER = (0, 0, 0, 0)


@dataclass(eq=False)
class Value:
    """An array between stages: `shape` is one image's; the tensors exist once the plan has memory."""
    shape: tuple[int, ...]
    border: tuple[int, ...] = NO_BORDER
    tensor: Tensor | None = None
    gradient: Tensor | None = None
    written: bool = False               # while a backward program is built: whether a stage has set the gradient

    @property
    def size(self):
        """(H, W, C); a flat value is one pixel."""
        return self.shape if len(self.shape) == 3 else (1, 1, whole_vectors(self.shape[0]))

    def widen(self, border):
        """Ask for at least this border."""
        self.border = tuple(max(a, b) for a, b in zip(self.border, border, strict=True))

    def fresh(self):
        """Return where the gradient's memory begins if nothing has been added to it yet, else 0."""
        first, self.written = not self.written, True
        top, _, left, _ = self.border
        return self.gradient.shifted(top, left).at if first else 0


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


class Normalizer:
    """Batch normalisation behind a convolution or by itself: addresses of its arrays, and the steps around them."""

    def __init__(self, layer, channels, memory):
        self.layer, self.channels = layer, channels
        self.affine, self.moments, self.slope = (memory.arena.take(2 * channels) for _ in range(3))
        self.flat = memory.arena.take(2 * channels)             # no slopes: for constant statistics
        self.sums = memory.shared("sums", 6 * channels)

    def frozen(self, mode):
        return mode != "train" or not self.layer.trainable

    def _fields(self, tensor):
        layer = self.layer
        weights = {n: parameter(layer, n) for n in ("gamma", "beta") if n in layer.parameters}
        weights |= {n: Weight(layer.state, n) for n in ("moving_mean", "moving_variance")}
        return {"y": tensor, "affine": self.affine, "moments": self.moments, "epsilon": Setting(layer, "epsilon"),
                "momentum": Setting(layer, "momentum"), "unbiased": layer.unbiased_moving_variance, **weights, **self.sums}

    def prepare(self, program, tensor, mode):
        """Scale and offset; in training from the sums that were taken."""
        kernel, when = (normalize.moving_affine, FROM_WEIGHTS) if self.frozen(mode) else (normalize.statistics, IN_ORDER)
        program.add(kernel, self.layer.name, when=when, **self._fields(tensor))

    def pull(self, program, tensor, common, mode, gradients):
        """Gradients of gamma and beta, and the slopes; `common` are the fields g, gate, pool."""
        if self.frozen(mode) and not gradients:
            return self.flat
        program.add(normalize.gradient_sums, self.layer.name, y=tensor, affine=self.affine, **common, **self.sums)
        fields = {f"{n}_gradient": Weight(self.layer.gradients, n) for n in self.layer.parameters} if gradients else {}
        program.add(normalize.gradient_slopes, self.layer.name, y=tensor, affine=self.affine, moments=self.moments,
                    slope=self.slope,
                    frozen=self.frozen(mode), **fields, **self.sums)
        return self.flat if self.frozen(mode) else self.slope
