"""Compare the weights in the generated C with a model's, tensor by tensor, and codebooks with the best possible ones of the same
size."""

import copy
import re
from dataclasses import asdict, dataclass

import numpy as np

from tinyvgg.analyze import describe
from tinyvgg.analyze.st import LATEST, folded_batch_norms, folded_forward
from tinyvgg.errors import FormatError
from tinyvgg.quant.kmeans1d import nearest, optimal_codebook, squared_error

# What a batch-norm's scale and offset, or a folded kernel, may differ by: another order of the same float32 operations.
ROUNDING = 2e-6


@dataclass
class Expected:
    """A tensor that the C must contain: values in ST's order, and the index in Keras' order for each of them."""

    name: str
    layer: str
    role: str
    values: np.ndarray
    axes: tuple
    shape: tuple
    exact: bool = True


@dataclass
class TensorCheck:
    """One tensor, from the C and from the model. `where`: the first index that differs, in Keras' order, with both values. For a
    shared tensor also the mean squared error of ST's codebook and of the best one of the same size, and the share of the error
    that the best one would save.
    """

    name: str
    theirs: str
    layer: str
    format: str
    items: int
    size_bytes: int
    ok: bool
    differing: int = 0
    largest: float = 0.0
    where: str = ""
    reason: str = ""
    mse: float | None = None
    best_mse: float | None = None
    gain: float | None = None
    relative_error: float | None = None
    used: int | None = None
    compared: bool = True

    def as_dict(self):
        """Return plain data."""
        return asdict(self)


def expected_tensors(model, release=LATEST):
    """List the constants of a float model as X-CUBE-AI stores them -> list of Expected.

    Kernels (KH, KW, C, F) are stored as [F][KH][KW][C], dense ones (I, O) as [O][I]. A batch-norm right after a convolution is
    folded into it. From 10.2 on, one right before a dense layer, or before a convolution without padding, is folded too. Any
    other is stored as a scale and an offset for each channel.
    """
    operations, layers = describe(model), {layer.name: layer for layer in model.layers}
    folded, forward = folded_batch_norms(operations), folded_forward(operations, release)
    hosts = {op.inputs[0]: layers[op.layer] for op in operations if op.name in folded}
    folded |= {norm.name for norm in forward.values()}
    found = []
    for op in operations:
        layer = layers.get(op.layer)
        if op.kind in ("conv", "dense") and "kernel" in layer.parameters:
            before = forward.get(op.name)
            found += _product(op, layer, hosts.get(op.name), layers[before.layer] if before else None)
        elif op.kind == "batch_norm" and op.name not in folded:
            scale, offset = _affine(layer)
            found += [
                Expected(f"{op.layer}/scale", op.layer, "scale", scale, (0,), scale.shape, False),
                Expected(f"{op.layer}/offset", op.layer, "bias", offset, (0,), offset.shape, False),
            ]
        elif op.parameters.get("alpha"):
            alpha = layer.parameters["alpha"]
            found.append(Expected(f"{op.layer}/alpha", op.layer, "alpha", alpha.ravel(), (0,), alpha.shape))
    return found


def _affine(layer):
    """The scale and offset (C,) that a batch-norm comes to at inference."""
    state, parameters = layer.state, layer.parameters
    scale = parameters.get("gamma", 1.0) / np.sqrt(state["moving_variance"].astype(np.float64) + layer.epsilon)
    offset = parameters.get("beta", 0.0) - state["moving_mean"] * scale
    return scale.astype(np.float32), np.asarray(offset, np.float32)


def _product(op, layer, norm, before=None):
    """Kernel and bias of a convolution or dense layer, with the batch-norm after it and the one before it folded in."""
    kernel, bias = layer.parameters["kernel"], layer.parameters.get("bias")
    if before is not None:
        scale, offset = _affine(before)
        grouped = op.settings.get("groups", 1) > 1
        scale, offset = (a.reshape(kernel.shape[-2:] if grouped else (-1, 1)) for a in (scale, offset))
        bias = (kernel * offset).reshape(-1, kernel.shape[-1]).sum(0) + (0 if bias is None else bias)
        kernel = kernel * scale
    if norm is not None:
        scale, offset = _affine(norm)
        kernel = kernel * (scale.reshape(kernel.shape[2:]) if op.settings["groups"] > 1 and kernel.shape[2] > 1 else scale)
        bias = offset + (0 if bias is None else bias) * scale
    axes = (1, 0) if kernel.ndim == 2 else (3, 0, 1, 2)
    exact = norm is None and before is None
    found = [Expected(f"{op.layer}/kernel", op.layer, "weights", kernel.transpose(axes).ravel(), axes, kernel.shape, exact)]
    if bias is not None:
        found.append(Expected(f"{op.layer}/bias", op.layer, "bias", np.asarray(bias, np.float32), (0,), bias.shape, exact))
    return found


