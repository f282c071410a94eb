"""Base class of the ops: name, inputs, shape of the result, and the methods that each file of this folder implements."""
import sys
from dataclasses import MISSING, dataclass, field, fields, replace
from math import isfinite, prod
from pathlib import Path
from typing import ClassVar

import numpy as np

from tinyvgg.errors import FormatError, NotYet, QuantError
from tinyvgg.quant.fixedpoint import INT32_MAX
from tinyvgg.report.shown import briefly

ITEM = {"uint8": 1, "int16": 2, "float32": 4}


def integers(default=MISSING):
    """A field that only integer ops have."""
    return field(default=default, metadata={"only": "integer"})


def later(default):
    """A field that older files lack. It is stored only if it differs from the default; a file without it means the default."""
    return field(default=default, metadata={"later": True})


def floats(default=MISSING, file=None):
    """A field that only float ops have; `file`: its name in a .tvq file, if that differs."""
    return field(default=default, metadata={"only": "float", "file": file})


def need(condition, op, what):
    """Raise FormatError "op ... has `what`" unless the condition holds."""
    if not condition:
        raise FormatError(f"op {op.name!r} has {what}")


def plain(data):
    """Return the fields of a dataclass as a dict, one level deep."""
    return {f.name: getattr(data, f.name) for f in fields(data)}


def missing(op, what, method):
    """Return the NotYet that names an op, what it lacks, and the method and file to add."""
    module, cls = type(op).__module__, type(op).__name__
    place = getattr(sys.modules.get(module), "__file__", None)
    where = module.removeprefix("tinyvgg.").replace(".", "/") + ".py" if module.startswith("tinyvgg.") else place or module
    return NotYet(f"no {what} for {cls} ({op.name!r}): add the method {method} in {Path(where).as_posix()}, see quant/ops/add.py")


