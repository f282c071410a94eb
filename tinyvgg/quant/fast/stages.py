"""The stage of each op of an integer graph; a stage puts one step into a program.

To give an op a kernel, add a class here, a line in STAGES, and the op's fields in KNOWN. An op without a line, or with fields
that are not in KNOWN, is simulated.
"""
import dataclasses

import numpy as np

from tinyvgg.quant.fast import moving, windows, winograd
from tinyvgg.quant.fast.memory import SLACK, Ends, Tensor, ends_of, pack, whole
from tinyvgg.quant.fast.products import IMAGES, KERNELS, PIXEL
from tinyvgg.quant.fast.stage import Stage, at
from tinyvgg.quant.fast.vectors import LANES
from tinyvgg.quant.ops import Add, AveragePool2D, Conv2D, Dense, DepthwiseConv2D, Image, LiteTail, MaxPool2D, Tail, UpSample2D, weights_of
from tinyvgg.quant.ops.tail import ACTIVATIONS, accumulator_bounds
from tinyvgg.quant.ops.weighted import LARGEST

CACHE = 64 * 1024               # bytes that the inputs and sums of a block may fill
_EVERY = {"name", "inputs", "shape", "scale", "zero"}
_WINDOW = {"weights", "input_zero", "tail", "strides", "padding", "dilation", "pool", "variant"}
# Fields that the stages below support. Any other field must have its default, with which the op works as if it had no such field.
KNOWN = {
    Conv2D: _EVERY | _WINDOW, DepthwiseConv2D: _EVERY | _WINDOW,
    Dense: _EVERY | {"weights", "input_zero", "tail", "output", "variant"},
    Add: _EVERY | {"multipliers", "offset", "shift", "activation", "slope", "high"},
    AveragePool2D: _EVERY | {"pool_size", "strides", "shift", "offset", "multiplier"},
    MaxPool2D: _EVERY | {"pool_size", "strides", "padding"}, UpSample2D: _EVERY | {"factors"},
    **{kind: _EVERY | fields for kind, (_, fields) in moving.STAGES.items()},
    LiteTail: {"bias", "multiplier", "exponent", "zero", "low", "high", "rounding"},
    Tail: {"bias", "offset", "multiplier", "shift", "activation", "slope", "high"},
}


def unknown(op):
    """Return what no stage here supports of an op or its tail, as text; empty if everything is supported."""
    fields = KNOWN.get(type(op))
    if fields is None:
        return f"no kernel for {type(op).__name__}"
    for field in dataclasses.fields(op):
        if field.name not in fields and getattr(op, field.name) is not field.default and getattr(op, field.name) != field.default:
            return f"no kernel for {type(op).__name__} with {field.name} {getattr(op, field.name)!r}"
    tail = getattr(op, "tail", None)
    if tail is not None:
        return unknown(tail) or _unknown_tail(op, tail)
    return ""


def _unknown_tail(op, tail):
    if isinstance(tail, LiteTail):
        return "no kernel for 16 bits by TensorFlow Lite's arithmetic" if op.dtype != "uint8" else ""
    return "" if tail.activation in ACTIVATIONS else f"no kernel for the activation {tail.activation}"


