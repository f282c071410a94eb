"""C that several emitters write: windows, tails, weights."""
import math
from dataclasses import replace

import numpy as np

from tinyvgg.codegen.emit import initializer, numbers
from tinyvgg.codegen.program import Step
from tinyvgg.errors import NotYet, ShapeError
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.ops.tail import accumulator_bounds
from tinyvgg.quant.ops.weights import CodedWeights, SharedWeights, weights_of
from tinyvgg.quant.packing import pack_bits
from tinyvgg.quant.prefix import LONGEST, codes, encode

DECODER_BYTES = 8 + 24 + 5 * 1024 # sizeof(tv_decoder) with pointers of 8 bytes, and the bytes that it writes beyond the weights
UNROLL = 8                  # weights that the inner loop takes at a time
ACTIVATIONS = {"none": "TV_NONE", "relu": "TV_RELU", "leaky": "TV_LEAKY", "clamp": "TV_CLAMP"}


def map_shape(shape):
    """Return (H, W, C) of a tensor; a vector is one pixel, a series one row."""
    return (*(1,) * (3 - len(shape)), *shape)


def window(op, input_shape, kernel_size):
    """Return the fields of tv_window for a convolution or pool."""
    (h, w, c), (oh, ow, f) = map_shape(input_shape), map_shape(op.shape)
    (top, _), (left, _) = getattr(op, "padding", ((0, 0), (0, 0)))
    dilation, pool = getattr(op, "dilation", (1, 1)), getattr(op, "pool", None) or (1, 1, 1, 1)
    fields = {"in_height": h, "in_width": w, "in_channels": c, "out_height": oh, "out_width": ow, "out_channels": f,
              "kernel_height": kernel_size[0], "kernel_width": kernel_size[1],
              "stride_y": op.strides[0], "stride_x": op.strides[1],
              "pad_top": top, "pad_left": left, "dilation_y": dilation[0], "dilation_x": dilation[1],
              "pool_height": pool[0], "pool_width": pool[1], "pool_stride_y": pool[2], "pool_stride_x": pool[3]}
    for key, value in fields.items():
        if value > 65535:
            raise ShapeError(f"{op.name!r} has {key} {value}; the kernels take up to 65535")
    return {key: int(value) for key, value in fields.items()}


def float_fields(program, op, comment):
    """Return {"weights" or "shared": ..., "tail": ...} for a float op; comment: the order of its weights."""
    stored = {"shared": shared_fields(program, op)} if is_shared(op) else {"weights": program.constant(op, "weights", op.weights, comment)}
    return stored | {"tail": float_tail(program, op)}


def integer_tail(program, op):
    """Return the fields of tv_tail_u8. The input's zero point goes into the bias, or into the offset if there is no activation.

    sum (x - z) w + b = sum x w + (b - z sum w), modulo 2^32 throughout.
    """
    tail, weights = op.tail, weights_of(op)
    bias = tail.bias.astype(np.int64) - op.input_zero * weights.reshape(len(weights), -1).sum(axis=1, dtype=np.int64)
    if op.lite:
        return _lite_tail(program, op, weights, bias)
    offset = tail.offset.astype(np.int64)
    if tail.activation == "none":
        bias, offset = None, offset + (bias << tail.shift)
    return {"bias": None if bias is None else program.constant(op, "bias", wrap(bias)),
            "offset": program.constant(op, "offset", wrap(offset)),
            "multiplier": program.constant(op, "multiplier", tail.multiplier.astype(np.int32)),
            "high": None if tail.high is None else program.constant(op, "high", tail.high.astype(np.int32)),
            "slope": int(tail.slope), "shift": int(tail.shift), "activation": ACTIVATIONS[tail.activation]}