def compare_weights(generated, model, release=LATEST):
    """Compare every constant of generated C with a float model -> list of TensorCheck, in the model's order."""
    expected, checks = expected_tensors(model, release), []
    pairs, left = match(expected, generated)
    for want, name in pairs:
        tensor = generated.tensors.get(name)
        try:
            checks.append(_compare(want, tensor, generated) if tensor else _check(want, None, "the generated code holds no such tensor"))
        except FormatError as error:
            checks.append(_check(want, tensor, error.problem))
    return checks + [_check(None, generated.tensors[name], "the model has no such tensor") for name in left]


def _check(want, tensor, problem=""):
    """The TensorCheck of an Expected and a StoredTensor, of which one may be None; ok unless there is a problem."""
    name, layer = (want.name, want.layer) if want else ("", "")
    if tensor is None:
        return TensorCheck(name, "", layer, "", want.values.size, 0, False, reason=problem)
    return TensorCheck(name, tensor.name, layer, tensor.format, tensor.items, tensor.size_bytes, not problem, reason=problem)


def match(expected, generated):
    """Pair tensors by name, the rest by role and size, in order -> (list of (Expected, name or None), unpaired names)."""
    left, pairs = dict(generated.tensors), {}
    for i, want in enumerate(expected):
        stem = re.sub(r"\W", "_", want.layer)
        for name in (f"{stem}_{want.role}", f"{stem}_dense_{want.role}", f"{stem}_conv2d_{want.role}"):
            if name in left:
                pairs[i] = name
                del left[name]
                break
    for i, want in enumerate(expected):
        if i not in pairs:
            found = next((n for n, t in left.items() if t.items == want.values.size and n.endswith(want.role)), None)
            if found:
                pairs[i] = found
                del left[found]
    return [(want, pairs.get(i)) for i, want in enumerate(expected)], list(left)


def _compare(want, tensor, generated):
    check = _check(want, tensor)
    if tensor.items != want.values.size:
        check.ok, check.reason = False, f"theirs has {tensor.items:,} values, ours {want.values.size:,}: another shape"
        return check
    if tensor.shared:
        return _compare_shared(check, want, generated.codebook(tensor.name))
    if tensor.format != "FLOAT":
        check.compared = False
        check.reason = f"stored as {tensor.format}: integers of a quantised model are not compared with floats"
        return check
    values = generated.values(tensor.name)
    difference = np.abs(values.astype(np.float64) - want.values)
    allowed = 0.0 if want.exact else ROUNDING * (1 + np.abs(want.values))
    wrong = np.flatnonzero(~(difference <= allowed))
    check.differing, check.largest = len(wrong), float(difference.max(initial=0.0))
    if len(wrong):
        check.ok = False
        check.where = _where(want, wrong[0], values[wrong[0]])
        check.reason = "one weight differs" if len(wrong) == 1 else f"{len(wrong):,} of {tensor.items:,} differ"
        if np.array_equal(np.sort(values), np.sort(want.values)):
            check.reason = "the same values in another order"
    return check


def _compare_shared(check, want, shared):
    """Every weight must be at its nearest entry; the entries themselves are free, and ST's are not the best."""
    values = want.values.astype(np.float32)
    chosen, best = shared.values, optimal_codebook(values, len(shared.codebook)).astype(np.float32)
    possible = np.abs(values.astype(np.float64) - shared.codebook[nearest(values, shared.codebook)])
    taken = np.abs(values.astype(np.float64) - chosen)
    wrong = np.flatnonzero(taken > possible + 1e-6 * np.abs(shared.codebook).max())
    check.differing, check.largest = len(wrong), float(taken.max())
    check.mse, check.best_mse = float((taken**2).mean()), squared_error(values, best) / values.size
    check.gain = 1 - check.best_mse / check.mse if check.mse else 0.0
    check.relative_error, check.used = _relative(values, taken), int(len(np.unique(shared.indices)))
    if len(wrong):
        check.ok, check.where = False, _where(want, wrong[0], chosen[wrong[0]])
        check.reason = f"{len(wrong):,} of {check.items:,} weights are not at the nearest entry of the codebook"
    return check


def _relative(values, error):
    """|error| / |values|."""
    norm = float(np.linalg.norm(values.astype(np.float64)))
    return float(np.linalg.norm(error)) / norm if norm else 0.0


def _where(want, flat, theirs):
    """Name the place of a value in Keras' order: conv2d/kernel[0, 2, 1, 7]."""
    stored = np.unravel_index(flat, tuple(want.shape[a] for a in want.axes))
    place = [0] * len(want.axes)
    for axis, index in zip(want.axes, stored, strict=True):
        place[axis] = int(index)
    return f"{want.name}{place}: theirs {theirs:.9g}, ours {want.values[flat]:.9g}"


def with_their_weights(model, generated):
    """Return a copy of a float model with the weights of the generated C, codebooks looked up: ST's network, to run in Python."""
    changed = copy.deepcopy(model)
    layers = {layer.name: layer for layer in changed.layers}
    for want, name in match(expected_tensors(model), generated)[0]:
        if name is None or not want.exact or generated.tensors[name].items != want.values.size:
            continue
        stored = np.asarray(generated.values(name), np.float32).reshape([want.shape[a] for a in want.axes])
        layers[want.layer].parameters[want.name.rpartition("/")[2]] = np.ascontiguousarray(
            stored.transpose(np.argsort(want.axes))
        )
    return changed