@dataclass(frozen=True, eq=False, kw_only=True)
class Op:
    """A step of a graph. inputs: names of earlier ops; shape: of the result for one image.

    The result q of an integer op stands for real = scale * (q - zero). A float op has scale None.
    """

    name: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    scale: float = integers(None)
    zero: int = integers(0)

    layers: ClassVar[tuple[type, ...]] = ()  # classes of nn.layers that from_layer turns into this op, without a rule in fuse.py
    rounds = True  # whether the result is rounded to levels of its own, found by calibration
    probabilities = None  # "softmax" or "sigmoid" if the result is probabilities of logits; such an op ends its graph
    by_rows = False  # whether C can compute one row of the result at a time; then the op has rows_read
    writes_over_input = False  # whether each value of an input of the same size is read before it is overwritten
    mixes_channels = False  # whether each result reads every channel of the input, through weights
    macc = 0  # multiplications of weights for one image

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        briefly(cls)                            # dataclass keeps the repr that it finds

    @property
    def integer(self):
        """Whether this is an integer op."""
        return self.scale is not None

    @property
    def dtype(self):
        """NumPy's name of the result's dtype in C; simulated floats may be wider."""
        return "uint8" if self.integer else "float32"

    @property
    def nbytes(self):
        """Bytes of the result for one image."""
        return ITEM[self.dtype] * prod(self.shape)

    @property
    def common(self):
        """{name, inputs, shape}, for an op that replaces this one."""
        return {"name": self.name, "inputs": self.inputs, "shape": self.shape}

    @classmethod
    def from_layer(cls, layer, before, **common):
        """Return the float op of a layer (one of `layers`) whose inputs are the ops `before`. common: name, inputs, shape."""
        raise NotYet(f"no rule makes {cls.__name__} ({common.get('name')!r}) of a layer: add the classmethod from_layer")

    def output_shape(self, *before):
        """Check this op's own fields and return the shape of its result, given the ops that it reads; raise FormatError."""
        raise missing(self, "shape", "output_shape")

    def forward(self, *x):
        """x: float arrays (N, ...), one for each input -> (N, *shape)."""
        raise missing(self, "float simulation", "forward")

    def backward(self, dy, *x, parameters=True, limits=None):
        """Pull dy (N, *shape) back through forward(*x): return [dx, ...] and {array: gradient}, empty without `parameters`.

        limits: (low, high); a result outside is saturated and passes no gradient. Arrays: weights, bias, gain, shift.
        """
        raise missing(self, "gradient", "backward")

    def lower(self, work, before):
        """Return the integer op for this float op; work: lower.Lowering; before: the integer ops that it reads."""
        raise missing(self, "lowering", "lower")

    def simulate(self, *x):
        """x: integer arrays (N, ...), one for each input -> (N, *shape) of `dtype`, bit for bit as the C code computes it."""
        raise missing(self, "simulation", "simulate")

    def check(self):
        """Raise QuantError if a value of this integer op can leave int32, or a field is out of its range."""
        raise missing(self, "proof that it fits 32 bits", "check")

    def dequantize(self, graph):
        """Return the float op that this integer op of `graph` stands for, without rounding and saturation."""
        raise missing(self, "float op", "dequantize")

    def counts(self):
        """Return {what: how many} for one image: cycles are estimated from these counts, unless the kernel has its own."""
        raise missing(self, "cost", "counts")

    def compute(self, *x):
        """`simulate` if this is an integer op, else `forward`."""
        return self.simulate(*x) if self.integer else self.forward(*x)

    def in_floats(self):
        """Return the float op with the same fields, without those that only integer ops have."""
        return type(self)(**{f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("only") != "integer"})

    def check_reach(self, largest, shifts, multiplier=0):
        """Raise QuantError unless `largest` and the multiplier fit int32 and the shift is in `shifts`, (least, most)."""
        least, most = shifts
        if largest > INT32_MAX or not least <= self.shift <= most or abs(multiplier) > INT32_MAX:
            raise QuantError(f"{self.name!r} can reach {largest:,} with shift {self.shift}; expected to fit 32 bits and a shift of "
                             f"{least}..{most}")

    def check_levels(self):
        """Raise FormatError unless scale and zero point are valid."""
        need(not self.integer or isfinite(self.scale) and self.scale > 0 and 0 <= self.zero <= 255, self,
             f"scale {self.scale} and zero point {self.zero}")


class Moves(Op):
    """An op that only moves or drops values; the result keeps the first input's scale and zero point."""

    rounds = False

    def simulate(self, *x):
        return self.forward(*x)

    def check(self):
        """Nothing is computed, so nothing can leave int32."""

    def lower(self, work, before):
        work.residue[self.name] = work.residue.get(self.inputs[0], 0.0)
        return replace(self, scale=before[0].scale, zero=before[0].zero)

    def dequantize(self, graph):
        return self.in_floats()


class Keeps(Moves):
    """An op that only moves or drops values of its single input."""


def inside(dy, y, limits):
    """dy where y is within limits, else 0."""
    return dy if limits is None else dy * ((y >= limits[0]) & (y <= limits[1]))


def pooled_size(op, size, window, strides):
    """Rows and columns of a pool's result, for an input of `size`."""
    need(all(1 <= k <= n for k, n in zip(window, size, strict=True)) and min(strides) >= 1, op,
         f"a pool of {tuple(window)} on {tuple(size)}")
    return [(n - k) // s + 1 for n, k, s in zip(size, window, strides, strict=True)]


def vector_or_map(op, size, channels):
    """A pool of the whole map may give (C,) instead of (1, 1, C)."""
    return (channels,) if len(op.shape) == 1 and tuple(size) == (1, 1) else (*size, channels)


def images(x):
    """(N, C) as (N, 1, 1, C)."""
    return x if x.ndim == 4 else x[:, None, None]


def f32(array):
    """The array as float32."""
    return np.ascontiguousarray(array, np.float32)