def _lite_tail(program, op, weights, bias):
    """Return the fields of tv_lite_tail."""
    tail = op.tail
    if weights.dtype != np.int8:
        raise NotYet(f"C code has no weights of nine bits ({op.name!r}): uint8 weights with a zero point other than 128",
                     "an int8 model; this one can be simulated")
    return {"bias": program.constant(op, "bias", wrap(bias)), "multiplier": program.constant(op, "multiplier", tail.multiplier),
            "exponent": program.constant(op, "exponent", tail.exponent.astype(np.int8)),
            "zero": int(tail.zero), "low": int(tail.low), "high": int(tail.high), "rounding": lite_rounding(op)}


def lite_rounding(op):
    """Return the rounding of an op's LiteTail: TV_SINGLE, TV_DOUBLE or, with exponents below 0 and sums below 2^30,
    TV_DOUBLE_PLAIN."""
    if op.tail.rounding == "single":
        return "TV_SINGLE"
    low, high = accumulator_bounds(weights_of(op), op.input_zero)
    bias = op.tail.bias.astype(np.int64)
    largest = max(int((high + bias).max()), int(-(low + bias).min()))
    return "TV_DOUBLE_PLAIN" if (op.tail.exponent < 0).all() and largest < 1 << 30 else "TV_DOUBLE"


def kernel_of(op, name):
    """Return the kernel `name`, or its version that ends in TensorFlow Lite's arithmetic."""
    return name.replace("tv_", "tv_lite_", 1) if op.lite else name


def wrap(values):
    """int64 -> int32 modulo 2^32."""
    return values.astype(np.int64).astype(np.uint64).astype(np.uint32).view(np.int32)


def float_tail(program, op):
    """Return the fields of tv_tail_f32."""
    tail = op.tail
    fields = {"bias": program.constant(op, "bias", tail.bias.astype(np.float32))}
    if tail.gain is not None:
        fields["gain"] = program.constant(op, "gain", tail.gain.astype(np.float32))
        fields["shift"] = program.constant(op, "shift", tail.shift.astype(np.float32))
    return fields | {"slope": float(tail.slope), "high": float(tail.high), "activation": ACTIVATIONS[tail.activation]}


def shared_fields(program, op):
    """Return the fields of tv_shared: the codebook of 2^bits entries (the last one repeated as padding), then packed indices."""
    shared = op.weights
    missing = (1 << shared.bits) - shared.codebook.shape[-1]
    codebook = np.concatenate([shared.codebook, np.repeat(shared.codebook[..., -1:], missing, axis=-1)], axis=-1)
    fields = {"codebook": program.constant(op, "codebook", codebook)}
    indices = pack_bits(shared.indices, shared.bits)
    return fields | {"indices": program.constant(op, "indices", indices, f"{shared.bits} bits each, first in the high bits"),
                     "row_bits": shared.indices[0].size * int(shared.bits),
                     "codebook_step": 0 if codebook.ndim == 1 else codebook.shape[1], "bits": int(shared.bits)}


def layer_step(op, program, kernel, fields, *, struct=None, files=None, x="{x}", scratch=None, row=None, counts=None, before=""):
    """Return the Step of a kernel that takes a layer struct of `fields`, x, y and, unless scratch is None, so many bytes of it.

    struct, files: the struct's type and the C files, by default named after the kernel. row: "layer" if the struct begins with
    its window, so that the kernel can run on a copy with another window; "window" if the struct is the window. counts: by default
    op.counts(). before: C that must precede the struct.
    """
    symbol, room = f"{program.symbol(op)}_layer", "" if scratch is None else ", {scratch}"
    rows = {"layer": (f"&{symbol}.window", f"{kernel}_layer layer = {symbol};\n    layer.window = *window;\n"
                                           f"    {kernel}(&layer, x, y, scratch);"),
            "window": (f"&{symbol}", f"(void)scratch;\n    {kernel}(window, x, y);")}
    return Step(f"{kernel}(&{symbol}, {x}, {{y}}{room})", files or (kernel,),
                f"{before}static TV_CONST {struct or f'{kernel}_layer'} {symbol} = {initializer(fields)};", scratch or 0, rows.get(row),
                kind=kind_of(op), counts=op.counts() if counts is None else counts)


