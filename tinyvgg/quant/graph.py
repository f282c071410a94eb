"""A graph: ops (tinyvgg/quant/ops) in the order in which they are computed. Data only.

In a float graph batch-norms and pools are merged as in an integer graph; weights are float32, or SharedWeights with a float32
codebook.

fuse.py makes a float graph from an nn.Model, and lower.py makes an integer graph from that. C code for the float schemes (none,
low, medium, high) is written from the float graph.
"""

from dataclasses import dataclass, field

from tinyvgg.quant.ops import Op
from tinyvgg.report.shown import briefly


@briefly
@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """Ops in order of computation: first the Image, last the logits or their Softmax."""

    name: str
    ops: tuple[Op, ...]
    input_range: tuple[float, float] = (0.0, 1.0)
    facts: dict = field(default_factory=dict)  # plain data: scheme, calibration record, hashes

    def __getitem__(self, name):
        """Return the op called `name`."""
        return next(op for op in self.ops if op.name == name)

    @property
    def integer(self):
        """Whether this is an integer graph."""
        return self.ops[0].integer

    @property
    def softmax(self):
        """The final op that turns logits into probabilities, a softmax or a sigmoid, or None."""
        return self.ops[-1] if self.ops[-1].probabilities else None

    @property
    def head(self):
        """The name of the final function, as in nn.head: "softmax", "sigmoid" or None."""
        return self.ops[-1].probabilities or None

    @property
    def logits(self):
        """The op before a final softmax or sigmoid."""
        return self.ops[-1] if self.softmax is None else self[self.softmax.inputs[0]]

    @property
    def input_shape(self):
        """Shape of one image."""
        return self.ops[0].shape
