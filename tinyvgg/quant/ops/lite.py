"""What ops of TensorFlow Lite's arithmetic share: they are of integers alone, with scales that a file gives."""
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.base import Op


class LiteOp(Op):
    """An op of integers that no float op is lowered to; dequantize gives the float op that it stands for."""

    def forward(self, *x):
        raise self._whole()

    def backward(self, dy, *x, parameters=True, limits=None):
        raise self._whole()

    def lower(self, work, before):
        raise self._whole()

    def _whole(self):
        return NotYet(f"{type(self).__name__} ({self.name!r}) is an op of integers alone", "quant.lower.dequantize(graph)")
