"""What a row of a report's table can cost, computed from its shape, its parameters and the previous shape: a check without a
model. Each rule gives all MACC values that such an operation can have in some version; a row with another value counts as not
rebuilt, with the reason. If shapes allow several kernel sizes, MACC and bytes decide.
"""

import math
from itertools import product

import numpy as np

from tinyvgg.analyze.st import lut_bytes
from tinyvgg.xcubeai.clayers import windows
from tinyvgg.xcubeai.rebuild import divisors

# MACC an element of the output, by the word of the table or of the framework; a function that is not named may be any of them.
FUNCTIONS = {
    "relu": (1, 2, 3),
    "relu6": (1, 2),
    "clip": (1, 2),
    "leakyrelu": (1, 2, 3),
    "leaky_relu": (1, 2, 3),
    "prelu": (2,),
    "softmax": (15, 19, 5, 12),
    "logistic": (10,),
    "sigmoid": (10, 9, 12),
    "hardswish": (6, 8, 9, 10),
    "hard_swish": (6, 8, 9, 10),
}
ANY_FUNCTION = (1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 15, 17, 19, 20)
FUSED_FUNCTION = (0, 1, 2, 3, 10, 15)
OTHERS = {
    "sub": (1,),
    "mul": (1,),
    "div": (1, 5),
    "sum": (1,),
    "pow": (1, 5, 10),
    "sqrt": (1, 5, 10),
    "exp": (1, 10),
    "abs": (1,),
    "neg": (1,),
    "cast": (2,),
    "normalization": (12,),
    "layernormalization": (12, 14),
    "instancenormalization": (12,),
    "l2normalization": (12,),
}
PLAIN = ("flatten", "reshape", "squeeze", "unsqueeze", "expand_dims", "transpose", "")


def row_problem(op, readers, release):
    """Return why a row's figures are not rebuilt, or an empty string if a rule gives them.

    op: Theirs. readers: {id of an operation: the operations that read it}, for what versions 4 and 5 fuse.
    """
    if op.unclear:
        return op.unclear
    if not op.shape or not all(op.shape):
        return "" if not op.macc and (not op.parameters or op.kind not in RULES) else "the report gives no shape"
    shapes = list(dict.fromkeys(source.shape for source in op.sources if source.shape)) or [()]
    reasons = [_problem(op, into, readers, release) or _continuity(op, into) for into in shapes]
    return "" if "" in reasons else reasons[0]


def _problem(op, into, readers, release):
    """The reason for one shape of the input."""
    rule = RULES.get(op.kind)
    if rule is None:
        return _other(op, into)
    macc, parameters = rule(op, into, release)
    fused = {0}
    if release < (6, 0) and op.kind in ("conv", "dense", "batch_norm", "pool", "add"):
        fused = _fused(op, readers)
    if release < (6, 0) and op.kind in ("activation", "pool", "add", "batch_norm"):
        macc = macc | {0}  # counted in the row that it was fused into
    if not parameters:
        return f"{op.parameters:,} parameters are none that a {op.kind} from {_show(into)} to {_show(op.shape)} can have"
    if not any(op.macc - extra in macc for extra in fused):
        return f"no rule here gives {op.macc:,} MACC for a {op.kind} from {_show(into)} to {_show(op.shape)}"
    return "" if _bytes(op) else f"{op.parameters:,} parameters in {op.size_bytes:,} bytes are no number format known here"


