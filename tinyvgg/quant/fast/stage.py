"""What every stage of a plan of integers is."""
import numpy as np

from tinyvgg.quant.fast.memory import Tensor, whole


class Stage:
    """One op: sources and target are Tensors. `scratch`: bytes that each thread needs."""

    scratch = 0
    gated = False               # whether its sums have codes for the way back

    def __init__(self, op, sources, target, path):
        self.op, self.sources, self.target, self.path, self.gate = op, sources, target, path, None
        self.prepare()

    def keep(self):
        """Have a Tensor for the codes of the way back, where the stage has any: see vectors.CLOSED."""
        if self.gated and not getattr(self.op, "lite", False):
            self.gate = Tensor(self.op, dtype=np.uint8)

    def prepare(self):
        """Widen the source's border, and pack what does not depend on the number of images."""

    def describe(self):
        """What runs, as text."""
        return type(self.op).__name__

    def between(self):
        """Source and target as a step's fields, and codes."""
        codes = {f"gate_{name}": 0 if self.gate is None else getattr(self.gate, name) for name in ("at", "row", "image", "pixel")}
        return {**self.sources[0].fields("x"), **self.target.fields("y"), "channels": whole(self.target.channels), **codes}


def at(array):
    """The address of an array, which the caller keeps."""
    return array.__array_interface__["data"][0]
