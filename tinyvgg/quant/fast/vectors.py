"""Vectors of integers: products of 8-bit numbers in register tiles, and the tail of the sums.

Addresses are in bytes here, except the address of a step. A vector of sums has LANES 32-bit numbers, with arithmetic modulo 2^32
as in C. Weights are packed in panels of PANEL output channels.

A 32-bit number holds either two inputs as int16, minus the zero point ("pairs"), or four inputs as uint8 ("quads"). One
instruction multiplies each input by its weight and adds the products: VPMADDWD for pairs, where the sum of two products always
fits, or VPDPBUSD for quads. Older processors have VPMADDUBSW for quads, but it saturates at 16 bits, which two large weights
reach.
"""
from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.simd import INT, Value, machine

LANES = 8
PANEL = 2 * LANES
STEP_BYTES = 4 * PANEL                          # of weights, for one 32-bit number of the input
BYTE, SHORT, NUMBER, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
SUMS = ir.VectorType(NUMBER, LANES)
HALF = ir.VectorType(LONG, LANES // 2)
# Constants of the tail for LANES channels, in this order: LANES numbers each.
BIAS, OFFSET, MULTIPLIER, LOW, HIGH, SLOPE, FLIP = range(7)
CONSTANTS = 7
CONSTANTS_BYTES = CONSTANTS * 4 * LANES
# Values of a step's `leaky`: the kind of tail; the last two are TensorFlow Lite's.
PLAIN, LEAKY, LITE, LITE_SINGLE = range(4)


def load(e, address, kind):
    """Load from an address without alignment."""
    return e.builder.load(e.builder.inttoptr(address.value, kind.as_pointer()), align=1)


def put(e, value, address):
    """Store to an address without alignment."""
    e.builder.store(value, e.builder.inttoptr(address.value, value.type.as_pointer()), align=1)


def same(kind, number):
    """A constant vector."""
    return ir.Constant(kind, [number] * kind.count)


def spread(e, number, kind):
    """A number in every lane."""
    nothing = ir.Constant(kind, ir.Undefined)
    one = e.builder.insert_element(nothing, number, NUMBER(0))
    return e.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(NUMBER, kind.count), [0] * kind.count))


def largest(e, a, b):
    return e.builder.select(e.builder.icmp_signed(">", a, b), a, b)


def least(e, a, b):
    return e.builder.select(e.builder.icmp_signed("<", a, b), a, b)


# --- sums of products: total + a . b, lane by lane ---


def pairs_avx2(e, total, a, b):
    kind = ir.VectorType(SHORT, 2 * LANES)
    function = e.declare("llvm.x86.avx2.pmadd.wd", ir.FunctionType(SUMS, [kind, kind]))
    return e.builder.add(total, e.builder.call(function, [e.builder.bitcast(v, kind) for v in (a, b)]))


def pairs_plain(e, total, a, b):
    builder, bits = e.builder, same(SUMS, 16)
    low = builder.mul(*(builder.ashr(builder.shl(v, bits), bits) for v in (a, b)))
    high = builder.mul(*(builder.ashr(v, bits) for v in (a, b)))
    return builder.add(total, builder.add(low, high))


def quads_vnni(e, total, a, b):
    """VPDPBUSD, declared as in LLVM up to version 21. Later versions declare it with bytes and convert this form when they read
    it."""
    function = e.declare("llvm.x86.avx512.vpdpbusd.256", ir.FunctionType(SUMS, [SUMS] * 3))
    return e.builder.call(function, [total, a, b])


def quads_plain(e, total, a, b):
    builder = e.builder
    for at in (0, 8, 16, 24):
        x = builder.and_(builder.lshr(a, same(SUMS, at)), same(SUMS, 255))
        w = builder.ashr(builder.shl(b, same(SUMS, 24 - at)), same(SUMS, 24))
        total = builder.add(total, builder.mul(x, w))
    return total