def _continuity(op, into):
    """Why the output's shape cannot follow from the input's, for operations that keep the shape or the number of elements."""
    word = op.original.lower()
    if not into or op.kind == "add" and op.constants:
        return ""
    if op.kind == "add" and op.partners:
        shapes = [into, *op.partners]
        whole = max(math.prod(s) for s in shapes)
        fits = op.elements == whole or any(_broadcast(into, other) == op.shape for other in op.partners)
        return "" if fits else f"its output {_show(op.shape)} is not the shape of its inputs {', '.join(map(_show, shapes))}"
    if op.kind in ("activation", "batch_norm", "conversion") and squeezed(into) != squeezed(op.shape):
        return f"its output {_show(op.shape)} is not the shape of its input {_show(into)}"
    if op.kind in ("lstm", "gru") and squeezed(op.shape) not in (squeezed((into[0], op.shape[-1])), squeezed(op.shape[-1:])):
        return f"a recurrent layer from {_show(into)} cannot give {_show(op.shape)}"
    if op.kind == "pool" and (op.shape[-1] != into[-1] or op.elements > math.prod(into)):
        return f"a pool from {_show(into)} cannot give {_show(op.shape)}"
    if op.kind in ("reshape", "transpose") and math.prod(into) != op.elements and word in PLAIN:
        return f"its output {_show(op.shape)} has not the {math.prod(into):,} elements of its input"
    return ""


def _broadcast(first, second):
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        return ()


def squeezed(shape):
    """A shape without its sizes of 1."""
    return tuple(n for n in shape if n != 1)


def _show(shape):
    return "x".join(map(str, shape)) or "an unknown shape"


def _convolution(op, into, release):
    filters = op.shape[-1]
    pixels, found = op.elements // filters, set()
    channels = into[-1] if into else None
    for biases in (filters, 0):
        weights = op.parameters - biases
        per_filter = weights // filters
        window = channels is None or any(per_filter % inner == 0 for inner in divisors(channels))      # over all channels or a group's
        if weights > 0 and weights % filters == 0 and window:
            found |= {pixels * weights + biases, pixels * (weights + biases)}
    return found, bool(found)


