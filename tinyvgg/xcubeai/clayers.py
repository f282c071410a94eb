"""What a C layer must cost, computed from its tensors: a check of generated code without table or model. Each rule gives all MACC
values that a layer of its kind can have with these tensors, the likeliest first. A layer with another value counts as not
rebuilt. The rules were found on the C layers of public files of versions 5.1 to 12.0.
"""

import math
import re
from dataclasses import dataclass
from itertools import product

FREE = (
    "concat",
    "pad",
    "slice",
    "gather",
    "reshape",
    "argminmax",
    "arrayfeatureextractor",
    "zipmap",
    "unpack",
    "split",
    "tile",
    "upsample",
    "flatten",
    "squeeze",
    "unsqueeze",
    "placeholder",
    "shape",
    "identity",
    "constant",
    "where",
    "nonzero",
)
# MACC an element of the output; several where versions, formats or functions that the file does not name differ.
PER_ELEMENT = {
    "cast": (2,),
    "conversion": (2, 0),
    "converter": (2, 0),
    "quantize": (2,),
    "dequantize": (2,),
    "scalebias": (2,),
    "bn": (2,),
    "batchnormalization": (2,),
    "instancenormalization": (12,),
    "normalization": (12,),
    "layernormalization": (12,),
    "transpose": (0.5, 0),
    "softmax": (15,),
    "nonlinearity": (1, 2, 3, 5, 6, 8, 9, 10, 11, 12, 15, 17, 19, 20),
    "nl": (1, 2, 3, 5, 8, 9, 10, 11, 12, 15, 17, 19),
    "eltwise/div": (5, 1),
    "eltwise/pow": (1, 5, 10),
}
FUNCTIONS = {"relu": (1,), "sm": (15,), "softmax": (15,), "sigmoid": (10,), "prelu": (2,)}
CONVOLUTIONS = ("conv2d", "optimized_conv2d", "conv2d_integer", "conv", "conv1d", "depthwiseconv2d")
LARGEST_STRIDE = 4
LARGEST_SIZE = 1 << 24  # of a tensor's side; a damaged file says anything


@dataclass
class Shapes:
    """What a rule needs to know of a layer: sizes without the batch, the elements of its constants, the largest first."""

    inputs: list
    outputs: list
    constants: list
    kernel: tuple
    attributes: dict

    @property
    def elements(self):
        """Number of elements of the first output."""
        return math.prod(self.outputs[0]) if self.outputs else 0


def shapes(layer, arrays):
    """Gather the sizes of a C layer's tensors. Versions before 7 print no shapes of constants; there the number of items of the
    array with the same name is used.

    arrays: {name or id: Array}.
    """

    def sizes(tensor):
        array = arrays.get(tensor.name) or arrays.get(tensor.array)
        return tensor.shape or ((array.items,) if array else ())

    constants = sorted((sizes(t) for t in layer.tensors if t.role == "W"), key=math.prod, reverse=True)
    return Shapes(
        [sizes(t) for t in layer.tensors if t.role == "I"],
        [sizes(t) for t in layer.tensors if t.role == "O"],
        [math.prod(c) for c in constants],
        constants[0] if constants else (),
        layer.attributes,
    )


def layer_problem(layer, arrays):
    """Return why a C layer is not rebuilt, or an empty string if its tensors explain its MACC and its bytes."""
    found = possible_macc(layer, arrays)
    if layer.kind == "epoch":
        return "the file gives no MACC for an epoch of the NPU"
    if found is None:
        return f"no rule is known here for a C layer of the kind {layer.kind}"
    if layer.macc not in found:
        return f"its tensors do not give its {layer.macc:,} MACC by a rule known here"
    weights = [t for t in layer.tensors if t.role == "W"]
    constants = {a.name: a.size_bytes for t in weights if (a := arrays.get(t.name) or arrays.get(t.array))}
    named = {t.name for t in weights}
    if layer.rom_bytes and named and len(constants) == len(named):
        books = sum(4 * 2**bits for bits in (_shared_bits(arrays, t) for t in weights) if bits)
        total = sum(constants.values())
        if not total - books <= layer.rom_bytes <= total + books + 7 * len(constants):
            return f"its constants have {total:,} bytes, it says {layer.rom_bytes:,}"
    return ""


def _shared_bits(arrays, tensor):
    array = arrays.get(tensor.name) or arrays.get(tensor.array)
    text = f"{array.format} {array.c_type} {tensor.format}".lower() if array else tensor.format.lower()
    return 4 if "lut4" in text or text.endswith("c4") else 8 if "lut8" in text or text.endswith("c8") else 0


def possible_macc(layer, arrays):
    """Return the set of all MACC values that a C layer with these tensors can have, or None if no rule for its kind is known."""
    kind, known = layer.kind.lower().replace(" ", ""), shapes(layer, arrays)
    base = kind.removesuffix("_integer").split("/")[0]
    if any(n > LARGEST_SIZE for shape in (*known.inputs, *known.outputs, known.kernel) for n in shape):
        return None
    if not known.outputs or not all(known.outputs) or any(t.role == "W" for t in layer.tensors) and not known.kernel:
        return None
    if kind in CONVOLUTIONS and known.constants:
        return _convolution(known)
    if kind == "conv":  # TFLite's conversion of an integer tensor
        return {2 * known.elements, 0}
    if base in ("dense", "gemm", "matmul"):
        return _dense(known)
    if base == "pool" or base.startswith("reduce"):
        return _pool(known)
    if base in ("lstm", "gru"):
        return _recurrent(known, 4 if base == "lstm" else 3)
    if base == "resize":
        return {0, 4 * known.elements}  # nearest, bilinear
    if base in FREE:
        return {0}
    if base in ("nl", "nonlinearity"):
        return {factor * known.elements for factor in _functions(layer)}
    if kind.replace("_integer", "").startswith("eltwise"):
        return _elementwise(known, PER_ELEMENT.get(kind.replace("_integer", ""), (1,)))
    factors = PER_ELEMENT.get(base)
    return {int(factor * known.elements) for factor in factors} if factors else None


