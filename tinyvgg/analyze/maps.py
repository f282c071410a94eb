"""The maps of each layer of a network: floats beside integers, a clean image beside an attacked one."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn.graph import call_names
from tinyvgg.report.shown import briefly

COLUMNS = ("float_clean", "integer_clean", "float_attacked", "integer_attacked")


@briefly
@dataclass(frozen=True)
class LayerMaps:
    """One layer for one image. `maps`: {column of COLUMNS: (H, W, C) or (n,) float32, real values}, without missing columns.

    scale, zero: of the integers, real = scale * (q - zero); None without integers. saturated: share of the clean image's integers
    at either end of their range; those at 0 may come from a ReLU.
    """

    name: str
    kind: str
    maps: dict
    scale: float | None = None
    zero: int | None = None
    saturated: float | None = None

    @property
    def shape(self):
        """Shape of the layer's result for one image."""
        return next(iter(self.maps.values())).shape

    def numbers(self):
        """Return plain data: range of each column, signal-to-noise ratio of the integers (dB), distance caused by the attack."""
        row = {"name": self.name, "kind": self.kind, "shape": list(self.shape), "scale": self.scale, "zero": self.zero,
               "saturated": self.saturated, "range": {k: [float(v.min()), float(v.max())] for k, v in self.maps.items()}}
        for image in ("clean", "attacked"):
            row[f"snr_db_{image}"] = self._between(f"float_{image}", f"integer_{image}", signal_to_noise)
        for side in ("float", "integer"):
            row[f"distance_{side}"] = self._between(f"{side}_clean", f"{side}_attacked", distance)
        return row

    def _between(self, a, b, measure):
        return measure(self.maps[a], self.maps[b]) if a in self.maps and b in self.maps else None


@briefly
@dataclass(frozen=True)
class Look:
    """The result of `look`. layers: LayerMaps in order; labels: {column: class}; logits: {column: (K,) float32}."""

    layers: list
    labels: dict
    logits: dict
    float_source: str | None
    facts: dict = field(default_factory=dict)

    def numbers(self):
        """Return plain data, without the maps."""
        return {"labels": self.labels, "float_source": self.float_source, "layers": [layer.numbers() for layer in self.layers]}


def signal_to_noise(signal, approximation):
    """Return 10 log10(sum signal^2 / sum (approximation - signal)^2) in dB; None if they differ by float32 rounding only."""
    power = np.square(signal, dtype=np.float64).sum()
    noise = np.square(approximation.astype(np.float64) - signal).sum()
    return float(10 * np.log10(power / noise)) if noise > 1e-13 * power else None


def distance(a, b):
    """Return {"relative_l2": |b - a| / |a| (None if a is 0), "linf": largest |b - a|}."""
    difference, size = b.astype(np.float64) - a, float(np.linalg.norm(a))
    relative = float(np.linalg.norm(difference)) / size if size > 0 else None
    return {"relative_l2": relative, "linf": float(np.abs(difference).max())}


def look(model: Any, image: Any, attacked: Any = None, *, integer: Any = None) -> Look:
    """Run one image, and an attacked version of it, through a network and its integer model: return a Look.

    model: an nn.Model, CompressedModel or QuantizedModel; image, attacked: (H, W, C) in the model's range; integer: the
    QuantizedModel to compare with (a QuantizedModel is compared with its own floats). The floats are those of the graph from
    which the integers were lowered. Equalisation, bias correction and fine-tuning change a network before it is rounded; so only
    the rounding is compared. Raises ShapeError for an image of another shape, OptionError for an integer model with other layers.
    """
    integer = model if _is_integer(model) else integer
    images = {"clean": image} if attacked is None else {"clean": image, "attacked": attacked}
    if integer is not None and tuple(integer.input_shape) != tuple(model.input_shape):
        raise ShapeError(f"the integer model takes images of {tuple(integer.input_shape)}; the network takes {model.input_shape}")
    if integer is not None:
        _check_same_layers(model, integer)
    floats, source = _float_side(model, integer)
    traces = {f"float_{k}": floats(np.asarray(v)[None]) for k, v in images.items()}
    if integer is not None:
        codes = {k: integer.trace(np.asarray(v)[None]) for k, v in images.items()}
        traces |= {f"integer_{k}": {op.name: _real(op, codes[k][op.name]) for op in integer.graph.ops} for k in images}
    layers = [_layer(name, kind, traces, integer, codes["clean"] if integer is not None else None)
              for name, kind in _names(traces, integer, model)]
    logits = {k: _logits(trace, integer, model) for k, trace in traces.items()}
    return Look(layers, {k: int(v.argmax()) for k, v in logits.items()}, logits, source)


