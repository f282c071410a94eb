"""Base class of the stages of an integer plan."""
import numpy as np

from tinyvgg.quant.fast.memory import Tensor, whole


class Stage:
    """One op of a plan. sources and target: Tensors; scratch: bytes that each thread needs."""

    scratch = 0
    gated = False               # whether it can write codes of its sums for the backward pass

    def __init__(self, op, sources, target, path):
        self.op, self.sources, self.target, self.path, self.gate = op, sources, target, path, None
        self.prepare()

    def keep(self):
        """Add a Tensor for the codes of the backward pass, if the stage writes any: see vectors.CLOSED."""
        if self.gated and not getattr(self.op, "lite", False):
            self.gate = Tensor(self.op, dtype=np.uint8)

    def prepare(self):
        """Widen the source's border, and pack everything that does not depend on the number of images."""

    def describe(self):
        """Return what runs, as text."""
        return type(self.op).__name__

    def between(self):
        """Return the step's fields for source, target and codes."""
        codes = {f"gate_{name}": 0 if self.gate is None else getattr(self.gate, name) for name in ("at", "row", "image", "pixel")}
        return {**self.sources[0].fields("x"), **self.target.fields("y"), "channels": whole(self.target.channels), **codes}


def at(array):
    """Return the address of an array; the caller must keep the array alive."""
    return array.__array_interface__["data"][0]
