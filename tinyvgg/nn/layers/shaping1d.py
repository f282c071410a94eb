"""Steps added, repeated and cut off along one axis."""
from typing import Any, Unpack

from tinyvgg.nn.layers.base import positive
from tinyvgg.nn.layers.cropping2d import Cropping2D
from tinyvgg.nn.layers.one_row import OneRow, ends
from tinyvgg.nn.layers.shaping import ZeroPadding2D
from tinyvgg.nn.layers.up_sampling2d import UpSampling2D
from tinyvgg.types import LayerOptions


class ZeroPadding1D(OneRow):
    """Adds steps of zeros: padding 1 or (before, after)."""

    options = ("padding",)

    def __init__(self, padding: Any = 1, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.padding = ends(padding, "padding")
        self.planar = ZeroPadding2D(((0, 0), self.padding))


class Cropping1D(OneRow):
    """Cuts off steps: cropping 1 or (before, after)."""

    options = ("cropping",)

    def __init__(self, cropping: Any = (1, 1), **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.cropping = ends(cropping, "cropping")
        self.planar = Cropping2D(((0, 0), self.cropping))


class UpSampling1D(OneRow):
    """y[n,i,c] = x[n, i // size, c]."""

    options = ("size",)

    def __init__(self, size: int = 2, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.size = positive(size, "size")
        self.planar = UpSampling2D((1, self.size))
