"""A graph: ops (tinyvgg/quant/ops) in the order in which they are computed. Data only.

A graph of floats has its batch-norms and pools fused as one of integers; weights are float32, or SharedWeights with a float32
codebook.

fuse.py makes a graph of floats from an nn.Model; lower.py makes one of integers from it; the float schemes (none, low, medium,
high) emit it.
"""

from dataclasses import dataclass, field

from tinyvgg.quant.ops.base import Op
from tinyvgg.report.shown import briefly


@briefly
@dataclass(frozen=True, eq=False, kw_only=True)
class Graph:
    """Ops in an order in which each comes after its inputs: first the Image, last the logits or a Softmax of them."""

    name: str
    ops: tuple[Op, ...]
    input_range: tuple[float, float] = (0.0, 1.0)
    facts: dict = field(default_factory=dict)  # plain data: scheme, calibration record, hashes

    def __getitem__(self, name):
        """Return the op called `name`."""
        return next(op for op in self.ops if op.name == name)

    @property
    def integer(self):
        """Whether the graph is one of integers."""
        return self.ops[0].integer

    @property
    def softmax(self):
        """The final op that turns logits into probabilities, a softmax or a sigmoid, or None."""
        return self.ops[-1] if self.ops[-1].probabilities else None

    @property
    def head(self):
        """The name of that function, as nn.head has it: "softmax", "sigmoid" or None."""
        return self.ops[-1].probabilities or None

    @property
    def logits(self):
        """The op before a final softmax or sigmoid."""
        return self.ops[-1] if self.softmax is None else self[self.softmax.inputs[0]]

    @property
    def input_shape(self):
        """Shape of one image."""
        return self.ops[0].shape
