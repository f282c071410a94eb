"""What follows a convolution, one pass over memory each: bias, ReLU, dropout mask, normalisation, pooling; and the gradients of these.

R stands for the value after bias, ReLU and dropout, which the convolution stores; batch normalisation is then scale * R + offset
per channel, and its gradient (Ioffe and Szegedy, 2015) is scale * g + slope0 + slope1 * R with two constants per channel.
"""
from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.arena import LINE
from tinyvgg.kernels.fast.simd import DOUBLE, FLOAT, WIDTH, Value, compiled, machine

# What a convolution does to its sums before it stores them: + bias, then
PLAIN, RELU, SUMS, RELU_SUMS = range(4)         # SUMS: times the dropout mask, sums for the batch statistics
# ... and in inference scale and offset, a ReLU before or after them, or one with a slope below 0 and a ceiling (LEAK), max-pool
(AFFINE, AFFINE_RELU, AFFINE_LEAK, RELU_AFFINE, AFFINE_POOL, AFFINE_RELU_POOL, AFFINE_LEAK_POOL,
 RELU_AFFINE_POOL) = range(4, 12)
# Where the ReLU is relative to the normalisation after the convolution; READY: the gradient has already passed through the tail.
NO_GATE, GATE_BEFORE, GATE_AFTER, READY, LEAK_AFTER = range(5)


@compiled
def share(total, thread, threads):
    """Return the part [first, last) of range(total) that a thread computes: always the same for the same number of threads."""
    return total * thread // threads, total * (thread + 1) // threads


@machine
def clear(e, at, count):
    """Set count vectors to zero."""
    def body(i, _):
        e.store(e.zero(), at + i * WIDTH)
        return []
    e.loop(count, [], body)


@machine
def copy(e, source, target, count):
    """Copy count vectors."""
    def body(i, _):
        e.store(e.load(source + i * WIDTH), target + i * WIDTH)
        return []
    e.loop(count, [], body)


def following(c, i, count, pixel, size=1):
    """From vector c of a row of `count` pixels to a place in what follows the row: one after the other in the order of the memory, while i
    counts `size` pixels each and then c goes on. The processor fetches ahead of such an order, of strides it does not.
    """
    return count * pixel - c + c * count + i * (WIDTH * size)


@machine
def ask(e, at, lines):
    """Prefetch some cache lines."""
    def body(i, _):
        e.prefetch(at + i * LINE)
        return []
    e.loop(lines, [], body)


@machine
def multiply(e, values, factors, count):
    """values *= factors, count vectors."""
    def body(i, _):
        e.store(e.load(values + i * WIDTH) * e.load(factors + i * WIDTH), values + i * WIDTH)
        return []
    e.loop(count, [], body)


@machine
def add(e, values, others, count):
    """values += others, count vectors."""
    def body(i, _):
        e.store(e.load(values + i * WIDTH) + e.load(others + i * WIDTH), values + i * WIDTH)
        return []
    e.loop(count, [], body)


@machine
def add_to_doubles(e, at, doubles, count):
    """Add count vectors of float32 at `at` to the float64 sums at `doubles`, then clear them. In float64 long sums lose no digits."""
    kind = ir.VectorType(DOUBLE, WIDTH)

    def body(i, _):
        builder, spot = e.builder, at + i * WIDTH
        pointer = e._pointer(doubles + i * (2 * WIDTH), kind)
        widened = builder.fpext(e.load(spot).value, kind)
        builder.store(builder.fadd(builder.load(pointer, align=4), widened), pointer, align=4)
        e.store(e.zero(), spot)
        return []
    e.loop(count, [], body)


@machine
def load_double(e, at) -> types.float64:
    return Value(e, e.builder.load(e._pointer(at, DOUBLE), align=4))


@machine
def store_double(e, number: types.float64, at):
    e.builder.store(number.value, e._pointer(at, DOUBLE), align=4)


@machine
def load_float(e, at) -> types.float32:
    return Value(e, e.builder.load(e._pointer(at, FLOAT), align=4))


@machine
def store_float(e, number: types.float32, at):
    e.builder.store(number.value, e._pointer(at, FLOAT), align=4)


@compiled
def move(source, target, size):
    """Copy size elements."""
    if size >= WIDTH:
        copy(source, target, size // WIDTH)
    for i in range(size // WIDTH * WIDTH, size):
        store_float(load_float(source + i), target + i)


@compiled
def increase(source, target, size):
    """target += source, size elements."""
    if size >= WIDTH:
        add(target, source, size // WIDTH)
    for i in range(size // WIDTH * WIDTH, size):
        store_float(load_float(target + i) + load_float(source + i), target + i)


@compiled
def wipe(at, size):
    """Set size elements to zero."""
    if size >= WIDTH:
        clear(at, size // WIDTH)
    for i in range(size // WIDTH * WIDTH, size):
        store_float(0.0, at + i)


def tail(e, value, kind, *, bias, mask=None, affine=None, limits=None):
    """Emit what follows the sum of one convolution output (`kind`, see above), except pooling; limits: (leak, ceiling)."""
    value = value + bias
    value = value.relu() if kind in (RELU, RELU_SUMS, RELU_AFFINE, RELU_AFFINE_POOL) else value
    value = value if mask is None else value * mask
    value = value if affine is None else value.fma(affine[0], affine[1])
    if kind in (AFFINE_RELU, AFFINE_RELU_POOL):
        return value.relu()
    return value.leaky(*limits) if kind in (AFFINE_LEAK, AFFINE_LEAK_POOL) else value


def pooled(values):
    """The largest of a list of vectors."""
    largest = values[0]
    for value in values[1:]:
        largest = largest.maximum(value)
    return largest


def gated(g, height, gate, limits):
    """Emit g times the slope of the activation after the normalisation; the activation's input was `height`; limits: (leak, ceiling)."""
    if gate == GATE_AFTER:
        return g.where(height.positive(), 0.0)
    if gate != LEAK_AFTER:
        return g
    return g.where(height.positive(), g * limits[0]).where(height.under(limits[1]), 0.0)


def through_tail(r, g, pull, slopes, scale, offset, gate, limits=None):
    """Emit dR = [R > 0] * (pull * g + slopes[0] + slopes[1] * R); `gate` says whether the ReLU's factor [R > 0] is applied."""
    if gate in (GATE_AFTER, LEAK_AFTER):
        g = gated(g, r.fma(scale, offset), gate, limits)
    d = pull.fma(g, slopes[1].fma(r, slopes[0]))
    return d.where(r.positive(), 0.0) if gate == GATE_BEFORE else d


def unpool(e, values, g, scale, offset, gate=NO_GATE, limits=None):
    """Emit the gradient of a 2x2 max-pool: in each cell the first largest normalised value gets g times the activation's slope."""
    spread = [[None] * len(values) for _ in values]
    for i in range(0, len(values), 2):
        for j in range(0, len(values), 2):
            cell = [(i, j), (i, j + 1), (i + 1, j), (i + 1, j + 1)]
            heights = [values[a][b].fma(scale, offset) for a, b in cell]
            largest = pooled(heights)
            left = gated(g[i // 2][j // 2], largest, gate, limits)
            for (a, b), height in zip(cell[:-1], heights, strict=False):
                wins = height.equals(largest)
                spread[a][b], left = left.where(wins, 0.0), e.zero().where(wins, left)
            spread[i + 1][j + 1] = left
    return spread
