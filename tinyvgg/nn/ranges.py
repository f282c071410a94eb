"""The range of a network's images where none is given: the range that its first Rescaling or Normalization expects."""
import numpy as np

from tinyvgg.nn.graph import topological
from tinyvgg.nn.layers import Dropout, Flatten, GaussianNoise, InputLayer, Rescaling, Reshape, TrainingOnly, ZeroPadding2D

USUAL = (0.0, 1.0)
# What files hold: bytes, floats in 0..1 and -1..1, 10 to 16 bits. The first that a network brings to one of INSIDE is its range.
OUTSIDE = ((0.0, 255.0), USUAL, (-1.0, 1.0), *((0.0, 2.0 ** bits - 1) for bits in (10, 12, 14, 16)))
INSIDE = (USUAL, (-1.0, 1.0), (-0.5, 0.5))
LOUD = (0.0, 255.0)                         # some networks bring floats to bytes
# Layers that leave the values of images as they are: at inference, or all but a border.
SAME = (InputLayer, Dropout, GaussianNoise, TrainingOnly, Flatten, Reshape, ZeroPadding2D)


def range_of(output):
    """Return (low, high) of the images of the graph that ends in the node `output`; 0..1 if its first layers do not tell it."""
    return told_range(output)[0]


def told_range(output):
    """Return ((low, high), known). Without `known`, the range is guessed from the first layers' statistics, or 0..1."""
    scale, offset, told = 1.0, 0.0, False
    for layer in _first_layers(output):
        if not isinstance(layer, SAME):
            found = affine(layer)
            if found is None:
                break
            scale, offset, told = found[0] * scale, found[0] * offset + found[1], True
            if (match := _match(scale, offset)) is not None:
                return match, True
    return (_guess(scale, offset) if told else USUAL), False


def affine(layer):
    """Return (a, b) of a layer that computes a x + b (averaged over its channels); None for any other layer."""
    if isinstance(layer, Rescaling):
        a, b = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    elif hasattr(layer, "variance"):        # Normalization
        mean, deviation = np.asarray(layer.mean, np.float64), np.sqrt(np.maximum(np.asarray(layer.variance, np.float64), 1e-14))
        a, b = (deviation, mean) if getattr(layer, "invert", False) else (1 / deviation, -mean / deviation)
    else:
        return None
    a, b = float(np.mean(a)), float(np.mean(b))
    return (a, b) if a and np.isfinite([a, b]).all() else None


def _first_layers(output):
    """The layers that each image goes through one after another, from the input on."""
    users, node = {}, output
    for user in topological(output):
        for source in user.inputs:
            users.setdefault(id(source), []).append(user)
    while node.inputs:
        node = node.inputs[0]
    while len(users.get(id(node), ())) == 1:
        node = users[id(node)][0]
        yield node.layer


def _match(scale, offset):
    for low, high in OUTSIDE:
        ends = sorted((scale * low + offset, scale * high + offset))
        if any(np.abs(np.subtract(ends, inside)).max() <= 0.01 * (inside[1] - inside[0])
               for inside in (*INSIDE, *([LOUD] if high <= 1 else []))):
            return low, high
    return None


def _guess(scale, offset):
    """By size: statistics of images in 0..1 have deviations of about a quarter, those of bytes of about 64."""
    if abs(scale) < 0.1:
        return OUTSIDE[0] if abs(scale) > 0.1 / 257 else OUTSIDE[-1]
    return (-1.0, 1.0) if -offset / scale < 0 else USUAL