def _dense(op, into, release):
    """Inputs x outputs, with the bias, without it (versions 4, 5; ONNX in 6.0), or once an element; of a MatMul, ST's count."""
    units, whole = op.shape[-1], math.prod(into) if into else 0
    pixels = op.elements // units
    found = {op.elements * (whole + 1), op.elements * whole}
    if not op.parameters:
        return found | {op.elements * (into[-1] if into else 0)}, True
    known = False
    for biases in {units, 0, *op.constants[1:]}:
        weights = op.parameters - biases
        if weights > 0 and weights % units == 0:
            known |= not into or weights // units in (whole, into[-1])
            found |= {p * weights + q for p in {1, pixels} for q in (0, biases, units, p * biases, p * units)}
            if op.gemm and release < (6, 0):
                found.add(weights // units)  # 5.0 forgets the outputs of a Gemm
    return found, known


def _batch_norm(op, into, release):
    return {2 * op.elements, op.elements}, op.parameters % 2 == 0


def _activation(op, into, release):
    word = op.original.lower().replace(" ", "")
    factors = FUNCTIONS.get(word, ANY_FUNCTION)
    channels = op.shape[-1]
    return {f * op.elements for f in factors}, not op.parameters or op.parameters % channels == 0 or op.parameters == 1


def _pool(op, into, release):
    if not into:
        return {op.macc} if op.elements and op.macc % op.elements == 0 else set(), True
    found = {math.prod(into)} | {op.elements * h * w for h, w in windows(plane(into), plane(op.shape))}
    if squeezed(into) == squeezed(op.shape):
        found |= {op.elements * side * side for side in range(2, 16)}  # a window beyond the border, at a stride of 1
    return found | {0 if math.prod(into) == op.elements else op.elements}, True


def _add(op, into, release):
    """One an element for each term but the first; Core 3 and later count the elements of a constant."""
    terms = max(1, len(op.inputs) + len(op.constants) - 1)
    word = op.original.lower()
    factors = OTHERS.get(word, (1,))
    counts = {op.elements, op.elements * terms, *op.constants, op.parameters}
    return {f * c for f in factors for c in counts if c} or {op.elements}, True


def _recurrent(op, into, release):
    gates, units = 4 if op.kind == "lstm" else 3, op.shape[-1]
    steps, inputs = (into[0], into[-1]) if len(into) > 1 else (1, into[-1] if into else 0)
    core = gates * units * (inputs + units)
    extra = op.parameters - core
    return {steps * (core + k * units) for k in range(2 * gates + 4)}, extra >= 0 and extra % units == 0 and extra <= 12 * units


RULES = {
    "conv": _convolution,
    "dense": _dense,
    "batch_norm": _batch_norm,
    "activation": _activation,
    "pool": _pool,
    "add": _add,
    "lstm": _recurrent,
    "gru": _recurrent,
}


def _other(op, into):
    """Operations whose cost is nothing or known by their name; any other with a cost is unknown."""
    word = op.original.lower()
    whole = math.prod(into) if into else 0
    if not op.macc or op.kind == "conversion" and op.macc in (2 * op.elements, op.elements, 2 * whole):
        return ""
    if (
        op.kind == "transpose"
        and op.macc == op.elements // 2
        or word.startswith(("reduce", "mean"))
        and op.macc in (whole, 2 * whole)
    ):
        return ""
    if word.startswith(("resize", "upsampl")) and op.macc in (0, op.elements, 4 * op.elements):
        return ""
    if op.macc in {f * op.elements for f in OTHERS.get(word.replace("_", ""), ())}:
        return ""
    return f"no rule is known here for {op.original or op.kind} with {op.macc:,} MACC"


def _fused(op, readers):
    """What versions 4 and 5 add to a row for the function and the pool that follow it and print no cost of their own."""
    found, last, seen = {0}, op, 0
    while len(readers.get(id(last), ())) == 1 and seen < 4:
        after = readers[id(last)][0]
        if after.kind not in ("activation", "pool", "batch_norm") or after.macc:
            break
        if after.kind == "pool":
            grids = windows(plane(last.shape), plane(after.shape)) if last.shape and after.shape else ()
            found = {f + after.elements * h * w for f, (h, w) in product(found, grids)} | {f + after.elements for f in found}
            break
        found = {f + factor * last.elements for f, factor in product(found, FUSED_FUNCTION)}
        last, seen = after, seen + 1
    if last is op:  # an integer row may hold its function without a row of its own
        found |= {factor * op.elements for factor in FUSED_FUNCTION}
    return found


def plane(shape):
    """Height and width of a shape without its batch, channels last."""
    return (shape[0], math.prod(shape[1:-1])) if len(shape) > 1 else (1, 1)


def _bytes(op):
    """float32, or integers of a byte with biases of four, or weights that are shared."""
    parameters = op.parameters
    last = op.shape[-1] if op.shape else 1
    if not parameters or op.size_bytes in (8 * parameters, 4 * parameters, 2 * parameters, parameters):
        return True
    if op.kind == "conv" and op.size_bytes == 4 * (parameters + last):  # a bias that versions 4 and 5 gain from a batch-norm
        return True
    if op.kind == "lstm" and op.size_bytes == 4 * (parameters + 3 * last):  # versions 4 and 5 do not count the peepholes
        return True
    biases = {*op.constants, *(k * last for k in range(1, 11)), parameters // 2}
    mixed = {parameters + 3 * b for b in biases} | ({4 * parameters - 3 * b for b in biases} if op.constants else set())
    if op.size_bytes in mixed or op.kind in ("batch_norm", "add", "activation") and op.size_bytes in _both(op):
        return True
    return op.kind in ("dense", "lstm", "gru") and any(
        op.size_bytes in _shared(op, bits, b) for bits in (4, 8) for b in (last, 0)
    )


def _both(op):
    """Scale and offset as integers of one, two or four bytes."""
    parts = op.constants or [op.parameters // 2, op.parameters - op.parameters // 2]
    if len(parts) > 4:
        return set()
    return {sum(n * size for n, size in zip(parts, sizes, strict=True)) for sizes in product((1, 2, 4), repeat=len(parts))}


def _shared(op, bits, biases):
    """Bytes of a dense layer whose weights are shared: rows that end at a byte, the codebook, the bias, to a multiple of four."""
    units = op.shape[-1]
    weights = op.parameters - biases
    size = lut_bytes(weights, bits, weights // units if weights % units == 0 else 0) + 4 * biases
    return {size, -(-size // 4) * 4}
