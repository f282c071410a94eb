"""Convolutions compiled for one shape: the layers that each variant can run, its layout of weights, the C file of a layer.

The kernels are kernels/tv_conv2d_s16.h, tv_winograd2.h and tv_winograd4.h. Each file documents its computation and the layout of
its weights.
"""
import math

import numpy as np

from tinyvgg.codegen.emit import initializer
from tinyvgg.codegen.ops._common import (
    ACTIVATIONS,
    DECODER_BYTES,
    code_of,
    decoding_counts,
    integer_tail,
    is_coded,
    is_shared,
    kind_of,
    lite_rounding,
    map_shape,
    round_up,
)
from tinyvgg.codegen.program import Step
from tinyvgg.errors import NotYet
from tinyvgg.quant.ops.tail import accumulator_bounds
from tinyvgg.quant.ops.weights import weights_of
from tinyvgg.quant.packing import pack_bits

RAM = "_ram"                # variants that keep int8 weights or codebooks in flash and widen or transform them in RAM
ROWS = "_rows"              # the same for a few rows of the map at a time: less RAM, but weights are expanded again each time
HELD = "_held"              # variants whose weights are already wide, and are copied to RAM when the board starts
TILES = {"winograd2": 2, "winograd4": 4}
BITS = {"winograd2": 2, "winograd4": 6}         # fractional bits of the accumulator, which must still fit 32 bits
DEEPEST = 24                # words of products that the inner loop unrolls, if it is not unrolled completely
AT_ONE_GO = 64
PLACES_AT_ONE_GO = 32       # words of products, over several places, that Winograd's inner loop unrolls
BATCH_BYTES = 80 << 10      # transformed values or gathered columns at a time, if weights are expanded each time
BLOCK_BYTES = 12 << 10      # gathered columns at a time otherwise


def base_of(variant):
    """Return the kernel of a variant, without the suffix for the place of its weights: "direct16", "winograd2", "winograd4"."""
    return variant.removesuffix(RAM).removesuffix(ROWS).removesuffix(HELD)


def expands(variant):
    """Whether a variant keeps int8 weights or codebooks in flash and widens or transforms them in RAM."""
    return variant.endswith((RAM, ROWS))


def is_transformed(variant):
    """Whether a variant's constants are words transformed by Winograd's algorithm, not weights."""
    return base_of(variant) in TILES and not expands(variant)


def refusal(op, input_shape, variant):
    """Return why the convolution `op` cannot run as `variant` ("direct16", "winograd2_ram", "winograd4_held" ...), or None."""
    base = base_of(variant)
    _, kh, kw, c = op.weights.shape
    if op.dilation != (1, 1):
        return "it is dilated"
    if base == "direct16":
        return None
    if base not in TILES:
        return "there is no such kernel"
    if (kh, kw) != (3, 3) or op.strides != (1, 1):
        return "it is not 3x3 with stride 1"
    if op.pool not in (None, (2, 2, 2, 2)):
        return f"it has a max-pool of {op.pool[:2]} with stride {op.pool[2:]}; expected 2x2 with stride 2"
    if round_up(c, 4) * 2 > 4080:
        return f"it has {c} channels; expected at most 2040"
    low, high = accumulator_bounds(weights_of(op), 0)
    largest = int(max(high.max(), -low.min()))
    if largest >= 1 << 31 - BITS[base]:
        return f"its sums can reach {largest:,}; expected less than {1 << 31 - BITS[base]:,}"
    return None


