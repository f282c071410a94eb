"""The rules of ST's X-CUBE-AI (STM32Cube.AI, ST Edge AI Core): MACC, bytes of weights, activations.

Every formula was checked to the unit against the tables of public reports of versions 4.0 to 10.2. Formulas that no report
confirms are marked as estimated. MACC are ST's: activations, pools and batch-norms cost some too, and a bias is counted once a
channel.
"""

import math
from collections import Counter
from dataclasses import dataclass

from tinyvgg.analyze.cost import Cost

LATEST = (10, 2)
LEVELS = {"none": 0, "lossless": 0, "low": 8, "medium": 4, "high": 4}
ACTIVATION_MACC = {"relu": 1, "relu6": 1, "leaky_relu": 1, "prelu": 2, "softmax": 15, "sigmoid": 10, "tanh": 10, "elu": 12}
# No public report shows these; ST's numbers for them are not known.
GUESSED_MACC = {"silu": 11, "selu": 10, "gelu": 10, "hard_sigmoid": 5, "exponential": 10}
# Which dense layers share weights: largest first, until the dense bytes, without codebooks, have shrunk by 0.9 of the ideal
# factor. The smallest layer that shares has between 21 and 96 weights. Both rules reproduce 26 of 26 decisions of real networks.
ENOUGH = 0.9
ALIGNMENT = 4
# The first release that folds a batch-norm into the layer after it: 6.0 and 7.2 do not, 10.2 does; no report is of one between.
FOLDS_FORWARD = (10, 2)
SMALLEST_SHARED = 64
# Of Keras' LSTM, which has no peepholes, ST stores zeros for them. 5.2 and 9.0 do not count them as parameters, 10.2 does; from 9.0
# on layers of one size read the same zeros (before, each has its own).
COUNTS_PEEPHOLES, SHARES_PEEPHOLES = (10, 0), (9, 0)
# From 9.0 on a sigmoid of integers is looked up, for 1 an element; of 8.1 and before no report shows one.
LOOKS_UP = (9, 0)
IN_PLACE = ("reshape", "activation", "batch_norm", "add", "pool")
INT8_BYTES = {"kernel": 1, "recurrent_kernel": 1, "bias": 4}


