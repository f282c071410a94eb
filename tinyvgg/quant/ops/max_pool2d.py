"""MaxPool2D that is not merged into a convolution."""
from dataclasses import dataclass

from tinyvgg import kernels
from tinyvgg.nn.layers import GlobalMaxPooling2D
from tinyvgg.nn.layers._spatial import padding_for
from tinyvgg.quant.ops.base import Keeps
from tinyvgg.quant.ops.pool import Pool


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2D(Pool, Keeps):
    """The maximum of each window, in the input's scale and zero point; a padded pixel is never the maximum."""

    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    layers = (GlobalMaxPooling2D,)

    @classmethod
    def from_layer(cls, layer, before, **common):
        size = before[0].shape[:2]
        if isinstance(layer, GlobalMaxPooling2D):
            return cls(**common, pool_size=size, strides=(1, 1))
        padding = padding_for(layer.padding, size, layer.pool_size, layer.strides)
        return cls(**common, pool_size=layer.pool_size, strides=layer.strides, padding=padding)

    @property
    def by_rows(self):
        return len(self.shape) == 3

    def rows_read(self, row):
        """Return (first, end): the input rows that row `row` of the result reads; they may lie outside the map."""
        first = row * self.strides[0] - self.padding[0][0]
        return first, first + self.pool_size[0]

    def forward(self, x):
        return kernels.max_pool2d(x, **self.geometry)[0].reshape(len(x), *self.shape)

    def backward(self, dy, x, *, parameters=True, limits=None):
        argmax = kernels.max_pool2d(x, **self.geometry)[1]
        return [kernels.max_pool2d_backward(dy.reshape(argmax.shape), argmax, x.shape, **self.geometry)], {}

    def simulate(self, x):
        return self.windows(x).max(axis=(-2, -1)).reshape(len(x), *self.shape)  # 0 is the smallest level
