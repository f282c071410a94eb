"""Which changes would help most: each is tried on the description and measured again, none is guessed."""

import copy
import math
from dataclasses import dataclass

from tinyvgg.analyze.analysis import measure

# What the integer graph of this library can hold.
INTEGER = ("input", "conv", "dense", "batch_norm", "activation", "pool", "add", "concatenate", "reshape", "pad")


@dataclass
class Change:
    """A change and what it saves, bytes of flash and of RAM (negative where it costs), and the multiplications it saves."""

    what: str
    flash_bytes: int
    ram_bytes: int
    macc: int = 0

    def as_dict(self):
        """Return plain data."""
        return {"change": self.what, "flash_bytes": self.flash_bytes, "ram_bytes": self.ram_bytes, "macc": self.macc}


def best_changes(operations, now, count=3):
    """Try every change that is known and return the `count` that save most of what is short (flash where nothing is)."""
    found = [c for c in _changes(operations, now) if c.flash_bytes > 0 or c.ram_bytes > 0]
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


def _changes(operations, now):
    """Yield Changes from the figures `now`."""

    def against(what, other):
        return Change(what, now.flash_bytes - other.flash_bytes, now.ram_bytes - other.ram_bytes, now.macc - other.macc)

    def again(changed, compression=None):
        return measure(changed, now.board, now.rules, compression or now.compression)

    for level in ("low", "medium", "high"):
        if level != now.compression:
            yield against(f"compression {level}", again(operations, level))
    if now.rules == "xcubeai" and all(op.kind in INTEGER for op in operations):
        integers = measure(operations, now.board, "tinyvgg", "none")
        yield Change(
            "8-bit integers (tinyvgg compress --scheme int8; code of the runtime as it is)",
            now.weights_bytes - integers.weights_bytes,
            now.activations_bytes - integers.activations_bytes,
        )
    hidden = [op for op in operations if op.kind == "dense"][:-1]  # the last one has a unit for each class
    for op in hidden:
        if op.output_shape[-1] >= 32 and (half := _half(operations, op.name)):
            units = op.output_shape[-1]
            yield against(f"{op.layer}: {units // 2} units instead of {units} (train again)", again(half))
    if pooled := _global_pool(operations):
        yield against("a global average pool instead of flatten (train again)", again(pooled))
    if smaller := _stride(operations):
        first = next(op for op in operations if op.kind == "conv")
        yield against(f"{first.layer}: strides 2 (train again)", again(smaller))


def _half(operations, name):
    """Halve the units of a dense layer, and what the layers after it read."""
    changed = copy.deepcopy(operations)
    index = next(i for i, op in enumerate(changed) if op.name == name)
    units = changed[index].output_shape[-1] // 2
    kernel = changed[index].parameters["kernel"]
    changed[index].parameters["kernel"] = (*kernel[:-1], units)
    if "bias" in changed[index].parameters:
        changed[index].parameters["bias"] = (units,)
    return _propagate(changed, index, (*changed[index].output_shape[:-1], units))


def _global_pool(operations):
    """Replace the first flatten of an image by a global average pool."""
    changed = copy.deepcopy(operations)
    for i, op in enumerate(changed):
        if op.kind == "reshape" and len(op.input_shape) == 3 and math.prod(op.input_shape[:2]) > 1 and len(op.output_shape) == 1:
            op.kind, op.settings = "pool", {"pool_size": op.input_shape[:2], "strides": op.input_shape[:2], "function": "average"}
            return _propagate(changed, i, op.input_shape[-1:])
    return None


def _stride(operations):
    """Let the first convolution of stride 1 step by 2: only in a chain, where every size after it follows."""
    changed = copy.deepcopy(operations)
    for i, op in enumerate(changed):
        if op.kind == "conv" and len(op.output_shape) == 3 and max(op.settings["strides"]) == 1:
            op.settings = {**op.settings, "strides": (2, 2)}
            return _propagate(changed, i, (*(-(-n // 2) for n in op.output_shape[:2]), op.output_shape[-1]))
    return None


def _propagate(operations, index, shape):
    """Give operation `index` a new output shape and let it run through a chain; None where the graph branches."""
    if any(len(op.inputs) > 1 for op in operations):
        return None
    operations[index].output_shape = shape
    for op in operations[index + 1 :]:
        op.input_shape = shape
        shape = _next_shape(op, shape)
        if shape is None or min(shape) < 1:
            return None
        op.output_shape = shape
    return operations


def _next_shape(op, shape):
    if op.kind == "dense":
        op.parameters["kernel"] = (shape[-1], op.parameters["kernel"][-1])
        return (*shape[:-1], op.output_shape[-1])
    if op.kind == "reshape":
        return (math.prod(shape),) if len(op.output_shape) == 1 else None
    if op.kind == "batch_norm":
        op.keras_parameters = op.keras_parameters // op.parameters["scale"][0] * shape[-1]
        op.parameters = {name: shape[-1:] for name in op.parameters}
        return shape
    if op.kind == "activation":
        return shape if not op.parameters else None
    if op.kind in ("conv", "pool"):
        return _windowed(op, shape)
    return None


def _windowed(op, shape):
    if len(shape) < 2:
        return None
    strides = op.settings["strides"]
    if op.kind == "pool" and len(op.output_shape) == 1:
        op.settings = {**op.settings, "pool_size": shape[:-1], "strides": shape[:-1]}
        return shape[-1:]
    window = op.settings["pool_size" if op.kind == "pool" else "kernel_size"]
    if op.settings.get("same"):
        size = tuple(-(-n // s) for n, s in zip(shape[:-1], strides, strict=True))
    else:
        size = tuple((n - k) // s + 1 for n, k, s in zip(shape[:-1], window, strides, strict=True))
    return (*size, op.output_shape[-1])
