"""What a network looks at: the values of every layer, and Grad-CAM."""
from typing import Any

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.types import Floats, Images, Labels


def activations(model: Any, x: Images) -> dict[str, Floats]:
    """Return {name of a layer: its result (N, ...)} for images x (N, ...), in the order of computation, up to the logits.

    Dropout and the like are off. The last layer's values are logits: a final softmax or sigmoid is left out. For a layer that is
    used several times, the result of its last use is returned.
    """
    return {layer.name: values for _, layer, values, _ in _run(model, model.check_images(x))}


def grad_cam(model: Any, x: Images, classes: Labels | int | None = None, *, layer: str | None = None) -> Floats:
    """Return (N, H, W) in 0..1: how strongly each pixel of images x (N, H, W, C) supports a class.

    layer: by default the last one whose result is maps (N, h, w, F). Each map is multiplied by the mean gradient of the class's
    logit with respect to that map. The products are summed, negative values are set to 0, and the sum is enlarged to the image's
    size. classes: (N,) or one class; None: the network's own answers. Raises OptionError for an unknown layer, ShapeError for one
    without maps.
    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (ICCV 2017).
    """
    x = model.check_images(x)
    steps = _run(model, x)
    at = _place(model, steps, layer)
    logits = steps[-1][2]
    wanted = np.broadcast_to(logits.argmax(1) if classes is None else np.asarray(classes), len(x))
    if wanted.dtype.kind not in "iu" or ((wanted < 0) | (wanted >= logits.shape[1])).any():
        raise OptionError(f"classes are {classes!r}; expected whole numbers from 0 to {logits.shape[1] - 1}")
    gradient = _gradient(steps, at, np.eye(logits.shape[1], dtype=logits.dtype)[wanted])
    maps = steps[at][2]
    cam = np.maximum((gradient.mean(axis=(1, 2), keepdims=True) * maps).sum(axis=-1), 0)
    top = cam.max(axis=(1, 2), keepdims=True)
    return _stretched(cam / np.where(top > 0, top, 1), x.shape[1:3])


def _run(model, x):
    """[(node, layer, its result, what it saved for backward)] of the reference's forward pass on x."""
    values, steps = {model.input: x}, []
    for node, layer in model._logit_nodes():
        arguments = [values[n] for n in node.inputs]
        values[node] = layer.forward(arguments if layer.joins else arguments[0], training=False)
        steps.append((node, layer, values[node], layer.saved))
    return steps


def _place(model, steps, name):
    """Where in `steps` the layer called `name` is computed last; None: the last that gives maps."""
    found = [i for i, (_, layer, values, _) in enumerate(steps) if (values.ndim == 4 if name is None else layer.name == name)]
    if not found:
        raise OptionError(f"there is no layer {name!r}" if name else "no layer gives maps (N, h, w, F)",
                          ", ".join(layer.name for layer in model.layers[:8]))
    if steps[found[-1]][2].ndim != 4:
        raise ShapeError(f"layer {name!r} gives {steps[found[-1]][2].shape}; expected maps (N, h, w, F)", "a convolution before it")
    return found[-1]


def _gradient(steps, at, dlogits):
    """The gradient of sum(dlogits * logits) by the result of step `at`."""
    wanted, sums = steps[at][0], {steps[-1][0]: dlogits}
    for node, layer, _, saved in reversed(steps[at + 1:]):
        if node not in sums:
            continue
        layer.saved = saved
        dx: Any = layer.backward(sums.pop(node), parameters=False)
        for source, part in zip(node.inputs, dx if layer.joins else [dx], strict=True):
            sums[source] = sums[source] + part if source in sums else part
    return sums.get(wanted, np.zeros_like(steps[at][2]))


def _stretched(maps, size):
    """Maps (N, h, w) stretched to (N, *size) by straight lines between the centres of their pixels."""
    for axis, n in enumerate(size, 1):
        old = maps.shape[axis]
        at = np.clip((np.arange(n) + 0.5) * old / n - 0.5, 0, old - 1)
        low = np.floor(at).astype(int)
        high, part = np.minimum(low + 1, old - 1), (at - low).astype(maps.dtype).reshape([-1 if i == axis else 1 for i in range(3)])
        maps = maps.take(low, axis) * (1 - part) + maps.take(high, axis) * part
    return maps
