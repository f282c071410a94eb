"""A report's table as operations: rows are gathered into layers; without a model the network is rebuilt from them."""

import math
from collections import defaultdict
from dataclasses import dataclass, field

from tinyvgg.analyze import Operation

KINDS = {
    word: kind
    for kind, words in {
        "input": "input inputlayer",
        "conv": "conv2d conv conv1d depthwiseconv2d",
        "dense": "dense gemm matmul fullyconnected",
        "batch_norm": "scalebias bn batchnormalization",
        "activation": "nonlinearity activation relu relu6 softmax clip sigmoid tanh prelu leakyrelu logistic hardswish",
        "pool": "pool maxpooling1d maxpooling2d averagepooling1d averagepooling2d globalaveragepooling1d globalaveragepooling2d "
        "globalmaxpooling1d globalmaxpooling2d maxpool averagepool globalaveragepool globalmaxpool maxpool2d averagepool2d",
        "add": "eltwise add mul sub",
        "concatenate": "concat concatenate concatenation",
        "reshape": "reshape flatten squeeze unsqueeze expanddims",
        "lstm": "lstm",
        "gru": "gru",
        "conversion": "conversion converter quantizelinear dequantizelinear quantize dequantize",
        "pad": "pad zeropadding2d zeropadding1d",
        "transpose": "transpose",
    }.items()
    for word in words.split()
}
LARGEST_SIZE = 1 << 24  # of a tensor's side; a damaged file says anything
NEAREST = 64  # rows of one name that are looked at
FUSED = ("activation", "pool", "batch_norm", "conversion", "reshape")
# A table names no function; where the original operator does not either, what one element costs tells it.
BY_COST = {1: "relu", 2: "prelu", 10: "sigmoid", 15: "softmax"}
FUNCTIONS = {name: name for name in ("softmax", "relu", "relu6", "leaky_relu", "prelu", "sigmoid", "tanh")}
FUNCTIONS |= {"clip": "relu6", "leakyrelu": "leaky_relu", "logistic": "sigmoid"}


@dataclass(eq=False)
class Theirs:
    """What a report says of one operation: the figures of its rows, including separate rows of its constants. `sources`: the
    operations that may be its input (several if the report cuts names that begin alike); `partners`: shapes of further inputs;
    `constants`: number of elements of each constant with a separate row; `unclear`: why the figures are ambiguous.
    """

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
    sources: list = field(default_factory=list)
    partners: list = field(default_factory=list)
    constants: list = field(default_factory=list)
    unclear: str = ""

    @property
    def elements(self):
        """Number of elements of the output; 0 if the report gives no shape."""
        return math.prod(self.shape) if self.shape else 0


def gather(report):
    """Gather a report's rows into a list of Theirs; inputs and constants are added to the operations that use them. ONNX and
    TFLite models list weights in separate rows (Placeholder); an integer batch-norm is two elementwise rows with a constant each.
    A shortened name can match several rows: a constant then belongs to the operation with its m_id.
    """
    constants = defaultdict(list)
    for row in report.rows:
        if _is_constant(row):
            constants[row.name].append(row)
    found, named = [], defaultdict(list)
    for row in (r for r in report.rows if not _is_constant(r)):
        own, unclear = _constants(row, constants)
        op = _theirs(row, own, [name for name in row.inputs if name not in constants])
        if max((*op.shape, op.parameters >> 16), default=0) > LARGEST_SIZE:
            op.shape, unclear = (), f"its sizes are beyond {LARGEST_SIZE:,}"
        op.unclear = unclear or next((f"{c.name}: {why}" for c in own if (why := constant_problem(c))), "")
        op.sources = _bearers(named, op.inputs[0]) if op.inputs else []
        op.partners = [named[name][-1].shape for name in op.inputs[1:] if named[name] and named[name][-1].shape]
        if op.inputs and not op.sources and row.inputs and not op.unclear:
            op.unclear = f"its input {op.inputs[0]} is no row before it"
        found.append(op)
        named[op.name].append(op)
    found = _merge_integer_batch_norms(found)
    if report.source == "json":
        _unfuse(found)
    return found


def _bearers(named, name):
    """The operations that a name stands for, the nearest first; the column of inputs is narrower than that of names."""
    found = named.get(name) or (
        [op for other, ops in named.items() if other.startswith(name) for op in ops] if len(name) > 9 else []
    )
    return list(reversed(found[-NEAREST:]))


def _is_constant(row):
    """Whether a row is a constant; the tables of the NPU do not say so, but nothing leads to it and it computes nothing."""
    return row.kind == "Placeholder" or not row.kind and bool(row.original and row.parameters) and not row.inputs and not row.macc


