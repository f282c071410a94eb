"""A network in float32, by its fused plan and layer by layer, against the reference kernels in float64.

    check_against_float64(model, x, g, training=True)

What float32 loses depends on the network: a batch-norm of two nearly equal values loses almost all. So the reference kernels run in
float32 too, and the fast ones may lose LOSS times what those lose. Where a ReLU's input or a pool's two largest values are so near
each other that rounding decides, there is no gradient to compare: the answer is then None.
"""
import contextlib

import numpy as np

from tinyvgg import kernels
from tinyvgg.kernels import reference
from tinyvgg.nn import layers as L

MARGIN = 2e-5           # relative to the largest value of the array: what Winograd's F(4x4,3x3) may lose in one layer, twice
LOSS = 20
WAYS = ("fused", "layers")


def check_against_float64(model, x, g, *, training=False, tolerance=1e-3):
    """Compare logits, input and weight gradients and moving statistics of both ways with float64, array by array.

    x (N, *input_shape) and g (N, classes) float32, the gradient with respect to the logits. tolerance: relative to an array's
    largest value, on
    top of what plain float32 loses. Returns the largest error in these units, or None where rounding decides a branch. Raises
    AssertionError that names the way and the array.
    """
    with kernels.use("reference"):
        exact, decisions = _run(model.astype(np.float64), x.astype(np.float64), g.astype(np.float64), training, "layers")
        plain, rounded = _run(model.astype(np.float32), x, g, training, "layers")
    if not all(_is_decided(*pair) for pair in zip(decisions, rounded, strict=True)):
        return None
    largest = 0.0
    for way in WAYS:
        found, _ = _run(model.astype(np.float32), x, g, training, way)
        for name, expected in exact.items():
            scale = max(float(np.abs(expected).max(initial=0)), 0.01)
            allowed = tolerance + LOSS * float(np.abs(plain[name] - expected).max(initial=0)) / scale
            error = float(np.abs(found[name] - expected).max(initial=0)) / scale if found[name].shape == expected.shape else np.inf
            if not error <= allowed:
                raise AssertionError(f"{way}: {name} differs from float64 by {error:.1e} of the largest value; allowed {allowed:.1e}")
            largest = max(largest, error / allowed)
    return largest


def _run(model, x, g, training, way):
    """({array: values}, [(kind, values, settings)] of every decision on the reference kernels) of one forward and backward."""
    for index, layer in enumerate(model.layers):
        if isinstance(layer, L.Dropout):
            layer.rng = np.random.default_rng(index)
    seen = []
    with _watched(seen):
        if way == "fused":
            model.vjp(x, g)                         # a buffer that an earlier call left dirty must not be added to
            logits = model.forward_logits(x, training=training)
            dx = model.backward_logits(g)
        else:
            logits = model._forward(x, training)
            seen += [("global", layer.saved, {}) for layer in model.layers if isinstance(layer, L.GlobalMaxPooling2D)]
            dx = model._backward(g, True)
    found = {"logits": logits, "dx": dx}
    for layer in model.layers:
        found |= {f"d {layer.name}/{k}": layer.gradients[k] for k in layer.parameters if k in layer.gradients}
        found |= {f"{layer.name}/{k}": v for k, v in layer.state.items()}
    return {name: np.array(values, np.float64) for name, values in found.items()}, seen


@contextlib.contextmanager
def _watched(seen):
    """Note what the reference kernels decide by in `seen`: the input of every ReLU and max-pool."""
    real = {name: getattr(reference, name) for name in ("relu", "prelu", "elu", "max_pool2d")}

    def watch(name):
        def watched(x, *args, **settings):
            seen.append((name, x, settings))
            return real[name](x, *args, **settings)
        return watched
    try:
        for name in real:
            setattr(reference, name, watch(name))
        yield
    finally:
        for name, function in real.items():
            setattr(reference, name, function)


def _is_decided(exact, rounded):
    """Whether a decision falls the same way after rounding. exact, rounded: (kind, values, settings) in float64 and float32."""
    kind, x, settings = exact
    margin = max(MARGIN * float(np.abs(x).max(initial=0)), LOSS * float(np.abs(rounded[1] - x).max(initial=0)))
    if kind == "max_pool2d":
        x = reference.pad(x, settings["padding"], -np.inf)
        windows = np.lib.stride_tricks.sliding_window_view(x, settings["pool_size"], axis=(1, 2))
        sh, sw = settings["strides"]
        return _gaps(windows[:, ::sh, ::sw].reshape(-1, np.prod(settings["pool_size"])), margin)
    if kind == "global":
        return _gaps(x.reshape(len(x), -1, x.shape[-1]).transpose(0, 2, 1).reshape(-1, x.shape[1] * x.shape[2]), margin)
    edges = [settings.get("threshold", 0.0), settings.get("max_value")]
    return not any((np.abs(x - edge) < margin).any() for edge in edges if edge is not None)


def _gaps(rows, margin):
    """Whether the two largest values of each row are the same or far from each other."""
    if rows.shape[1] < 2:
        return True
    two = np.sort(rows, axis=1)[:, -2:]
    gap = np.where(np.isfinite(two[:, 0]), two[:, 1] - two[:, 0], np.inf)
    return not ((gap > 0) & (gap < margin)).any()