def fixed_step(op, program):
    """Return the Step of a convolution whose variant is not "direct"; raise NotYet if the variant cannot run it."""
    why = refusal(op, program.input_shapes(op)[0], op.variant)
    if why:
        raise NotYet(f"the variant {op.variant} cannot run {op.name!r}: {why}", 'variant "direct"')
    base, expand = base_of(op.variant), expands(op.variant)
    make = _direct16 if base == "direct16" else _winograd
    defines, layout, mac, scratch = make(op, program.input_shapes(op)[0], base, expand)
    symbol = f"{program.name}_{program.symbol(op)}"
    bits, four = (index_bits(op, base), layout(weights_of(op)[:4]).size) if expand else (0, 0)
    before = ""
    if is_coded(op) and expand:
        before, name = code_of(program, op, layout)
        fields = {"weights": f"&{name}"}
    else:
        fields = indices(program, op, layout) if bits else {
            "weights": program.constant(op, "weights", layout(weights_of(op)), held=op.variant.endswith(HELD))}
    fields["tail"] = integer_tail(program, op)
    scratch += (four if bits else 0) + (DECODER_BYTES if before else 0)
    lines = [f"#define {key} {value}" for key, value in {"TV_NAME": symbol, **_shape(op, program), "TV_EXPAND": int(expand),
                                                           "TV_INDEX_BITS": bits, **({"TV_CODED": 1} if before else {}),
                                                           "TV_MAC": mac, **defines}.items()]
    header = {"direct16": "tv_conv2d_s16.h"}.get(base, f"tv_{base}.h")
    text = f"/* {program.symbol(op)}: {op.variant}. */\n" + "\n".join(lines) + f'\n#include "{header}"\n'
    struct = "tv_lite_fixed_layer" if op.lite else "tv_fixed_layer"
    declaration = (f"{before}void {symbol}(const {struct} *layer, const uint8_t *x, uint8_t *y, void *scratch);\n"
                   f"static TV_CONST {struct} {program.symbol(op)}_layer = {initializer(fields)};")
    return Step(f"{symbol}(&{program.symbol(op)}_layer, {{x}}, {{y}}, {{scratch}})", (mac, *(["tv_decode"] if before else [])), declaration, scratch,
                sources={f"{symbol}.c": text}, kind=kind_of(op),
                counts={**_counts(op, program.input_shapes(op)[0], base, defines, bits), "read": _bytes_read(op, defines, program)})