class Windowed(Stage):
    """Common base of Conv2D and DepthwiseConv2D: a window that slides over a map, a pool, a tail."""

    gated = True

    def prepare(self):
        self.window, self.together = self.op.weights.shape[1:3], 1
        self.pool = self.op.pool or (1, 1, 1, 1)
        self.size, (self.top, self.left) = self.op.size, (pair[0] for pair in self.op.padding)
        self.settle(self.op.strides, self.op.dilation, ends_of(self.op.tail))

    def settle(self, strides, dilation, ends):
        """Set strides, dilation and tail, widen the source's border to fit, and pack the weights."""
        self.strides, self.dilation, self.ends = strides, dilation, ends
        source = self.sources[0]
        ends_at = [(n - 1) * s + (k - 1) * d - before for n, s, k, d, before in
                   zip(self.size, strides, self.window, dilation, (self.top, self.left), strict=True)]
        source.widen(self.top, max(0, ends_at[0] - source.height + 1), self.left, max(0, ends_at[1] - source.width + 1))
        self.pack()

    def blocks(self, expands):
        """Return the rows of the result at a time (few, many), and the bytes of inputs and of sums that `many` rows need."""
        source, (ph, _, sh, _) = self.sources[0], self.pool

        def needs(rows):
            lines = (rows - 1) * sh + ph
            read = (lines - 1) * self.strides[0] + (self.window[0] - 1) * self.dilation[0] + 1
            return expands * (read * source.row + 16) + SLACK, lines * self.size[1] * PIXEL

        rows = self.target.height
        while rows > 1 and sum(needs(rows)) > CACHE:
            rows -= 1
        rows = -(-self.target.height // -(-self.target.height // rows))
        return min(rows, -(-self.target.height // 2)), rows, needs(rows)

    def corner(self):
        """Return the address of the first pixel of the first window."""
        source = self.sources[0]
        return source.at - self.top * source.row - self.left * source.pixel

    def fields(self, expands):
        """Return the step's fields, except the weights."""
        few, many, (inputs, sums) = self.blocks(expands)
        ph, pw, sh, sw = self.pool
        self.scratch = whole(inputs, SLACK) + sums + SLACK
        return {**self.between(), **self.ends.fields(), "constants": at(self.constants), "zero": self.zero, "rows_few": few,
                "x_at": self.corner(),
                "rows_many": many, "sums": whole(inputs, SLACK), "stride_height": self.strides[0], "stride_width": self.strides[1],
                "pool_height": ph, "pool_width": pw, "pool_stride_height": sh, "pool_stride_width": sw, "conv_width": self.size[1]}


class Convolve(Windowed):
    """Conv2D, and a DepthwiseConv2D with several output channels for each input channel, as a Conv2D with zeros."""

    def pack(self):
        w = weights_of(self.op)
        self.zero = self.op.input_zero
        if isinstance(self.op, DepthwiseConv2D):
            w = _spread(w, self.sources[0].channels)
        self.kernels = fitting(w, self.path)
        self.winograd = self._in_tiles(w)
        if self.winograd:
            self._pack_tiles(w)
            return
        f, kh, kw, c = w.shape
        across = (kw - 1) * self.dilation[1] + 1
        wide = np.zeros((f, kh, across, self.sources[0].pixel), w.dtype)
        wide[:, :, ::self.dilation[1], :c] = w
        self.weights = pack(wide.reshape(f, kh, -1), KERNELS[self.kernels][2])
        quads = KERNELS[self.kernels][2] == 4
        self.constants = self.ends.constants(self.zero * w.sum(axis=(1, 2, 3), dtype=np.int64) if quads else 0)
        self.depth = across * self.sources[0].pixel // KERNELS[self.kernels][2]

    def _in_tiles(self, w):
        if KERNELS[self.kernels][2] != 2 or w.dtype != np.int8:
            return False
        bounds = accumulator_bounds(w, self.zero)
        return winograd.fits(self.window, self.strides, self.dilation, self.pool, self.size, self.sources[0].pixel, *bounds)

    def _pack_tiles(self, w):
        source = self.sources[0]
        wide = np.zeros((*w.shape[:3], source.pixel), np.int8)
        wide[..., :w.shape[3]] = w
        self.weights, self.constants = pack(winograd.weights_of_positions(wide), 2), self.ends.constants()
        self.down, self.across = (-(-n // winograd.OUTPUT) for n in self.size)
        source.widen(0, max(0, self.down * winograd.OUTPUT + 2 - self.top - source.height), 0,
                     max(0, self.across * winograd.OUTPUT + 2 - self.left - source.width))

    def _add_tiles(self, program, scratch):
        source, ends = self.sources[0], self.ends.fields()
        rows = winograd.block_of_rows(source.pixel, self.across)
        tiles, columns = rows * self.across, self.across * winograd.OUTPUT
        self.scratch = (winograd.POSITIONS * (tiles * (2 * source.pixel + PIXEL) + 2 * winograd.GAP)
                        + winograd.OUTPUT * columns * PIXEL + SLACK)
        ph, pw, sh, sw = self.pool
        program.add(winograd.KERNELS[self.kernels], **{**self.between(), "x_at": self.corner()}, **ends, **scratch, zero=self.zero,
                    weights=at(self.weights), constants=at(self.constants), depth=source.pixel // 2, rows_many=rows,
                    across=self.across, down=self.down, tile_rows=winograd.OUTPUT // sh, conv_width=columns, pool_height=ph,
                    pool_width=pw, pool_stride_height=sh, pool_stride_width=sw)

    def add(self, program, scratch):
        if self.winograd:
            self._add_tiles(program, scratch)
            return
        kernel, _, together = KERNELS[self.kernels]
        program.add(kernel, **self.fields(2 if together == 2 else 0), **scratch, weights=at(self.weights),
                    segments=self.window[0], segment=self.dilation[0] * self.sources[0].row, depth=self.depth)

    def describe(self):
        how = f"{type(self.op).__name__}, {self.kernels}" + (", Winograd F(4x4,3x3)" if self.winograd else "")
        return how + (", max-pool inside" if self.op.pool else "")


class Connect(Stage):
    """Dense."""

    gated = True

    def prepare(self):
        source, w = self.sources[0], weights_of(self.op)
        self.kernels = fitting(w, self.path)
        self.together = KERNELS[self.kernels][2]
        wide = np.zeros((len(w), source.height, source.width, source.pixel), w.dtype)
        wide[..., :source.channels] = w.reshape(len(w), source.height, source.width, source.channels)
        self.weights = pack(wide.reshape(len(w), source.height, -1), self.together)
        self.ends = ends_of(self.op.tail)
        minus = self.op.input_zero * w.sum(axis=1, dtype=np.int64) if self.together == 4 else 0
        self.constants = self.ends.constants(minus)
        self.depth = source.width * source.pixel // self.together
        self.inputs = whole(IMAGES * source.height * source.width * source.pixel * 2, SLACK) + SLACK if self.together == 2 else 0
        self.scratch = self.inputs + IMAGES * PIXEL + SLACK

    def add(self, program, scratch):
        program.add(KERNELS[self.kernels][1], **self.between(), **self.ends.fields(self.op.dtype == "int16"), **scratch,
                    zero=self.op.input_zero, weights=at(self.weights), constants=at(self.constants), sums=self.inputs,
                    segments=self.sources[0].height, segment=self.sources[0].row, depth=self.depth)

    def describe(self):
        return f"Dense, {self.kernels}"


class Depthwise(Windowed):
    """DepthwiseConv2D with one output channel for each input channel."""

    def pack(self):
        self.zero = self.op.input_zero
        self._taps(weights_of(self.op).transpose(1, 2, 0))

    def _taps(self, taps):
        self.weights = np.zeros((*taps.shape[:2], whole(taps.shape[2])), np.int32)
        self.weights[..., :taps.shape[2]] = taps
        self.constants = self.ends.constants()

    def add(self, program, scratch):
        source = self.sources[0]
        program.add(windows.windows, **self.fields(0), **scratch, weights=at(self.weights), window_height=self.window[0],
                    window_width=self.window[1], tap_row=self.dilation[0] * source.row,
                    tap_column=self.dilation[1] * source.pixel)


class Mean(Depthwise):
    """AveragePool2D: a depthwise convolution with weights of 1."""

    def prepare(self):
        op, channels = self.op, self.sources[0].channels
        self.window, self.pool, self.top, self.left, self.zero = op.pool_size, (1, 1, 1, 1), 0, 0, 0
        self.size = self.target.height, self.target.width
        same = [np.full(channels, n, np.int64) for n in (0, op.offset, op.multiplier)]
        self.settle(op.strides, (1, 1), Ends(Tail(bias=same[0], offset=same[1], multiplier=same[2], shift=op.shift)))

    def pack(self):
        self._taps(np.ones((*self.window, self.sources[0].channels), np.int32))


class Largest(Stage):
    """MaxPool2D."""

    def add(self, program, scratch):
        (top, _), (left, _) = self.op.padding
        program.add(windows.largest, **self.between(), top=top, left=left, window_height=self.op.pool_size[0],
                    window_width=self.op.pool_size[1], stride_height=self.op.strides[0], stride_width=self.op.strides[1])


class Sum(Stage):
    """Add."""

    def prepare(self):
        op = self.op
        one = [np.full(LANES, n, np.int64) for n in (0, op.offset, 1 << (32 - op.shift))]
        self.constants = Ends(Tail(bias=one[0], offset=one[1], multiplier=one[2], shift=0)).constants()

    def add(self, program, scratch):
        self.table = np.array([(t.at, t.row, t.image, m) for t, m in zip(self.sources, self.op.multipliers, strict=True)], np.int64)
        program.add(windows.add, **self.between(), table=at(self.table), inputs=len(self.table), constants=at(self.constants))


class Repeat(Stage):
    """UpSample2D."""

    def add(self, program, scratch):
        program.add(windows.repeat, **self.between(), window_height=self.op.factors[0], window_width=self.op.factors[1])


def _depthwise(op, sources, target, path):
    return (Depthwise if len(op.weights.shape) == 3 and op.weights.shape[0] == sources[0].channels else Convolve)(
        op, sources, target, path)


STAGES = {Conv2D: Convolve, DepthwiseConv2D: _depthwise, Dense: Connect, Add: Sum, AveragePool2D: Mean, MaxPool2D: Largest,
          UpSample2D: Repeat, **{kind: stage for kind, (stage, _) in moving.STAGES.items()}}


def stage_of(op, sources, target, path):
    """Return the stage of an op, or the reason why there is none, as text. sources: Tensors, or None for ops without one."""
    why = unknown(op)
    if why:
        return why
    if any(s is None or s.dtype != np.uint8 for s in sources):
        return "an input that is not uint8, or has more than three axes"
    if target is None:
        return "a result of more than three axes"
    if isinstance(op, DepthwiseConv2D) and op.weights.shape[0] * sources[0].channels * op.weights.shape[1] > LARGEST:
        return "too many output channels for each input channel"
    return STAGES[type(op)](op, sources, target, path)


def fitting(weights, path):
    """Return `path`, or its path of pairs if quads do not fit: for weights beyond int8, or sums of inputs (with their zero point)
    beyond 32 bits."""
    flat = np.abs(weights.reshape(len(weights), -1).astype(np.int64))
    if KERNELS[path][2] == 2 or weights.min() >= -128 and weights.max() <= 127 and 255 * flat.sum(axis=1).max() < 2**31:
        return path
    return "avx2" if path == "vnni" else "generic"


def _spread(w, channels):
    """Return depthwise weights (F, KH, KW) as weights (F, KH, KW, C) of a convolution."""
    wide = np.zeros((*w.shape, channels), w.dtype)
    wide[np.arange(len(w)), :, :, np.arange(len(w)) // (len(w) // channels)] = w
    return wide


def tensor_of(op, readers):
    """Return the Tensor of an op's result, or None if no Tensor can hold it.

    The pixels of images with few channels are padded to 32 bits, if only products read them.
    """
    if op.dtype not in ("uint8", "int16") or len(op.shape) > 3:
        return None
    few = isinstance(op, Image) and op.shape[-1] <= 4 and all(type(r) in (Conv2D, Dense) for r in readers)
    return Tensor(op, 4 if few else LANES)