def _unfuse(theirs):
    """In JSON a fused row has no shape, and the row that it was fused into has that of the end of them: give each its own."""
    readers = defaultdict(list)
    for op in theirs:
        for source in op.sources[:1]:
            readers[id(source)].append(op)
    for op in theirs:
        chain, last = [], op
        while len(readers[id(last)]) == 1 and not readers[id(last)][0].shape and readers[id(last)][0].kind in FUSED:
            last = readers[id(last)][0]
            chain.append(last)
        pooled = next((i for i, after in enumerate(chain) if after.kind == "pool"), len(chain))
        if not op.shape or not chain:
            continue
        end = op.shape
        if pooled < len(chain):
            op.shape = _written(op, end) if op.kind == "conv" else ()
        for i, after in enumerate(chain):
            after.shape = op.shape if i < pooled else end
            if after.kind == "reshape":
                after.shape = (math.prod(after.shape),)


def _written(op, end):
    """The plane that a convolution writes before its pool, by its MACC: the one most like its input; () where none has it."""
    into = op.sources[0].shape if op.sources else ()
    filters = end[-1] if end else 0
    if len(into) != len(end) or not filters:
        return ()
    fitting = set()
    for biases in (filters, 0):
        weights = op.parameters - biases
        if weights > 0 and weights % filters == 0 and op.macc > biases and (op.macc - biases) % weights == 0:
            pixels = (op.macc - biases) // weights
            sides = [range(out, n + 8) for n, out in zip(into[:-1], end[:-1], strict=True)]
            if len(sides) == 1:
                fitting |= {(n, filters) for n in sides[0] if n == pixels}
            else:
                rest = math.prod(end[1:-1])
                fitting |= {(h, pixels // h, filters) for h in sides[0] if pixels % h == 0 and pixels // h in sides[1] and rest}
    nearest = sorted(fitting, key=lambda s: abs(s[0] * into[-2] - s[1] * into[0]) if len(s) == 3 else 0)
    return nearest[0] if nearest else ()


def _constants(row, constants):
    """The constants of a row, and what is unclear where a name fits several and none of them by its id."""
    own, unclear = [], ""
    for name in row.inputs:
        fitting = [c for c in constants.get(name, ()) if not any(c is o for o in own)]
        if len(fitting) > 1:
            fitting = [c for c in fitting if c.id == row.id] or fitting
            if fitting[0].id != row.id:
                unclear = f"the name {name} is cut, and {len(fitting)} constants bear it"
        own += fitting[:1]
    return own, unclear


def _theirs(row, own, inputs):
    return Theirs(
        row.name,
        _kind(row),
        row.shape,
        row.line,
        row.id,
        inputs=inputs,
        parameters=sum(r.parameters for r in (row, *own)),
        size_bytes=sum(r.size_bytes for r in (row, *own)),
        macc=row.macc,
        c_macc=row.macc + row.c_macc_delta,
        c_size_bytes=sum(r.size_bytes + r.c_size_delta for r in (row, *own)),
        original=row.original,
        gemm=row.kind == "Gemm",
        constants=[r.parameters for r in own],
    )


def _kind(row):
    word = (row.kind or row.original).lower().split("/")[0].replace("_", "")
    if not word:
        return "input"
    kind = KINDS.get(word, "other")
    if kind in ("conv", "dense") and not row.kind and not row.parameters and word not in ("gemm", "matmul", "conv"):
        return "activation"  # a function of the layer above, which the framework does not name
    return kind


def constant_problem(row):
    """Return why the row of a constant contradicts itself (shape, elements, bytes), or an empty string."""
    sizes = {row.parameters * n for n in (1, 2, 4, 8)} | {(row.parameters + 7) // 8}
    if row.shape and math.prod(row.shape) != row.parameters:
        return f"its shape {'x'.join(map(str, row.shape))} has not its {row.parameters:,} elements"
    return "" if row.size_bytes in sizes else f"{row.parameters:,} elements in {row.size_bytes:,} bytes are no format known here"


def _merge_integer_batch_norms(theirs):
    """scale and offset of a batch-norm, exported as a product and a sum with constants, are one operation again."""
    merged = []
    for op in theirs:
        last = merged[-1] if merged else None
        if last and op.kind == last.kind == "add" and op.parameters and last.parameters and op.inputs == [last.name]:
            last.kind = "batch_norm"
            for name in ("parameters", "size_bytes", "macc", "c_macc", "c_size_bytes"):
                setattr(last, name, getattr(last, name) + getattr(op, name))
            last.name, last.shape = op.name, last.shape or op.shape
            if op.shape and last.shape and op.shape != last.shape:
                last.unclear = f"its product and its sum have other shapes, {last.shape} and {op.shape}"
        else:
            merged.append(op)
    gone = {id(op) for op in theirs} - {id(op) for op in merged}
    for op in merged:
        op.sources = [s for s in op.sources if id(s) not in gone] or [m for m in merged if op.inputs and m.name == op.inputs[0]]
    return merged


def rebuild(report):
    """Rebuild a network from a report's table -> (list of Operation, notes on what the table does not say).

    The operations are in the order of `gather`; if two have the same name in the table, the later one gets its line's number.
    """
    theirs, notes, built, names = gather(report), [], {}, {}
    for op in theirs:
        names[id(op)] = op.name if op.name not in built else f"{op.name}@{op.line}"
        sources = [names[id(s)] for s in op.sources[:1] if id(s) in names]
        others = [i for i in op.inputs[1:] if i in built]
        into = op.sources[0].shape if sources else op.shape
        kind = op.kind
        try:
            parameters, settings = _details(op, into, notes)
        except (IndexError, ValueError, ZeroDivisionError):
            notes.append(f"line {op.line}: {op.name} ({op.kind}) could not be rebuilt from its figures")
            kind, parameters, settings = "other", {}, {}
        name = names[id(op)]
        built[name] = Operation(
            name,
            kind,
            name,
            tuple(dict.fromkeys(sources + others)),
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
    if op.kind in ("lstm", "gru"):
        return _recurrent(op, into)
    if op.kind == "add":
        return ({"constant": (op.parameters,)} if op.parameters else {}), {"terms": max(2, len(op.inputs))}
    return {}, {}


def _conv(op, into):
    """Kernel from the number of parameters: with or without bias, in groups or not, whichever divides and costs what they say."""
    filters, channels = op.shape[-1], into[-1]
    options = []
    for bias in (True, False):
        for inner in (n for n in reversed(divisors(channels)) if filters % (channels // n) == 0 or n == channels):
            weights = op.parameters - bias * filters
            if weights > 0 and weights % (inner * filters) == 0:
                options.append((weights // (inner * filters), inner, bias))
    if not options:
        return {"kernel": (op.parameters,)}, {"kernel_size": (1,), "strides": (1,), "same": False, "groups": 1}
    area, inner, bias = max(options, key=lambda option: _likely(op, option, channels))
    window = _kernel(area, into, op.shape)
    parameters = {"kernel": (*window, inner, filters)} | ({"bias": (filters,)} if bias else {})
    same = len(into) == len(op.shape) and into[:-1] == op.shape[:-1]
    settings = {"kernel_size": window, "strides": (1,) if same else (2,), "same": same, "groups": channels // inner}
    return parameters, settings


def _likely(op, option, channels):
    """How well a kernel explains a convolution's figures: MACC and bytes first, then the plain shapes before the odd ones."""
    area, inner, bias = option
    filters, biases = op.shape[-1], bias * op.shape[-1]
    weights = op.parameters - biases
    macc = op.elements // filters * weights + biases
    sizes = (4 * op.parameters, weights + 4 * biases)
    square = math.isqrt(area) ** 2 == area
    return op.macc == macc, op.size_bytes in sizes, inner in (channels, 1), square, inner == channels, bias


def _kernel(area, into, out):
    """Sides of a kernel of `area`: square where it can be, along the one axis there is, else the nearest to a square."""
    side = math.isqrt(area)
    if side * side == area and not (len(into) > 2 and (into[0] < side or into[1] < side)):
        return side, side
    if len(into) > 2 and into[0] == 1 or len(into) > 2 and out[0] == into[0] and out[1] != into[1]:
        return 1, area
    if len(into) < 3 or into[1] == 1:
        return area, 1
    height = max(h for h in divisors(area) if h <= side)
    return area // height, height


def divisors(n):
    """All divisors of a number, ascending."""
    small = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return small + [n // d for d in reversed(small) if d * d != n]


def _dense(op, into):
    units, inputs = op.shape[-1], math.prod(into)
    weights = op.constants[0] if len(op.constants) == 2 else op.parameters
    if not op.parameters:
        raise ValueError("no weights")
    if weights in (inputs * units, into[-1] * units) and len(op.constants) != 2:
        return {"kernel": (weights // units, units)}
    if len(op.constants) == 2:
        first, second = sorted(op.constants, reverse=True)
        return {"kernel": (first // units, units), "bias": (second,)}
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


def _recurrent(op, into):
    """Gates of in u + u u + u, four of an LSTM and three of a GRU (which has two biases)."""
    steps, inputs = (into[0], into[-1]) if len(into) > 1 else (1, into[-1])
    units, gates = op.shape[-1], 4 if op.kind == "lstm" else 3
    biases = gates * units * (1 if op.kind == "lstm" else 2)
    found = {"kernel": (inputs, gates * units), "recurrent_kernel": (units, gates * units), "bias": (biases,)}
    return found, {"steps": steps, "units": units, "reset_after": True}
