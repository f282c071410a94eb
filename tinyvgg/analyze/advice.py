"""The changes that would help most. Each is tried on the description of the network and measured."""

import copy
import math
from dataclasses import dataclass

from tinyvgg.analyze.description import describe
from tinyvgg.errors import TinyVGGError
from tinyvgg.io.keras_h5.lacking import Cost
from tinyvgg.nn.graph import connect, input_node, topological
from tinyvgg.nn.layers import GlobalAveragePooling2D

# What the integer graph of this library can hold.
INTEGER = ("input", "conv", "dense", "batch_norm", "activation", "pool", "add", "concatenate", "reshape", "pad")


@dataclass
class Change:
    """A change, the bytes of flash and RAM that it saves (negative if it needs more), and the multiplications that it saves."""

    what: str
    flash_bytes: int
    ram_bytes: int
    macc: int = 0

    def as_dict(self):
        """Return plain data."""
        return {"change": self.what, "flash_bytes": self.flash_bytes, "ram_bytes": self.ram_bytes, "macc": self.macc}


def best_changes(operations, now, measure, count=3):
    """Try all changes and return the `count` that save most of the memory that is too small, or most memory if both suffice.

    now: the Analysis without changes; measure(operations, board, rules, compression) -> Analysis.
    """
    found = [c for c in _changes(operations, now, measure) if c.flash_bytes > 0 or c.ram_bytes > 0]
    scarce_ram, scarce_flash = now.missing_ram > 0, now.missing_flash > 0

    def value(change):
        flash = min(change.flash_bytes, now.missing_flash) if scarce_flash else 0
        ram = min(change.ram_bytes, now.missing_ram) if scarce_ram else 0
        return flash + ram, change.flash_bytes + change.ram_bytes

    kept, seen = [], set()
    for change in sorted(found, key=value, reverse=True):
        if (change.flash_bytes, change.ram_bytes) not in seen:
            seen.add((change.flash_bytes, change.ram_bytes))
            kept.append(change)
    return kept[:count]


def _changes(operations, now, measure):
    """Yield every Change, compared with the Analysis `now`."""

    def against(what, other):
        return Change(what, now.flash_bytes - other.flash_bytes, now.ram_bytes - other.ram_bytes, now.macc - other.macc)

    def again(changed, compression=None):
        return measure(changed, now.board, now.rules, compression or now.compression)

    for level in ("low", "medium", "high"):
        if level != now.compression:
            yield against(f"compression {level}", again(operations, level))
    runs = all(op.kind in INTEGER and not isinstance(op.node and op.node.layer, Cost) for op in operations)
    if now.rules == "xcubeai" and runs:
        integers = measure(operations, now.board, "tinyvgg", "none")
        yield Change(
            "8-bit integers (tinyvgg compress --scheme int8; code of the runtime as it is)",
            now.weights_bytes - integers.weights_bytes,
            now.activations_bytes - integers.activations_bytes,
        )
    dense = list(dict.fromkeys(op.node.layer for op in operations if op.kind == "dense" and op.node))
    for layer in dense[:-1]:  # the last one has a unit for each class
        units = getattr(layer, "units", 0)
        if units >= 32 and (half := _rewired(operations, layer, _with(layer, units=units // 2))):
            yield against(f"{layer.name}: {units // 2} units instead of {units} (train again)", again(half))
    if pooled := _global_pool(operations):
        yield against("a global average pool instead of flatten (train again)", again(pooled))
    first = next((op for op in operations if op.kind == "conv" and op.node and _steps_by_one(op.node.layer)), None)
    if first and (smaller := _rewired(operations, first.node.layer, _with(first.node.layer, strides=(2, 2)))):
        yield against(f"{first.layer}: strides 2 (train again)", again(smaller))


def _steps_by_one(layer):
    """Whether a layer is a convolution of images with strides of 1."""
    return getattr(layer, "strides", ()) == (1, 1) and layer.dilation_rate == (1, 1)


def _global_pool(operations):
    """Replace the first flatten of an image by a global average pool."""
    for op in operations:
        if op.kind == "reshape" and op.node and len(op.input_shape) == 3 and len(op.output_shape) == 1:
            if math.prod(op.input_shape[:2]) > 1:
                return _rewired(operations, op.node.layer, GlobalAveragePooling2D(name=op.layer))
    return None


def _with(layer, **settings):
    """Return a copy of a layer, without arrays, with other settings."""
    twin = copy.copy(layer)
    twin.built = False
    vars(twin).update(settings)
    return twin


def _rewired(operations, old, new):
    """Describe the network with layer `new` instead of `old`; return None if the shapes no longer fit."""
    layers, order, made = {id(old): new}, {}, {}
    for op in reversed(operations):
        if op.node not in order:
            order |= dict.fromkeys(topological(op.node))
    try:
        for node in order:
            layer = layers.setdefault(id(node.layer), _with(node.layer))
            inputs = [made[n] for n in node.inputs]
            made[node] = connect(layer, inputs if layer.joins else inputs[0]) if inputs else input_node(layer)
    except TinyVGGError:
        return None
    return describe(list(made.values()))