def make_tile(rows, dot):
    """Return the tile that sets c[rows][PANEL] to a sum of products: `segments` runs of `k` numbers of a, times packed weights
    b."""
    @machine
    def tile(e, a, a_row, a_segment, b, c, c_row, k, segments):
        def outer_product(pixel, row, sums):
            lanes = [load(e, row + 4 * LANES * j, SUMS) for j in range(2)]
            numbers = [spread(e, load(e, pixel + a_row * r, NUMBER), SUMS) for r in range(rows)]
            return [Value(e, dot(e, total.value, numbers[i // 2], lanes[i % 2])) for i, total in enumerate(sums)]

        def segment(s, sums):
            a_s, b_s = a + s * a_segment, b + s * k * STEP_BYTES
            return e.loop(k, sums, lambda i, sums: outer_product(a_s + i * 4, b_s + i * STEP_BYTES, sums))

        start = [Value(e, same(SUMS, 0))] * (2 * rows)
        for i, total in enumerate(e.loop(segments, start, segment)):
            put(e, total.value, c + c_row * (i // 2) + 4 * LANES * (i % 2))
    return tile


@machine
def expand(e, source, target, count, zero):
    """Convert count * 16 inputs to int16, minus the zero point."""
    wide = ir.VectorType(SHORT, 16)
    minus = spread(e, e.builder.trunc(zero.value, SHORT), wide)

    def body(i, _):
        x = e.builder.zext(load(e, source + i * 16, ir.VectorType(BYTE, 16)), wide)
        put(e, e.builder.sub(x, minus), target + i * 32)
        return []
    e.loop(count, [], body)


# --- the tail: see quant/ops/tail.py ---


def high_rounded(e, a, b):
    """(a * b + 2^31) >> 32 of SUMS; even and odd lanes are computed separately, each product in 64 bits."""
    builder, bits = e.builder, same(HALF, 32)
    a, b = (builder.bitcast(v, HALF) for v in (a, b))
    even = builder.mul(*(builder.ashr(builder.shl(v, bits), bits) for v in (a, b)))
    odd = builder.mul(*(builder.ashr(v, bits) for v in (a, b)))
    even, odd = (builder.add(v, same(HALF, 1 << 31)) for v in (even, odd))
    upper = builder.and_(odd, same(HALF, -(1 << 32)))
    return builder.bitcast(builder.or_(builder.lshr(even, bits), upper), SUMS)


def make_finish(leaky, wide):
    """Return the tail of LANES channels for a row of pixels, from sums to uint8, or to int16 if `wide`."""
    lowest, highest, kind = (-32768, 32767, SHORT) if wide else (0, 255, BYTE)

    @machine
    def finish(e, c, c_pixel, y, y_pixel, count, constants, shift):
        builder = e.builder
        bits = spread(e, builder.trunc(shift.value, NUMBER), SUMS)

        def body(i, _):
            # Loaded again for each pixel: else LLVM does not see that the factors have 32 bits, and cannot use VPMULDQ.
            number = [load(e, constants + 4 * LANES * k, SUMS) for k in range(CONSTANTS)]
            v = builder.shl(builder.add(load(e, c + i * c_pixel, SUMS), number[BIAS]), bits)
            if leaky:
                below = high_rounded(e, builder.shl(v, same(SUMS, 1)), number[SLOPE])
                v = builder.select(builder.icmp_signed("<", v, same(SUMS, 0)), below, v)
            else:
                v = least(e, largest(e, v, number[LOW]), number[HIGH])
            v = high_rounded(e, builder.add(v, number[OFFSET]), number[MULTIPLIER])
            v = least(e, largest(e, v, same(SUMS, lowest)), same(SUMS, highest))
            put(e, builder.trunc(v, ir.VectorType(kind, LANES)), y + i * y_pixel)
            return []
        e.loop(count, [], body)
    return finish


finish_byte, finish_leaky_byte = make_finish(False, False), make_finish(True, False)
finish_wide, finish_leaky_wide = make_finish(False, True), make_finish(True, True)


@machine
def pool_sums(e, c, c_pixel, c_row, height, width, stride, target, count, constants):
    """Pool `count` windows of sums, c_pixel apart, LANES channels: the largest of each, the smallest where FLIP is all ones."""
    builder = e.builder
    flip = load(e, constants + 4 * LANES * FLIP, SUMS)

    def window(i, _):
        corner = c + i * stride * c_pixel
        first = Value(e, builder.xor(load(e, corner, SUMS), flip))

        def pixel(at, best):
            return [Value(e, largest(e, best[0].value, builder.xor(load(e, at, SUMS), flip)))]

        def row(p, best):
            return e.loop(width, best, lambda q, best: pixel(corner + p * c_row + q * c_pixel, best))
        best = e.loop(height, [first], row)
        put(e, builder.xor(best[0].value, flip), target + i * c_pixel)
        return []
    e.loop(count, [], window)


@machine
def pool_sums_2x2(e, c, c_pixel, c_row, target, count, constants):
    """pool_sums for 2x2 windows with stride 2."""
    builder = e.builder
    flip = load(e, constants + 4 * LANES * FLIP, SUMS)

    def window(i, _):
        corner = c + i * c_pixel * 2
        a, b, c_, d = (builder.xor(load(e, at, SUMS), flip)
                       for at in (corner, corner + c_pixel, corner + c_row, corner + c_row + c_pixel))
        put(e, builder.xor(largest(e, largest(e, a, b), largest(e, c_, d)), flip), target + i * c_pixel)
        return []
    e.loop(count, [], window)


# Code of a result's value for the backward pass, one byte: the place in its window (low bits), and two flags.
CLOSED, NEGATIVE = 128, 64      # no gradient passes; the value comes from the negative side of a leaky ReLU
PLACES = 64                     # number of places in a window that a code can tell apart


@machine
def pool_codes(e, c, c_pixel, c_row, height, width, stride, count, constants, codes, pixel):
    """Write the place (row * width + column) of the first largest sum in each window of pool_sums, as one byte a channel."""
    builder = e.builder
    flip = load(e, constants + 4 * LANES * FLIP, SUMS)

    def window(i, _):
        corner = c + i * stride * c_pixel
        first = [Value(e, builder.xor(load(e, corner, SUMS), flip)), Value(e, same(SUMS, 0))]

        def row(p, best):
            def pixel_of(q, best):
                value = builder.xor(load(e, corner + p * c_row + q * c_pixel, SUMS), flip)
                larger = builder.icmp_signed(">", value, best[0].value)
                place = spread(e, builder.trunc((p * width + q).value, NUMBER), SUMS)
                return [Value(e, builder.select(larger, value, best[0].value)),
                        Value(e, builder.select(larger, place, best[1].value))]
            return e.loop(width, best, pixel_of)
        best = e.loop(height, first, row)
        put(e, builder.trunc(best[1].value, ir.VectorType(BYTE, LANES)), codes + i * pixel)
        return []
    e.loop(count, [], window)


@machine
def gate(e, c, c_pixel, codes, pixel, count, constants, shift, leaky, wide, pooled):
    """Complete the codes of a row of pixels from their sums; without a pool (not `pooled`), all places are 0."""
    builder, bytes_ = e.builder, ir.VectorType(BYTE, LANES)
    bits = spread(e, builder.trunc(shift.value, NUMBER), SUMS)
    is_leaky, is_wide, is_pooled = (builder.icmp_signed("!=", v.value, INT(0)) for v in (leaky, wide, pooled))
    lowest = spread(e, builder.select(is_wide, NUMBER(-32768), NUMBER(0)), SUMS)
    highest = spread(e, builder.select(is_wide, NUMBER(32767), NUMBER(255)), SUMS)

    def body(i, _):
        number = [load(e, constants + 4 * LANES * k, SUMS) for k in range(CONSTANTS)]
        v = builder.shl(builder.add(load(e, c + i * c_pixel, SUMS), number[BIAS]), bits)
        closed = builder.or_(builder.icmp_signed("<=", v, number[LOW]), builder.icmp_signed(">=", v, number[HIGH]))
        below = builder.icmp_signed("<", v, same(SUMS, 0))
        bent = builder.select(below, high_rounded(e, builder.shl(v, same(SUMS, 1)), number[SLOPE]), v)
        v = builder.select(is_leaky, bent, least(e, largest(e, v, number[LOW]), number[HIGH]))
        v = high_rounded(e, builder.add(v, number[OFFSET]), number[MULTIPLIER])
        closed = builder.or_(closed, builder.or_(builder.icmp_signed("<", v, lowest), builder.icmp_signed(">", v, highest)))
        negative = builder.select(is_leaky, builder.select(below, same(bytes_, NEGATIVE), same(bytes_, 0)), same(bytes_, 0))
        place = builder.select(is_pooled, load(e, codes + i * pixel, bytes_), same(bytes_, 0))
        code = builder.or_(place, builder.or_(negative, builder.select(closed, same(bytes_, CLOSED), same(bytes_, 0))))
        put(e, code, codes + i * pixel)
        return []
    e.loop(count, [], body)


def lite_rounded(e, v, multiplier, left, right, single):
    """v * multiplier / 2^31 * 2^exponent of SUMS, rounded as in quant/rounding.py. left: the exponent if positive, else 0; right:
    minus the exponent if that is positive, else 0. With `single`, right is 31 minus the exponent.
    """
    builder, bits, low = e.builder, same(HALF, 32), same(HALF, (1 << 32) - 1)
    a, b = (builder.bitcast(n, HALF) for n in (v if single else builder.shl(v, left), multiplier))
    even = builder.mul(*(builder.ashr(builder.shl(n, bits), bits) for n in (a, b)))
    odd = builder.mul(*(builder.ashr(n, bits) for n in (a, b)))
    if single:
        shifts = builder.bitcast(right, HALF)
        shifts = builder.and_(shifts, low), builder.lshr(shifts, bits)
        halves = [builder.lshr(builder.shl(same(HALF, 1), n), same(HALF, 1)) for n in shifts]
        even, odd = (builder.ashr(builder.add(n, half), shift) for n, half, shift in zip((even, odd), halves, shifts, strict=True))
        return builder.bitcast(builder.or_(builder.and_(even, low), builder.shl(odd, bits)), SUMS)
    even, odd = (builder.add(n, same(HALF, 1 << 30)) for n in (even, odd))
    upper = builder.and_(builder.shl(odd, same(HALF, 1)), same(HALF, -(1 << 32)))
    high = builder.bitcast(builder.or_(builder.and_(builder.lshr(even, same(HALF, 31)), low), upper), SUMS)
    there = builder.icmp_signed(">", right, same(SUMS, 0))
    before = builder.select(there, builder.sub(right, same(SUMS, 1)), same(SUMS, 0))
    away = builder.add(high, builder.ashr(high, same(SUMS, 31)))               # ties away from zero
    rounded = builder.add(builder.ashr(away, right), builder.and_(builder.ashr(away, before), same(SUMS, 1)))
    return builder.select(there, rounded, high)


def make_finish_lite(single):
    """Return the tail of LANES channels in TensorFlow Lite's arithmetic, for a row of pixels; see memory.LiteEnds."""
    @machine
    def finish(e, c, c_pixel, y, y_pixel, count, constants, zero):
        builder = e.builder
        level = spread(e, builder.trunc(zero.value, NUMBER), SUMS)

        def body(i, _):
            number = [load(e, constants + 4 * LANES * k, SUMS) for k in range(CONSTANTS)]
            v = builder.add(load(e, c + i * c_pixel, SUMS), number[BIAS])
            v = builder.add(lite_rounded(e, v, number[MULTIPLIER], number[OFFSET], number[SLOPE], single), level)
            v = least(e, largest(e, v, number[LOW]), number[HIGH])
            put(e, builder.trunc(v, ir.VectorType(BYTE, LANES)), y + i * y_pixel)
            return []
        e.loop(count, [], body)
    return finish


finish_lite, finish_lite_single = make_finish_lite(False), make_finish_lite(True)


# --- ops that do not mix channels ---


@machine
def sum_window(e, x, x_pixel, x_row, x_column, height, width, weights, tap, c, c_pixel, count, zero):
    """c = sum over the window of (x - zero) * w, for `count` pixels of LANES channels; x_row and x_column: bytes between taps."""
    builder = e.builder
    minus = spread(e, builder.trunc(zero.value, NUMBER), SUMS)

    def one(i, _):
        def row(p, total):
            def column(q, total):
                source = load(e, x + i * x_pixel + p * x_row + q * x_column, ir.VectorType(BYTE, LANES))
                factor = load(e, weights + (p * width + q) * tap, SUMS)
                term = builder.mul(builder.sub(builder.zext(source, SUMS), minus), factor)
                return [Value(e, builder.add(total[0].value, term))]
            return e.loop(width, total, column)
        put(e, e.loop(height, [Value(e, same(SUMS, 0))], row)[0].value, c + i * c_pixel)
        return []
    e.loop(count, [], one)


@machine
def weighted_sum(e, table, inputs, image, row, count, y, constants):
    """y = saturate((sum of inputs * multipliers + offset) * multiplier) for `count` vectors of a row; table: see windows.add."""
    builder = e.builder

    def vector(i, _):
        def one(k, total):
            entry = table + k * 32
            at, row_bytes, image_bytes, factor = (Value(e, load(e, entry + 8 * j, LONG)) for j in range(4))
            x = load(e, at + image * image_bytes + row * row_bytes + i * LANES, ir.VectorType(BYTE, LANES))
            factor = spread(e, builder.trunc(factor.value, NUMBER), SUMS)
            return [Value(e, builder.add(total[0].value, builder.mul(builder.zext(x, SUMS), factor)))]
        start = Value(e, load(e, constants + 4 * LANES * OFFSET, SUMS))
        total = e.loop(inputs, [start], one)[0].value
        v = high_rounded(e, total, load(e, constants + 4 * LANES * MULTIPLIER, SUMS))
        v = least(e, largest(e, v, same(SUMS, 0)), same(SUMS, 255))
        put(e, builder.trunc(v, ir.VectorType(BYTE, LANES)), y + i * LANES)
        return []
    e.loop(count, [], vector)


@machine
def largest_byte(e, x, x_row, x_pixel, height, width, y, vectors):
    """y = the largest uint8 of a window, for vectors * LANES channels."""
    kind = ir.VectorType(BYTE, LANES)
    builder = e.builder

    def channels(v, _):
        def pixel(at, best):
            value = load(e, at, kind)
            return [Value(e, builder.select(builder.icmp_unsigned(">", value, best[0].value), value, best[0].value))]

        def row(p, best):
            return e.loop(width, best, lambda q, best: pixel(x + p * x_row + q * x_pixel + v * LANES, best))
        put(e, e.loop(height, [Value(e, same(kind, 0))], row)[0].value, y + v * LANES)
        return []
    e.loop(vectors, [], channels)


@machine
def copy_vectors(e, source, target, count):
    """Copy count * LANES bytes."""
    def body(i, _):
        put(e, load(e, source + i * LANES, INT), target + i * LANES)
        return []
    e.loop(count, [], body)


@machine
def copy_number(e, source, target):
    """Copy four bytes."""
    put(e, load(e, source, NUMBER), target)


@machine
def copy_byte(e, source, target):
    put(e, load(e, source, BYTE), target)


@machine
def byte_at(e, address) -> types.intp:
    return Value(e, e.builder.zext(load(e, address, BYTE), LONG))


@machine
def put_byte(e, number, target):
    put(e, e.builder.trunc(number.value, BYTE), target)


@machine
def put_number(e, number, target):
    """Store a 32-bit number."""
    put(e, e.builder.trunc(number.value, NUMBER), target)


@machine
def number_at(e, address) -> types.intp:
    """Load a signed 32-bit number."""
    return Value(e, e.builder.sext(load(e, address, NUMBER), LONG))


@machine
def long_at(e, address) -> types.intp:
    return Value(e, load(e, address, LONG))