def joined_step(op, program, kernel, fields, ctype, **settings):
    """layer_step of a kernel whose x is an array with the addresses of all inputs. The array has a name, because C++ cannot take
    the address of a temporary array."""
    step = layer_step(op, program, kernel, fields, x="sources", **settings)
    return replace(step, call=f"{{{{ const {ctype} *const sources[] = {{{{ {{inputs}} }}}}; {step.call}; }}}}")


def broadcast_fields(shape, parts):
    """Return the fields of tv_broadcast, which broadcasts two arrays of the shapes `parts` to `shape`."""
    height, width, channels = map_shape(shape)
    parts = [map_shape(part) for part in parts]
    row, column, channel = ([math.prod(part[i + 1:]) if part[i] > 1 else 0 for part in parts] for i in range(3))
    return {"height": height, "width": width, "channels": channels, "row": numbers(row), "column": numbers(column),
            "channel": numbers(channel)}


def kind_of(op):
    """Return the name of an op's set of cost coefficients: its class, or a convolution's kernel, and whether it looks codebooks
    up. An op that decodes its weights has the coefficients of int8, plus those of decoding."""
    looked_up = "_shared" if is_shared(op) and not is_coded(op) else ""
    if isinstance(op, Conv2D):
        if is_coded(op) and op.variant == "direct_ram":
            return "direct"
        return op.variant.removesuffix("_held").replace("_rows", "_ram") + (looked_up if op.variant in ("direct", "direct_ram") else "")
    return type(op).__name__.lower() + looked_up


def is_shared(op):
    """Whether the op's weights are a codebook and indices."""
    return isinstance(getattr(op, "weights", None), SharedWeights)


def is_coded(op):
    """Whether the op's weights are stored with a prefix code."""
    return isinstance(getattr(op, "weights", None), CodedWeights)


def code_of(program, op, layout):
    """Return the C of a static tv_code of an op's weights in a kernel's layout, and its name.

    layout: a function from indices (F, ...) to the kernel's order. Where that order needs padding, the code of the weight 0 is
    used.
    """
    shared, silent = op.weights, np.uint8(op.weights.silent)
    stream = encode(layout(shared.indices - silent) + silent, shared.lengths)
    fields = {"stream": program.constant(op, "stream", stream, "codes, the first bit in the high bits"), "bytes": stream.size,
              "counts": program.constant(op, "counts", np.bincount(shared.lengths, minlength=LONGEST + 1)[1:].astype(np.uint8)),
              "values": program.constant(op, "values", shared.codebook[codes(shared.lengths)[1]])}
    name = f"{program.symbol(op)}_code"
    return f"static TV_CONST tv_code {name} = {initializer(fields)};\n", name


def weight_fields(program, op, layout, comment):
    """Return, for an integer op: {"weights": ...} or {"shared": ...}, C that must precede its layer, bytes of scratch and C files
    for a decoder.

    layout: a function from weights (F, ...), or indices, to the kernel's order, which `comment` says.
    """
    if not is_shared(op):
        return {"weights": program.constant(op, "weights", layout(weights_of(op)), comment)}, "", 0, ()
    if not is_coded(op):
        return {"shared": shared_fields(program, op)}, "", 0, ()
    declaration, name = code_of(program, op, layout)
    return {"shared": {"codebook": f"&{name}"}}, declaration, DECODER_BYTES, ("tv_decode",)


def decoding_counts(op, weights):
    """Return the counts that decoding so many weights of an op adds; none if they are not coded."""
    return {"decoded": weights, "tables": 1} if is_coded(op) else {}


def pair_blocks(weights):
    """Bytes of weights, or indices, (F, K) -> blocks of two filters [F/2][K/4][2][4], padded with zeros."""
    f, k = weights.shape
    padded = np.zeros((f + f % 2, round_up(k, UNROLL)), weights.dtype)
    padded[:f, :k] = weights
    return padded.reshape(len(padded) // 2, 2, -1, 4).transpose(0, 2, 1, 3)


def round_up(n, multiple):
    """Return n rounded up to a multiple."""
    return -(-n // multiple) * multiple
