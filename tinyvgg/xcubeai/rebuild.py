"""A report's table as operations: rows gathered into layers, and the network rebuilt from them where no model is at hand."""

import math
from dataclasses import dataclass, field

from tinyvgg.analyze import Operation

KINDS = {
    word: kind
    for kind, words in {
        "input": "input inputlayer",
        "conv": "conv2d conv conv1d depthwiseconv2d",
        "dense": "dense gemm",
        "batch_norm": "scalebias bn batchnormalization",
        "activation": "nonlinearity activation relu softmax",
        "pool": "pool maxpooling1d maxpooling2d averagepooling1d averagepooling2d globalaveragepooling1d globalaveragepooling2d "
        "globalmaxpooling1d globalmaxpooling2d",
        "add": "eltwise add",
        "concatenate": "concat concatenate",
        "reshape": "reshape flatten",
        "lstm": "lstm",
        "conversion": "conversion",
        "pad": "pad zeropadding2d",
        "transpose": "transpose",
    }.items()
    for word in words.split()
}
# A table names no function; where the original operator does not either, what one element costs tells it.
BY_COST = {1: "relu", 2: "prelu", 10: "sigmoid", 15: "softmax"}
FUNCTIONS = {
    "softmax": "softmax",
    "relu": "relu",
    "relu6": "relu6",
    "leaky_relu": "leaky_relu",
    "leakyrelu": "leaky_relu",
    "prelu": "prelu",
    "logistic": "sigmoid",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}


@dataclass
class Theirs:
    """What a report says of one operation: the figures of its rows, constants of their own rows included."""

    name: str
    kind: str
    shape: tuple
    line: int
    id: int | None = None
    inputs: list = field(default_factory=list)
    parameters: int = 0
    size_bytes: int = 0
    macc: int = 0
    c_macc: int = 0
    c_size_bytes: int = 0
    original: str = ""
    gemm: bool = False


def gather(report):
    """Gather a report's rows -> list of Theirs, inputs and constants put where they are used.

    ONNX and TFLite models list weights as rows of their own (Placeholder); an integer batch-norm is two elementwise rows with
    a constant each.
    """
    constants = {row.name: row for row in report.rows if row.kind == "Placeholder"}
    found = []
    for row in report.rows:
        if row.kind == "Placeholder":
            continue
        own = [constants[name] for name in row.inputs if name in constants]
        found.append(
            Theirs(
                row.name,
                _kind(row),
                row.shape,
                row.line,
                row.id,
                inputs=[name for name in row.inputs if name not in constants],
                parameters=sum(r.parameters for r in (row, *own)),
                size_bytes=sum(r.size_bytes for r in (row, *own)),
                macc=row.macc,
                c_macc=row.macc + row.c_macc_delta,
                c_size_bytes=sum(r.size_bytes + r.c_size_delta for r in (row, *own)),
                original=row.original,
                gemm=row.kind == "Gemm",
            )
        )
    return _merge_integer_batch_norms(found)


def _kind(row):
    word = (row.kind or row.original).lower()
    if not word:
        return "input"
    if word in ("conv2d", "conv1d", "dense", "depthwiseconv2d") and not row.parameters and not row.kind:
        return "activation"
    return KINDS.get(word, "other")


def _merge_integer_batch_norms(theirs):
    """scale and offset of a batch-norm, exported as a product and a sum with constants, are one operation again."""
    merged = []
    for op in theirs:
        last = merged[-1] if merged else None
        if last and op.kind == last.kind == "add" and op.parameters and last.parameters and op.inputs == [last.name]:
            last.kind = "batch_norm"
            for name in ("parameters", "size_bytes", "macc", "c_macc", "c_size_bytes"):
                setattr(last, name, getattr(last, name) + getattr(op, name))
            last.name = op.name
        else:
            merged.append(op)
    return merged


def rebuild(report):
    """Rebuild a network from a report's table -> (list of Operation, notes on what the table does not say)."""
    theirs, notes, built = gather(report), [], {}
    for op in theirs:
        source = built.get(op.inputs[0]) if op.inputs else None
        into = source.output_shape if source else op.shape
        kind = op.kind
        try:
            parameters, settings = _details(op, into, notes)
        except (IndexError, ValueError, ZeroDivisionError):
            notes.append(f"line {op.line}: {op.name} ({op.kind}) could not be rebuilt from its figures")
            kind, parameters, settings = "other", {}, {}
        built[op.name] = Operation(
            op.name,
            kind,
            op.name,
            tuple(i for i in op.inputs if i in built),
            into,
            op.shape,
            parameters,
            settings,
            "Gemm" if op.gemm else op.original,
            op.parameters,
        )
    return list(built.values()), notes