def _functions(layer):
    """MACC an element of the function that the C code or the attributes name, else of all."""
    named = layer.attributes.get("nonlinearity", "") or re.sub(r"^forward_(lite_)?(nl_)?", "", layer.forward or "").split("_")[0]
    every = PER_ELEMENT["nonlinearity"]
    return FUNCTIONS.get(named, every) if named != "relu" else (1, 2, 3)


def _elementwise(known, factors):
    """One an element of the output, or (Core 3 and later) of a constant, or of all inputs but one."""
    counts = {known.elements, *known.constants, known.elements * max(1, len(known.inputs) - 1)}
    return {factor * count for factor in factors for count in counts}


def _dense(known):
    """Inputs x outputs and the bias, once or (Core 3 and later) once an element; of two activations, ST's own count."""
    if not known.constants:
        return {known.elements * (math.prod(i) + 1) for i in known.inputs} | {known.elements * i[-1] for i in known.inputs if i}
    kernel, bias = known.constants[0], sum(known.constants[1:2])
    pixels = {1}
    units = known.outputs[0][-1]
    if units and known.elements % units == 0:
        pixels.add(known.elements // units)
    if known.kernel and len(known.kernel) > 1:
        pixels |= {known.elements // n for n in (known.kernel[0], known.kernel[-1]) if n and known.elements % n == 0}
    return {p * kernel + b for p in pixels for b in (bias, 0, p * bias)}


def _pool(known):
    """Elements of the output x the window; the window from the settings, else whatever the sizes allow."""
    whole = {math.prod(i) for i in known.inputs}
    stated = _pair(known.attributes.get("pool_size"))
    if stated:
        return {known.elements * math.prod(stated)} | whole
    if not known.inputs:
        return set()
    return {known.elements * h * w for h, w in windows(_plane(known.inputs[0]), _plane(known.outputs[0]))} | whole


def windows(before, after):
    """Return the windows (h, w) that turn one plane into another."""
    return product(*(_sides(n, out) for n, out in zip(before, after, strict=True)))


def _sides(size, out):
    """Windows along one axis; of a long axis only the common ones and the whole."""
    if size > 64:
        return {*range(1, 9), *range(size // (out + 1) + 1, size // max(out, 1) + 1)[:64], size}
    return {k for s in range(1, size + 1) for k in range(1, size + 1) if out in _out(size, k, s)}


def _out(size, window, stride):
    """Sizes that a window can give: valid, rounded up, same."""
    return {(size - window) // stride + 1, -(-(size - window) // stride) + 1, -(-size // stride)}


def _reaches(size, window, out):
    """Whether a pool of a stride up to its window gives a size."""
    return any(out in _out(size, window, stride) for stride in {*range(1, min(window, 8) + 1), window})


def _recurrent(known, gates):
    """Steps x (gates of kernel, recurrent kernel and bias, and the units)."""
    for units in sorted({o[-1] for o in known.outputs if o}, reverse=True):
        inputs = known.inputs[0][-1] if known.inputs and known.inputs[0] else 0
        steps = math.prod(known.inputs[0]) // inputs if inputs else 0
        core = gates * units * (inputs + units)
        if core <= sum(known.constants):
            extras = (gates + 1, gates + 4, 2, 1, 2 * gates)
            return {steps * (core + extra * units) for extra in extras}
    return set()


def _plane(shape):
    """Height and width of a tensor with its channels last, whether the batch is there or not."""
    inner = shape[1:] if len(shape) == 4 else shape
    return (inner[0], math.prod(inner[1:-1])) if len(inner) > 1 else (1, 1)


def _pair(stated):
    """(2, 2) of "(2, 2)", "[2, 2]" or a list; nothing of anything else."""
    found = tuple(int(n) for n in re.findall(r"\d+", str(stated or "")))
    return found if len(found) == 2 else ()


def _convolution(known):
    """Pixels x weights and the bias, with the function and the pool that the code fused; integers fuse a function for nothing."""
    channels, kernel, bias = known.outputs[0][-1], known.constants[0], sum(known.constants[1:2])
    pixels = known.elements // channels if channels else 0
    plain = {pixels * kernel + b for b in (bias, 0)}
    fused = {value + factor * known.elements for value in plain for factor in (1, 2, 3, 10)}
    return plain | fused | _pooled(known, channels, kernel, bias)


def _pooled(known, channels, kernel, bias):
    """MACC of a convolution whose pool is part of it: over the planes that the convolution can have written."""
    if not known.inputs:
        return set()
    before, after, found = _plane(known.inputs[0]), _plane(known.outputs[0]), set()
    stride, size, window = (_pair(known.attributes.get(name)) for name in ("stride", "filter_size", "pool_size"))
    sides = [
        {
            (n, p)
            for s in ([stride[axis]] if stride else range(1, LARGEST_STRIDE + 1))
            for k in ([size[axis]] if size else {*known.kernel, 1} if len(known.kernel) > 1 else range(1, 8))
            for n in _out(before[axis], k, s)
            for p in ([window[axis]] if window else {*range(1, 9), n // max(after[axis], 1), n})
            if n >= after[axis] and p <= n and (-(-n // p) >= after[axis] or _reaches(n, p, after[axis]))
        }
        for axis in (0, 1)
    ]
    for (h, p), (w, q) in product(*sides):
        for factor in (0, 1, 2, 3):
            value = h * w * kernel + known.elements * p * q + factor * h * w * channels
            found |= {value, value + bias}
    return found
