"""Pooling along one axis, and of all steps."""
from typing import Any, Unpack

from tinyvgg.nn.layers.base import choice
from tinyvgg.nn.layers.one_row import OneRow, one
from tinyvgg.nn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from tinyvgg.types import LayerOptions


class _Pooling1D(OneRow):
    options = ("pool_size", "strides", "padding")
    kind: Any = None

    def __init__(self, pool_size: Any = 2, strides: Any = None, padding: str = "valid", **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.pool_size = one(pool_size, "pool_size")
        self.strides = self.pool_size if strides is None else one(strides, "strides")
        self.padding = choice(padding, ("valid", "same"), "padding")
        self.planar = self.kind((1, *self.pool_size), (1, *self.strides), self.padding)


class MaxPooling1D(_Pooling1D):
    """The largest value of each window; the gradient goes to the first of equal ones."""

    kind = MaxPooling2D


class AveragePooling1D(_Pooling1D):
    """The mean of each window; padded steps are not counted."""

    kind = AveragePooling2D


class _GlobalPooling1D(OneRow):
    options = ("keepdims",)
    kind: Any = None

    def __init__(self, keepdims: bool = False, **common: Unpack[LayerOptions]) -> None:
        super().__init__(**common)
        self.keepdims = bool(keepdims)
        self.planar = self.kind(self.keepdims)


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean over all steps: (N, L, C) -> (N, C), or (N, 1, C) with keepdims."""

    kind = GlobalAveragePooling2D


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value over all steps; the gradient is shared by equal ones."""

    kind = GlobalMaxPooling2D
