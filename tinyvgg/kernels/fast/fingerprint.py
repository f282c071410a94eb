"""A hash of weights that shows whether they have changed since they were packed, so that a prediction need not pack them again.

Four independent chains of h = mix((h xor bits) * odd) hide the latency of the multiplication. The shift in the mix carries
changes of the highest bits (signs) down; without it, two of them would cancel. Reading 1.6 MB of weights takes some ten
microseconds.
"""
from llvmlite import ir
from numba import types

from tinyvgg.kernels.fast.simd import INT, LANE, WIDTH, Value, compiled, machine

CHAINS = 4
STAMP = CHAINS * WIDTH      # float32 elements that a stamp takes
_LANES = ir.VectorType(LANE, WIDTH)


def _mixed(e, state, bits):
    builder = e.builder
    product = builder.mul(builder.xor(state, bits), ir.Constant(_LANES, [0x9E3779B1] * WIDTH))
    return builder.xor(product, builder.lshr(product, ir.Constant(_LANES, [15] * WIDTH)))


@machine
def absorb(e, at, count, last, state):
    """Mix count * CHAINS vectors from `at`, then one chain's vectors at `last` (the end, which may overlap), into the state."""
    places = [state + WIDTH * i for i in range(CHAINS)]

    def body(i, chains):
        bits = [e.load(at + i * STAMP + WIDTH * k, _LANES) for k in range(CHAINS)]
        return [Value(e, _mixed(e, chain.value, b.value)) for chain, b in zip(chains, bits, strict=True)]
    chains = e.loop(count, [e.load(place, _LANES) for place in places], body)
    tail = [e.load(last + WIDTH * k, _LANES) for k in range(CHAINS)]
    for chain, bits, place in zip(chains, tail, places, strict=True):
        e.store(Value(e, _mixed(e, chain.value, bits.value)), place)


@machine
def start(e, state):
    """Set a state to its initial value."""
    for i in range(CHAINS):
        e.store(Value(e, ir.Constant(_LANES, [1 + i] * WIDTH)), state + WIDTH * i)


@machine
def same(e, a, b) -> types.intp:
    """1 if two states are equal."""
    builder, equal = e.builder, []
    for i in range(CHAINS):
        different = builder.icmp_signed("!=", e.load(a + WIDTH * i, _LANES).value, e.load(b + WIDTH * i, _LANES).value)
        mask = builder.bitcast(different, ir.IntType(WIDTH))
        equal.append(builder.icmp_unsigned("==", mask, ir.IntType(WIDTH)(0)))
    both = equal[0]
    for other in equal[1:]:
        both = builder.and_(both, other)
    return Value(e, builder.zext(both, INT))


@compiled
def unchanged(at, size, pieces, stride, stamp):
    """Whether `pieces` runs of `size` elements, `stride` apart, have the hash in `stamp`; if not, store the new hash there.

    A stamp has the length of two states. Runs shorter than a state always count as changed, because a hash would not pay.
    """
    if size < STAMP or pieces < 1:
        return False
    new = stamp + STAMP
    start(new)
    for i in range(pieces):
        run = at + i * stride
        absorb(run, size // STAMP, run + size - STAMP, new)
    if same(stamp, new):
        return True
    for i in range(STAMP):
        _move(new + i, stamp + i)
    return False


@machine
def _move(e, source, target):
    """Copy one element as bits."""
    e.store(e.load(source, LANE), target)
