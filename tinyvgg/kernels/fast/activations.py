"""Activations and their gradients, value by value, on rows of whole vectors.

A step's `activation` says which one. x is the input, y the output. Backward, dx = g times the slope at x; for sigmoid and tanh the
slope is computed from y, without another e^x. `leak`, `threshold` and `ceiling` are a ReLU's negative_slope, threshold and max_value
(infinity for none); `leak` is also an ELU's alpha.

e^x is 2^n e^r with n whole and r within ln 2 / 2 of 0, where a polynomial of the sixth degree is exact to the last bit or two
(Cephes' expf; Cody and Waite, "Software manual for the elementary functions", 1980, split ln 2 in the same way).
"""
import math

from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.elementwise import share
from tinyvgg.kernels.fast.program import step_at
from tinyvgg.kernels.fast.simd import FAR, FLOAT, LANE, WIDTH, Kernel, Value, compiled, machine

NONE, RELU, LEAKY, CLIPPED, ELU, SIGMOID, TANH, SILU = range(8)
FROM_VALUE = SIGMOID, TANH
SIDE = 8                                # vectors that a long chain of operations takes side by side
_ROUND = 1.5 * 2 ** 23                  # adding it leaves the whole part in the lowest bits
_POWERS = [1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]
_LARGEST = 87.3                         # beyond it on either side e^x or its reciprocal is no normal number


def _parts(e, x):
    """Return (2^n, e^r - 1)."""
    low, high, lanes = x.constant(-_LARGEST), x.constant(_LARGEST), x.value.type.count
    x = low.where(x.below(low), x)                      # one instruction each, where maximum and minimum are several; NaN stays
    x = high.where(high.below(x), x)
    shifted = x.fma(math.log2(math.e), x.constant(_ROUND))
    n = shifted - _ROUND
    r = n.fma(2.12194440e-4, n.fma(-0.693359375, x))
    total = x.constant(_POWERS[0])
    for power in _POWERS[1:]:
        total = total.fma(r, power)
    builder, whole = e.builder, ir.VectorType(LANE, lanes)
    bits = builder.shl(builder.bitcast(shifted.value, whole), ir.Constant(whole, [23] * lanes))
    scale = builder.bitcast(builder.add(bits, ir.Constant(whole, [0x3F800000] * lanes)), x.value.type)
    return Value(e, scale), (total * r).fma(r, r)


def exp(e, x):
    scale, part = _parts(e, x)
    return scale.fma(part, scale)


def expm1(e, x):
    scale, part = _parts(e, x)
    return scale.fma(part, scale - 1.0)


def sigmoid(e, x):
    return x.constant(1.0) / (exp(e, x * -1.0) + 1.0)


def tanh(e, x):
    part = expm1(e, x.absolute() * -2.0)                # from -1 to 0, exact near 0
    size = (part * -1.0) / (part + 2.0)
    return (size * -1.0).where(x.negative(), size)


def value_of(e, kind, x, leak=None, threshold=None, ceiling=None):
    """Emit the activation of x."""
    if kind == RELU:
        return x.relu()
    if kind == LEAKY:
        return x.leaky(leak, ceiling)
    if kind == CLIPPED:
        return ((x.maximum(FAR) - threshold) * leak).where(x.below(threshold), x).minimum(ceiling)
    if kind == ELU:
        return (expm1(e, x.minimum(0.0)) * leak).where(x.at_most(0.0), x)
    return {SIGMOID: lambda: sigmoid(e, x), TANH: lambda: tanh(e, x), SILU: lambda: x * sigmoid(e, x)}[kind]()


def gradient_of(e, kind, x, g, leak, threshold, ceiling):
    """Emit g times the activation's slope at x. For those in FROM_VALUE, x is the activation's value. At NaN a ReLU passes g unchanged."""
    if kind == RELU:
        return g.where(x.positive(), 0.0)
    if kind == LEAKY:
        return g.where(x.positive(), g * leak)
    if kind == CLIPPED:
        return e.zero().where(x.at_least(ceiling), (g * leak).where(x.at_most(threshold), g))
    if kind == ELU:
        return (g * (exp(e, x.minimum(0.0)) * leak)).where(x.at_most(0.0), g)
    if kind == TANH:
        return g * (e.constant(1.0) - x * x)
    if kind == SIGMOID:
        return g * (x * (e.constant(1.0) - x))
    s = sigmoid(e, x)
    return g * (s + x * (s * (e.constant(1.0) - s)))