def _is_integer(model):
    from tinyvgg.quant.model import QuantizedModel
    return isinstance(model, QuantizedModel)


def _float_side(model, integer):
    """Return a function, images (1, H, W, C) -> {layer: its floats}, and the source of these floats as text."""
    from tinyvgg.quant.calibrate import as_float_images
    from tinyvgg.quant.lower import dequantize
    from tinyvgg.quant.simulate import run
    if integer is None and not hasattr(model, "graph"):
        return lambda x: _layer_by_layer(model, x), "the network, layer by layer"
    if integer is None:
        graph, source = model.graph, "the compressed floats"
    elif integer.float_graph is not None:
        graph, source = integer.float_graph, "the float graph that the integers were lowered from"
    else:
        graph, source = dequantize(integer.graph), "the integer model without its rounding"
    return lambda x: run(graph, as_float_images(x, graph), keep=True), source


def _layer_by_layer(model, x):
    """x (1, H, W, C) -> {layer: its result}, without layers that do nothing at inference."""
    values, results = {}, {model.input: model.check_images(x)}
    for node, name in call_names(model.nodes).items():
        if node.inputs:
            inputs = [results[n] for n in node.inputs]
            results[node] = node.layer.forward(inputs if node.layer.joins else inputs[0], training=False)
        if not any(results[node] is results[n] for n in node.inputs):           # a layer that does nothing returns its input
            values[name] = results[node]
    return values


def _real(op, q):
    """Return the real values of an op's integers q (1, ...)."""
    if op.probabilities:
        return q.astype(np.float32) / (255 if q.dtype == np.uint8 else 1)
    return np.float32(op.scale) * (q.astype(np.float32) - np.float32(op.zero)) + np.float32(getattr(op, "residue", 0.0))


def _check_same_layers(model, integer):
    from tinyvgg.quant.fuse import fuse
    if model is not integer and _layers_of(fuse(model)) != _layers_of(integer.graph):
        raise OptionError(f"{integer.name!r} does not have the layers of the network that it is compared with",
                          "the .tvq that was made from this network, or --scheme int8")


def _layers_of(graph):
    return [(op.name, tuple(op.shape)) for op in graph.ops]


def _names(traces, integer, model):
    """Return (name, kind) of every layer."""
    graph = integer.graph if integer is not None else getattr(model, "graph", None)
    if graph is not None:
        return [(op.name, type(op).__name__) for op in graph.ops]
    kinds = {name: type(node.layer).__name__ for node, name in call_names(model.nodes).items()}
    return [(name, kinds[name]) for name in traces["float_clean"]]


def _layer(name, kind, traces, integer, codes):
    maps = {k: traces[k][name][0] for k in COLUMNS if k in traces}
    if integer is None or kind == "Softmax":
        return LayerMaps(name, kind, maps)
    op, q = integer.graph[name], codes[name]
    ends = np.iinfo(q.dtype)
    return LayerMaps(name, kind, maps, float(op.scale), int(op.zero), float(np.mean((q == ends.min) | (q == ends.max))))


def _logits(trace, integer, model):
    """Return the logits (K,) of a trace: the values before a final softmax."""
    graph = integer.graph if integer is not None else getattr(model, "graph", None)
    return (trace[graph.logits.name] if graph is not None else list(trace.values())[-1])[0].reshape(-1)