def lut_bytes(items, bits, row=0):
    """Bytes of `items` weights shared at 4 or 8 bits: packed indices and 2^bits float32.

    row: weights of one output; each row starts at a new byte, so an odd row of 4-bit indices ends with half a byte unused.
    """
    rows = items // row if row and items % row == 0 else 1
    return rows * ((items // rows * bits + 7) // 8) + 4 * 2**bits


def macc(operation, release=LATEST):
    """Return (MACC as X-CUBE-AI counts them, whether this is an estimate that no report confirms)."""
    kind, el, settings = operation.kind, operation.elements, operation.settings
    bias = math.prod(operation.parameters.get("bias", (0,)))
    kernel = math.prod(operation.parameters.get("kernel", (0,)))
    if kind == "conv":
        return el // operation.output_shape[-1] * kernel + bias, False
    if kind == "dense":
        counts_bias = release >= (6, 0) and not (release < (7, 0) and operation.class_name == "Gemm")
        return el // operation.output_shape[-1] * kernel + (bias if counts_bias else 0), False
    if kind == "lstm":
        # A step is four gates of kernel, recurrent kernel and bias, and one a unit: the LSTM rows of 4.0, 5.0 and 8.1 agree.
        return settings["steps"] * (operation.parameter_count + settings["units"]), False
    if kind in ("gru", "simple_rnn"):
        # The GRU of Core 3.0: three gates of kernel and recurrent kernel, and two a unit. No report shows a SimpleRNN.
        products = kernel + math.prod(operation.parameters.get("recurrent_kernel", (0,)))
        return settings["steps"] * (products + 2 * settings["units"]), kind == "simple_rnn"
    if kind == "conv_transpose":
        return math.prod(operation.input_shape[:-1]) * kernel + bias, True
    if kind == "batch_norm":
        return 2 * el, False
    if kind == "layer_norm":
        return 12 * el, True  # as Core 4 counts an instance normalization
    if kind == "pool":
        return el * math.prod(settings["pool_size"]), False
    if kind == "activation":
        factor = ACTIVATION_MACC.get(settings["function"])
        return el * (factor or GUESSED_MACC.get(settings["function"], 1)), factor is None
    if kind == "add":
        return el * (settings.get("terms", 2) - 1), False
    if kind == "conversion":
        return 2 * el, False
    if kind == "upsample":
        return (4 * el if settings.get("function") == "bilinear" else 0), settings.get("function") not in ("nearest", "bilinear")
    return 0, kind in ("other", "embedding")


def parameters(operation):
    """Return the {tensor: elements} that ST stores: a batch-norm has a scale and an offset, an LSTM three peephole vectors."""
    found = {name: math.prod(shape) for name, shape in operation.parameters.items()}
    if operation.kind == "lstm":
        found["peephole"] = 3 * operation.settings["units"]
    return found


def shared_layers(sizes, bits):
    """Return the names of the dense layers that ST shares at 4 or 8 bits. sizes: {name: weights}.

    Largest first, until the bytes of all dense weights (without codebooks) have shrunk by 0.9 of the ideal factor (8 or 4).
    Tiny layers, and layers that a codebook would make larger, are not shared.
    """
    chosen, total = [], 4 * sum(sizes.values())
    current = total
    for name, items in sorted(sizes.items(), key=lambda pair: -pair[1]):
        if total >= ENOUGH * (32 // bits) * current:
            break
        if items >= SMALLEST_SHARED and lut_bytes(items, bits) < 4 * items:
            chosen.append(name)
            current -= 4 * items - items * bits / 8
    return chosen


def costs(operations, *, compression="none", release=LATEST, number_format="float"):
    """Cost every operation by X-CUBE-AI's rules -> list of Cost, without inputs and without reshapes that cost nothing.

    compression none, lossless, low, medium or high; number_format "float" or "int8" (then compression has no effect).
    """
    folded, forward = folded_batch_norms(operations), folded_forward(operations, release)
    hosts = {norm.inputs[0] for norm in operations if norm.name in folded} | set(forward)
    folded = dict.fromkeys(folded, "folded into the convolution before it")
    folded |= {norm.name: f"folded into {host} after it" for host, norm in forward.items()}
    bits = LEVELS[compression] if number_format == "float" else 0
    dense = {op.name: math.prod(op.parameters["kernel"]) for op in operations if op.kind == "dense" and not op.shared}
    shared = set(shared_layers(dense, bits)) if bits else set()
    rows, zeros = [], set()
    for op in operations:
        if op.kind in ("input", "reshape"):
            continue
        sizes = {} if op.shared else parameters(op)
        own, guessed = macc(op, release)
        counted = sum(n for name, n in sizes.items() if name != "peephole" or release >= COUNTS_PEEPHOLES)
        row = Cost(op.name, op.kind, op.layer, op.output_shape, counted, own, 0, own, _model_bytes(sizes, number_format))
        row.bits = 32 if number_format == "float" else 8
        if guessed:
            row.estimated, row.note = True, "no report shows this cost"
        if op.shared and op.parameters:
            row.note = "the weights of its first use"
        row.weights_bytes = row.model_bytes
        _place(row, op, operations, folded, hosts, number_format, release)
        _peepholes(row, _model_bytes({"peephole": sizes.get("peephole", 0)}, number_format), zeros, release)
        if op.name in shared:
            stored = lut_bytes(sizes["kernel"], bits, op.parameters["kernel"][0])
            row.weights_bytes += _aligned(stored) - 4 * sizes["kernel"]
            row.bits = bits
        rows.append(row)
    return rows


def _peepholes(row, size, zeros, release):
    """The `size` bytes of zeros for an LSTM's peepholes: of the model where they are counted, stored by the first of that size."""
    if size and (6, 0) <= release < COUNTS_PEEPHOLES:
        row.model_bytes -= size
    if size and size in zeros and release >= SHARES_PEEPHOLES:
        row.weights_bytes, row.elsewhere, row.note = row.weights_bytes - size, size, "reads the zeros of the LSTM before it"
    zeros.add(size)


def _model_bytes(sizes, number_format):
    if number_format == "float":
        return 4 * sum(sizes.values())
    return sum(n * INT8_BYTES.get(name, 1) for name, n in sizes.items())


def folded_forward(operations, release=LATEST):
    """Return {operation: the batch-norm before it, which releases from 10.2 on fold into it}.

    The operation is a dense layer or a convolution without padding. A batch-norm before a "same" convolution is not folded,
    because the border would be wrong; nor is one before a pool or a flatten.
    """
    if release < FOLDS_FORWARD:
        return {}
    uses, twice = Counter(name for op in operations for name in op.inputs), {op.layer for op in operations if op.shared}
    norms = {op.name: op for op in operations if op.kind == "batch_norm" and uses[op.name] == 1}
    behind = folded_batch_norms(operations)
    found = {}
    for op in operations:
        norm = norms.get(op.inputs[0]) if op.inputs else None
        bare = op.kind == "dense" or op.kind == "conv" and (not op.settings["same"] or set(op.settings["kernel_size"]) == {1})
        if norm is not None and bare and norm.name not in behind and not twice & {op.layer, norm.layer}:
            found[op.name] = norm
    return found


def _place(row, op, operations, folded, hosts, number_format, release):
    """Apply the differences of the generated C: folded batch-norms, free integer activations, a more expensive leaky ReLU.

    folded: {batch-norm: what it was folded into}; hosts: names of the operations that a batch-norm was folded into.
    """
    if op.name in folded:
        row.macc = row.weights_bytes = 0
        row.note = folded[op.name]
    elif op.name in hosts and "bias" not in op.parameters:
        row.macc += op.output_shape[-1]
        row.weights_bytes += 4 * op.output_shape[-1]
        row.note = "gains a bias from the batch-norm"
    elif op.kind == "activation":
        _activate(row, op, _producer(op, operations), number_format, release)
    elif op.kind == "conversion" and number_format == "int8" and not op.settings.get("floats"):
        row.macc, row.note = 0, "part of the integer kernels"


def _activate(row, op, producer, number_format, release):
    """Set the cost of an activation in C, which may differ from the model's table."""
    function = op.settings["function"]
    if number_format == "int8" and function in ("relu", "relu6") and producer in ("conv", "dense"):
        row.macc, row.note = 0, "part of the integer kernel before it"
    elif number_format == "int8" and function == "sigmoid" and release >= LOOKS_UP:
        row.macc, row.note = op.elements, "a sigmoid of integers is looked up"
    elif number_format == "int8" and function not in ("relu", "relu6", "softmax", "prelu", "leaky_relu"):
        row.estimated, row.note = True, "no report shows this cost of integers"
    elif number_format == "int8" and function == "softmax" and release == (6, 0):
        row.macc, row.note = row.macc + 4 * op.elements, "version 6.0 converts to float and back"
    elif function == "leaky_relu" and (release == (8, 1) or release < (6, 0)):
        row.macc, row.note = 3 * op.elements, "this version counts 3 an element in C"
        if release < (6, 0):
            row.model_macc = row.macc
    elif function == "elu" and release >= (10, 0):
        row.macc, row.note = 11 * op.elements, "version 10.2 counts 11 an element in C"
    elif function == "relu6" and number_format == "float" and release >= (10, 0):
        row.macc, row.note = 2 * op.elements, "version 10.2 counts 2 an element in C"


def _producer(op, operations):
    return next((o.kind for o in operations if op.inputs and o.name == op.inputs[0]), None)


def folded_batch_norms(operations):
    """Return the names of the batch-norms that X-CUBE-AI folds at every level: the only reader of a convolution's result.

    Not if the convolution's weights are used a second time, because each use would need its own weights.
    """
    twice = {op.layer for op in operations if op.shared}
    kinds, layers = ({op.name: getattr(op, what) for op in operations} for what in ("kind", "layer"))
    uses = Counter(name for op in operations for name in op.inputs)
    return {
        op.name
        for op in operations
        if op.kind == "batch_norm"
        and op.inputs
        and kinds.get(op.inputs[0]) == "conv"
        and uses[op.inputs[0]] == 1
        and not twice & {op.layer, layers[op.inputs[0]]}
    }


@dataclass
class Peak:
    """The peak of ST's activations buffer: bytes, operation, and {tensor: bytes} of the tensors needed at the same time."""

    size_bytes: int
    operation: str
    tensors: dict


def activation_bytes(operations, element_bytes=4, release=LATEST):
    """Estimate ST's activations buffer in bytes, as `activation_peak` finds it."""
    return activation_peak(operations, element_bytes, release).size_bytes


def activation_peak(operations, element_bytes=4, release=LATEST):
    """Estimate the peak of ST's activations buffer -> Peak: the largest sum of tensors needed at once, inputs and outputs
    included.

    Each operation needs its inputs, its output, its scratch, and the tensors that later operations still read. Elementwise
    operations and pools work in place, and a pad overwrites its input. A same-size convolution of stride 1 writes its output (kh
    - 1) * width * channels + kw * channels elements below its input. A convolution followed by a ReLU and a pool writes the
    pooled output, through two rows of scratch (not in version 8). How ST places buffers is not public: the result is exact for
    the student project's base net (143,468), elsewhere an estimate. element_bytes: 4 for floats, 1 for integers.
    """
    last_use = {name: i for i, op in enumerate(operations) for name in op.inputs}
    folded = folded_batch_norms(operations) | {norm.name for norm in folded_forward(operations, release).values()}
    pooled = {} if (8, 0) <= release < (9, 0) else _pooled_convolutions(operations)
    sizes = {op.name: _aligned(element_bytes * pooled.get(op.name, op).elements) for op in operations}
    alive, alias, peak = {}, {}, Peak(0, "", {})
    for i, op in enumerate(operations):
        scratch = 0
        if not op.inputs:
            alive[op.name] = sizes[op.name]
        else:
            source, alone = alias.get(op.inputs[0], op.inputs[0]), last_use[op.inputs[0]] == i
            if op.kind in IN_PLACE and alone or op.name in folded:
                alias[op.name] = source
                last_use[source] = max(last_use.get(op.name, i), i)
                peak = _fuller(peak, op, alive, 0)
                alive[source] = min(alive.get(source, sizes[op.name]), sizes[op.name])
            else:
                into, out = alive.get(source, sizes[op.inputs[0]]), sizes[op.name]
                saved = into + out - _overlap(op, into, out, element_bytes) if alone and op.name not in pooled else 0
                scratch = 0 if op.kind == "lstm" and release < (8, 0) else scratch_bytes(op, element_bytes, op.name in pooled)
                alive[op.name] = out
                last_use[op.name] = max(last_use.get(op.name, i), i)
                peak = _fuller(peak, op, alive | {source: into}, scratch, saved)
        kept = alias.get(op.name, op.name)
        alive = {name: size for name, size in alive.items() if last_use.get(name, i) > i or name == kept}
    return peak


def _aligned(size):
    """Return a buffer's bytes, rounded up to a multiple of four."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _fuller(peak, op, alive, scratch, saved=0):
    """Return the larger of a peak and the Peak at an operation."""
    total = _aligned(sum(alive.values()) + scratch - saved)
    if total <= peak.size_bytes:
        return peak
    parts = dict(alive) | ({"scratch": scratch} if scratch else {})
    return Peak(total, op.name, parts | ({"shared by input and output": -saved} if saved else {}))


def _pooled_convolutions(operations):
    """Return {convolution: pool} for convolutions followed by a ReLU and a pool, if nothing else reads the results between."""
    uses = Counter(name for op in operations for name in op.inputs)
    reader = {name: op for op in operations for name in op.inputs}
    found = {}
    for op in operations:
        if op.kind == "conv" and uses[op.name] == 1:
            relu = reader[op.name]
            if relu.kind == "activation" and uses[relu.name] == 1 and reader[relu.name].kind == "pool":
                found[op.name] = reader[relu.name]
    return found


def scratch_bytes(op, element_bytes=4, pooled=False):
    """Return the bytes of scratch of an operation.

    Floats: the patch under a convolution's window, or seven vectors of an LSTM. Integers, from C graphs of 6.0 to 10.2:
    (4 K + 1) C + 1 for a depthwise convolution with K = kh kw; 4 C + 10 F for a 1 x 1 convolution; 4 K + (2 K + 14) F, at most
    4 K + 14 F + 5,120, for other convolutions, with K = kh kw C; 2 inputs + 10 outputs for a dense layer; 992 for a softmax. A
    convolution with a pool also needs two rows before the pool.
    """
    if op.kind == "lstm":
        return 7 * op.settings["units"] * element_bytes
    if element_bytes == 1 and op.kind == "dense":
        return 2 * op.parameters["kernel"][0] + 10 * op.output_shape[-1]
    if element_bytes == 1 and op.kind == "activation" and op.settings["function"] == "softmax":
        return 992
    if op.kind != "conv":
        return 0
    rows = 2 * math.prod(op.output_shape[1:]) * element_bytes if pooled else 0
    patch, filters = math.prod(op.parameters["kernel"][:-1]), op.output_shape[-1]
    if element_bytes == 4:
        return 4 * patch + rows
    if op.settings["groups"] > 1:
        return (4 * patch + 1) * filters + 1 + rows
    if set(op.settings["kernel_size"]) == {1}:
        return 4 * patch + 10 * filters + rows
    return 4 * patch + min((2 * patch + 14) * filters, 14 * filters + 5120) + rows


def _overlap(op, size_in, size_out, element_bytes):
    """Return the bytes of input and output together, which may overlap."""
    if op.kind == "pad":
        return max(size_in, size_out)
    if op.kind == "conv" and op.settings.get("same") and set(op.settings["strides"]) == {1} and size_in == size_out:
        window = op.settings["kernel_size"]
        width, channels = op.output_shape[-2], op.output_shape[-1]
        return size_in + ((window[0] - 1) * width * channels + window[-1] * channels) * element_bytes
    return size_in + size_out
