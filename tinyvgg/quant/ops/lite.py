"""Common base of the ops in TensorFlow Lite's arithmetic: integer only, with scales from a .tflite file."""
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.base import Op


class LiteOp(Op):
    """An integer op that lowering never makes; dequantize gives the float op that it stands for."""

    def forward(self, *x):
        raise self._whole()

    def backward(self, dy, *x, parameters=True, limits=None):
        raise self._whole()

    def lower(self, work, before):
        raise self._whole()

    def _whole(self):
        return NotYet(f"{type(self).__name__} ({self.name!r}) computes in integers only", "quant.lower.dequantize(graph)")