def _counts(op, input_shape, base, shape, bits):
    """Return the counts from which the cycles of such a kernel are computed; shape: the definitions of its C file; bits: of
    indices."""
    f, size = round_up(op.weights.shape[0], 4), math.prod(op.shape)
    if base in TILES:
        tiles, places = shape["TV_TILE_ROWS"] * shape["TV_TILE_COLUMNS"], (TILES[base] + 2) ** 2
        times = -(-shape["TV_TILE_ROWS"] // shape["TV_BATCH"])
    else:
        tiles, places = size // op.shape[-1] * math.prod((op.pool or (1, 1))[:2]), 1
        times = -(-tiles // shape["TV_BLOCK"])
    words, pairs = places * shape["TV_DEPTH"], round_up(tiles, shape.get("TV_TOGETHER", 2)) * f
    found = {"layer": 1, "copied": math.prod(map_shape(input_shape)) * shape["TV_COPY"], "gathered": tiles * words,
             "results": tiles * places * f, "outputs": size, "products": pairs * words, "calls": pairs * places // 4}
    if expands(op.variant):
        found["expanded"] = times * f * words
        weights = times * f * math.prod(op.weights.shape[1:]) if bits else 0
        found |= decoding_counts(op, weights) or {"looked_up": weights}
    return found


def _bytes_read(op, shape, program):
    """Return the bytes of constants that such a kernel reads from flash; bytes read twice are counted twice."""
    if op.variant.endswith(HELD):
        return 0
    own = sum(c.array.nbytes for c in program.constants if c.op == op.name and c.name.endswith(("_weights", "_indices", "_stream")))
    rows = shape.get("TV_TILE_ROWS", 0)
    all_, each = (rows * shape["TV_TILE_COLUMNS"], shape["TV_BATCH"] * shape["TV_TILE_COLUMNS"]) if rows else (
        math.prod(map_shape(op.shape)[:2]) * math.prod((op.pool or (1, 1))[:2]), shape["TV_BLOCK"])
    batches = [each] * (all_ // each) + ([all_ % each] if all_ % each else [])
    together = shape.get("TV_TOGETHER", 2)
    return own * (len(batches) if expands(op.variant) else sum(-(-n // together) for n in batches))


def index_bits(op, base):
    """Return the bits of the indices that a "_ram" variant looks up, four filters at a time: 8 if coded, 0 for int8 weights.

    Needs one codebook of up to 16 entries for the layer, and rows whose bytes are a multiple of four, so that no weights are
    added as padding.
    """
    _, _, kw, c = op.weights.shape
    if is_coded(op):
        return 8
    if not is_shared(op) or op.weights.codebook.ndim != 1 or op.weights.bits > 4:
        return 0
    return 0 if (c if base in TILES else kw * c) % 4 else int(op.weights.bits)


def indices(program, op, layout):
    """Return the fields of tv_fixed_layer: a codebook of 2^bits entries (the last one repeated as padding), and packed indices in
    the layout of the weights."""
    shared = op.weights
    codebook = np.pad(shared.codebook, (0, (1 << shared.bits) - len(shared.codebook)), mode="edge")
    packed = pack_bits(layout(shared.indices), shared.bits)
    return {"codebook": program.constant(op, "codebook", codebook), "weights": program.constant(op, "indices", packed)}


def _shape(op, program):
    """Return the definitions that all kernels of tv_fixed.h need."""
    (h, w, c), (oh, ow, f) = map_shape(program.input_shapes(op)[0]), map_shape(op.shape)
    return {"TV_HEIGHT": h, "TV_WIDTH": w, "TV_CHANNELS": c, "TV_OUT_HEIGHT": oh, "TV_OUT_WIDTH": ow, "TV_FILTERS": f,
            "TV_TOP": op.padding[0][0], "TV_LEFT": op.padding[1][0], "TV_ZERO": f"{op.input_zero}u",
            **(_lite(op) if op.lite else {"TV_ACTIVATION": ACTIVATIONS[op.tail.activation], "TV_SHIFT": op.tail.shift})}


def _lite(op):
    return {"TV_LITE": 1, "TV_LITE_ROUNDING": lite_rounding(op), "TV_LITE_LIMITS": int((op.tail.low, op.tail.high) != (0, 255))}


def _results(op):
    """Return rows and columns of the convolution's result, before the pool: only those that the pool reads."""
    oh, ow, _ = map_shape(op.shape)
    ph, pw, sh, sw = op.pool or (1, 1, 1, 1)
    return (oh - 1) * sh + ph, (ow - 1) * sw + pw


def mac_depth(words):
    """Return (unroll, chunks) with which the inner loop of tv_mac.h covers so many words of products."""
    if words <= AT_ONE_GO:
        return words, 1
    return min(((n, -(-words // n)) for n in range(8, DEEPEST + 1)), key=lambda d: d[0] * d[1] * 16 + d[1] * 9)


# --- in halves of words ---------------------------------------------------------------------------------------------------


def lanes(run):
    """Return (words, 2): the indices of the two bytes of a run that each word holds, -1 for none."""
    whole = [pair for i in range(0, run - 3, 4) for pair in ((i, i + 2), (i + 1, i + 3))]
    k = run // 4 * 4
    return np.array(whole + [[], [(k, -1)], [(k, k + 1)], [(k, k + 2), (k + 1, -1)]][run % 4], np.int64)


def _direct16(op, input_shape, base, expand):
    weights = weights_of(op)
    f, kh, kw, c = weights.shape
    h, w, _ = map_shape(input_shape)
    unroll, chunks = mac_depth(kh * len(lanes(kw * c)))
    depth, area = unroll * chunks, math.prod((op.pool or (1, 1))[:2])
    rows, columns = _results(op)
    outputs = math.prod(map_shape(op.shape)[:2])
    block = max(1, min((BATCH_BYTES if op.variant.endswith(RAM) else BLOCK_BYTES) // (4 * depth * area), outputs)) * area
    copy = any(map(any, op.padding))
    padded = (rows - 1) * op.strides[0] + kh, (columns - 1) * op.strides[1] + kw
    padded = (padded[0], max(padded[1], op.padding[1][0])) if copy else (h, w)
    pool = op.pool or (1, 1, 1, 1)
    defines = {"TV_DEPTH": depth, "TV_BLOCK": round_up(block, 2), "TV_COPY": int(copy),
               "TV_PADDED_HEIGHT": padded[0], "TV_PADDED_WIDTH": padded[1], "TV_PADDED_CHANNELS": c,
               "TV_KERNEL_HEIGHT": kh, "TV_KERNEL_WIDTH": kw, "TV_STRIDE_Y": op.strides[0], "TV_STRIDE_X": op.strides[1],
               "TV_POOL_HEIGHT": pool[0], "TV_POOL_WIDTH": pool[1], "TV_POOL_STRIDE_Y": pool[2], "TV_POOL_STRIDE_X": pool[3]}
    if round_up(block, 2) % area:
        defines["TV_BLOCK"] = round_up(block, 2 * area)
    scratch = defines["TV_BLOCK"] * 4 * (4 + depth) + expand * 16 * depth + copy * math.prod(padded) * c
    layout = bytes16 if expand else lambda w: words16(w, depth)
    return defines, layout, f"tv_mac_{unroll}x{chunks}", scratch


def words16(weights, depth):
    """int8 weights (F, KH, KW, C) -> uint32 words of two halves [F/4][depth][4]."""
    f, kh, kw, c = weights.shape
    pairs = lanes(kw * c)
    rows = np.concatenate([weights.reshape(f, kh, kw * c), np.zeros((f, kh, 1), np.int8)], axis=2)       # index -1 means 0
    halves = np.zeros((round_up(f, 4), depth, 2), np.int16)
    halves[:f, :kh * len(pairs)] = rows[:, :, pairs].reshape(f, -1, 2)
    return as_words(halves.reshape(-1, 4, depth, 2).transpose(0, 2, 1, 3))


def as_words(halves):
    """int16 (..., 2) -> uint32 (...), the first in the low half."""
    low, high = (halves[..., i].astype(np.uint16).astype(np.uint32) for i in (0, 1))
    return low | high << np.uint32(16)


def bytes16(weights):
    """Bytes of weights, or indices, (F, KH, KW, C) -> [F/4][KH][4][KW * C rounded up to fours]."""
    f, kh, kw, c = weights.shape
    padded = np.zeros((round_up(f, 4), kh, round_up(kw * c, 4)), weights.dtype)
    padded[:f, :, :kw * c] = weights.reshape(f, kh, -1)
    return padded.reshape(-1, 4, kh, padded.shape[2]).transpose(0, 2, 1, 3)


# --- Winograd -------------------------------------------------------------------------------------------------------------

TRANSFORMS = {2: np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]),
              4: np.array([[1, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 1]])}


def _winograd(op, input_shape, base, expand):
    weights, tile = weights_of(op), TILES[base]
    f, _, _, c = weights.shape
    rows, columns = (-(-n // tile) for n in _results(op))
    channels = round_up(c, 4)
    places, depth, width = (tile + 2) ** 2, channels // 2, columns * tile + 2
    width = max(width, op.padding[1][0])
    unroll, chunks = mac_depth(depth)
    held = op.variant.endswith(HELD)
    together = 4 if not (expand or held) and columns in (1, 2, 4) and rows * columns > 2 else 2
    if unroll * chunks != depth:
        unroll, chunks = max(n for n in range(1, AT_ONE_GO + 1) if depth % n == 0), 0
        chunks = depth // unroll
    bytes_ = BATCH_BYTES if op.variant.endswith(RAM) else 0
    batch = int(np.clip(bytes_ // (columns * places * depth * 4), min(together // math.gcd(together, columns), rows), rows))
    defines = {"TV_DEPTH": depth, "TV_COPY": 1, "TV_PADDED_WIDTH": width, "TV_PADDED_CHANNELS": channels,
               "TV_TILE_ROWS": rows, "TV_TILE_COLUMNS": columns, "TV_BATCH": batch, "TV_TOGETHER": together,
               "TV_POOL": int(op.pool is not None),
               "TV_WITH_TAIL": int(not op.lite and op.tail.activation in ("none", "relu")),
               "TV_WITH_RELU": int(not op.lite and op.tail.activation == "relu")}
    values = round_up(batch * columns, together) * places * depth * 4
    scratch = 32 * places + values + expand * 16 * places * depth + (tile * batch + 2) * width * channels
    layout = bytes_winograd if expand else lambda w: words_winograd(w, tile, 8 // together)
    mac = f"tv_mac_{unroll}x{chunks}"
    return defines, layout, f"{mac}_{blocks_at_one_go(unroll)}" if chunks == 1 else mac, scratch


def blocks_at_one_go(depth):
    """Return how many places of so many words the inner loop unrolls: 4, 2 or 1, which divide the places of both tiles."""
    return next(n for n in (4, 2, 1) if n * depth <= PLACES_AT_ONE_GO or n == 1)


def _padded(weights):
    """Weights (F, 3, 3, C) with F and C rounded up to fours by zeros."""
    f, kh, kw, c = weights.shape
    padded = np.zeros((round_up(f, 4), kh, kw, round_up(c, 4)), weights.dtype)
    padded[:f, :, :, :c] = weights
    return padded


def words_winograd(weights, tile, abreast=4):
    """int8 weights (F, 3, 3, C) -> transformed, uint32 words of two halves that fit 16 bits, [F/abreast][places][C/2][abreast]."""
    transform, padded = TRANSFORMS[tile], _padded(weights)
    u = np.einsum("ip,fpqc,jq->fijc", transform, padded.astype(np.int32), transform)
    f, _, _, c = padded.shape
    halves = u.astype(np.int16).reshape(f, -1, c)[:, :, lanes(c)]                        # (F, places, C/2, 2)
    return as_words(halves.reshape(f // abreast, abreast, -1, c // 2, 2).transpose(0, 2, 3, 1, 4))


def bytes_winograd(weights):
    """Bytes of weights, or indices, (F, 3, 3, C) -> [F/4][C/4][4 filters][9][4 channels]."""
    padded = _padded(weights)
    f, _, _, c = padded.shape
    return padded.reshape(f // 4, 4, 9, c // 4, 4).transpose(0, 3, 1, 2, 4)