def make_forward(kind, joined=False):
    """Return y = the activation of x, count vectors, or with `joined` that many times SIDE vectors."""
    @machine
    def forward_row(e, x, y, count, leak: types.float32, threshold: types.float32, ceiling: types.float32):
        settings = [] if joined else [e.spread(number) for number in (leak, threshold, ceiling)]
        size = WIDTH * (SIDE if joined else 1)

        def body(i, _):
            value = e.load(x + i * size, ir.VectorType(FLOAT, size))
            e.store(value_of(e, kind, value, *settings), y + i * size)
            return []
        e.loop(count, [], body)
    return forward_row


def make_backward(kind):
    """Return dx = g times the slope at x, count vectors."""
    @machine
    def backward_row(e, x, g, dx, count, leak: types.float32, threshold: types.float32, ceiling: types.float32):
        settings = [e.spread(number) for number in (leak, threshold, ceiling)]

        def body(i, _):
            e.store(gradient_of(e, kind, e.load(x + i * WIDTH), e.load(g + i * WIDTH), *settings), dx + i * WIDTH)
            return []
        e.loop(count, [], body)
    return backward_row


relu_row, leaky_row, clipped_row, elu_row, sigmoid_row, tanh_row, silu_row = map(make_forward, range(RELU, SILU + 1))
sigmoid_rows, tanh_rows, silu_rows = (make_forward(kind, True) for kind in (SIGMOID, TANH, SILU))
relu_back, leaky_back, clipped_back, elu_back, sigmoid_back, tanh_back, silu_back = map(make_backward, range(RELU, SILU + 1))


@compiled
def _side_by_side(kind, source, target, count):
    """The activation of count times SIDE vectors."""
    common = (source, target, count, 0.0, 0.0, 0.0)
    if count == 0:
        return
    if kind == SIGMOID:
        sigmoid_rows(*common)
    elif kind == TANH:
        tanh_rows(*common)
    else:
        silu_rows(*common)


@Kernel
def forward(step, thread, threads):
    """y = the activation of x."""
    step = step_at(step)
    x, y, kind = step.x, step.y, step.activation
    first, last = share(step.images * y.height, thread, threads)
    for item in range(first, last):
        n, i = item // y.height, item % y.height
        source, target, count = x.at + n * x.image + i * x.row, y.at + n * y.image + i * y.row, y.width * y.channels // WIDTH
        if kind >= SIGMOID:
            _side_by_side(kind, source, target, count // SIDE)
            source, target, count = source + count // SIDE * SIDE * WIDTH, target + count // SIDE * SIDE * WIDTH, count % SIDE
            if count == 0:
                continue
        common = (source, target, count, step.leak, step.threshold, step.ceiling)
        if kind == RELU:
            relu_row(*common)
        elif kind == LEAKY:
            leaky_row(*common)
        elif kind == CLIPPED:
            clipped_row(*common)
        elif kind == ELU:
            elu_row(*common)
        elif kind == SIGMOID:
            sigmoid_row(*common)
        elif kind == TANH:
            tanh_row(*common)
        else:
            silu_row(*common)


@Kernel
def backward(step, thread, threads):
    """dx = g times the activation's slope at x."""
    step = step_at(step)
    g, dx, kind = step.g, step.dx, step.activation
    x = step.y if kind == SIGMOID or kind == TANH else step.x
    first, last = share(step.images * x.height, thread, threads)
    for item in range(first, last):
        n, i = item // x.height, item % x.height
        common = (x.at + n * x.image + i * x.row, g.at + n * g.image + i * g.row, dx.at + n * dx.image + i * dx.row,
                  x.width * x.channels // WIDTH, step.leak, step.threshold, step.ceiling)
        if kind == RELU:
            relu_back(*common)
        elif kind == LEAKY:
            leaky_back(*common)
        elif kind == CLIPPED:
            clipped_back(*common)
        elif kind == ELU:
            elu_back(*common)
        elif kind == SIGMOID:
            sigmoid_back(*common)
        elif kind == TANH:
            tanh_back(*common)
        else:
            silu_back(*common)