def _details(op, into, notes):
    """Parameters and settings of an operation, from its figures and the shape before it."""
    if op.kind in ("conv", "dense", "pool") and not (op.shape and all(op.shape) and all(into)):
        raise ValueError("no shape")
    if op.kind == "conv":
        return _conv(op, into)
    if op.kind == "dense":
        return _dense(op, into), {}
    if op.kind == "batch_norm":
        return {"scale": (op.parameters // 2,), "offset": (op.parameters - op.parameters // 2,)}, {}
    if op.kind == "pool":
        return {}, {"pool_size": _window(op, into, notes), "function": "max"}
    if op.kind == "activation":
        return ({"alpha": (op.parameters,)} if op.parameters else {}), {"function": _function(op, notes)}
    if op.kind == "lstm":
        return _lstm(op, into)
    if op.kind == "add":
        return ({"constant": (op.parameters,)} if op.parameters else {}), {"terms": max(2, len(op.inputs))}
    return {}, {}


def _conv(op, into):
    """Kernel from the number of parameters: with or without bias, plain or depthwise, whichever divides."""
    filters, channels = op.shape[-1], into[-1]
    for inner in (channels, 1):
        options = []
        for bias in (True, False):
            weights = op.parameters - bias * filters
            if weights > 0 and weights % (inner * filters) == 0:
                options.append((weights // (inner * filters), bias))
        if options:
            square = [o for o in options if math.isqrt(o[0]) ** 2 == o[0]]
            area, bias = (square or options)[0]
            side = math.isqrt(area)
            window = (side, side) if side * side == area else (area, 1)
            parameters = {"kernel": (*window, inner, filters)} | ({"bias": (filters,)} if bias else {})
            same = len(into) == len(op.shape) and into[:-1] == op.shape[:-1]
            return parameters, {
                "kernel_size": window,
                "strides": (1,) if same else (2,),
                "same": same,
                "groups": channels // inner,
            }
    return {"kernel": (op.parameters,)}, {"kernel_size": (1,), "strides": (1,), "same": False, "groups": 1}


def _dense(op, into):
    units, inputs = op.shape[-1], math.prod(into)
    if op.parameters == inputs * units:
        return {"kernel": (inputs, units)}
    return {"kernel": ((op.parameters - units) // units, units), "bias": (units,)}


def _window(op, into, notes):
    """A pool's window, if it is the stride: the size that gives the output; of several, the one that costs what they say."""
    if len(into) != len(op.shape) or math.prod(op.shape[:-1]) == 1:
        whole = into[:-1]
        if math.prod(into[:-1]) * op.shape[-1] == op.macc or len(into) != len(op.shape):
            return whole
    pairs = list(zip(into, op.shape, strict=False))[:-1]
    options = [list(range(n // (out + 1) + 1, n // out + 1)[:64]) or [max(1, n // out)] for n, out in pairs]
    every = [()]
    for sizes in options:
        every = [(*start, k) for start in every for k in sizes][:1000]
    fitting = [w for w in every if math.prod(w) * math.prod(op.shape) == op.macc]
    if len(every) > 1 and fitting:
        notes.append(f"{op.name}: several windows give this shape; the one with their MACC was taken")
    if not fitting and math.prod(op.shape[:-1]) == 1:
        return into[:-1]
    values = op.macc // math.prod(op.shape)
    if not fitting and values and values * math.prod(op.shape) == op.macc:
        notes.append(f"{op.name}: a window of {values} values was taken from their MACC; a table does not print windows")
        return (values,)
    return (fitting or every)[0]


def _function(op, notes):
    word = op.original.lower()
    elements = max(1, math.prod(op.shape))
    if op.parameters:
        return "prelu"
    if word == "relu" and op.macc and op.c_macc == 2 * op.macc:
        notes.append(f"{op.name}: taken as ReLU6 for its cost in C; the table says ReLU")
        return "relu6"
    if word in FUNCTIONS:
        return FUNCTIONS[word]
    return BY_COST.get(max(op.macc, 0) // elements, "relu")


def _lstm(op, into):
    """Gates of 4 (in u + u u + u), and three peepholes a unit where the table counts them (version 8)."""
    steps, inputs = (into[0], into[-1]) if len(into) > 1 else (1, into[-1])
    units = op.shape[-1]
    gates = {"kernel": (inputs, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": (4 * units,)}
    return gates, {"steps": steps, "units": units}
