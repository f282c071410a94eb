"""The range of a network's images where none is given: the range that its first Rescaling or Normalization expects."""
import numpy as np

from tinyvgg.nn import layers as L
from tinyvgg.nn.graph import topological

USUAL = (0.0, 1.0)
# What files hold: bytes, floats in 0..1 and -1..1, 10 to 16 bits. The first that a network brings to one of INSIDE is its range.
OUTSIDE = ((0.0, 255.0), USUAL, (-1.0, 1.0), *((0.0, 2.0 ** bits - 1) for bits in (10, 12, 14, 16)))
INSIDE = (USUAL, (-1.0, 1.0), (-0.5, 0.5))
LOUD = (0.0, 255.0)                         # some networks bring floats to bytes
# Layers that leave the values of images in their range: at inference, or all but a border.
SAME = (L.InputLayer, L.Dropout, L.GaussianNoise, L.TrainingOnly, L.Flatten, L.Reshape, L.Permute, L.ZeroPadding2D,
        L.Cropping1D, L.Cropping2D, L.MaxPooling1D, L.MaxPooling2D, L.AveragePooling1D, L.AveragePooling2D,
        L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.UpSampling1D,
        L.UpSampling2D, L.Resizing)


def range_of(output):
    """Return (low, high) of the images of the graph that ends in the node `output`; 0..1 if its first layers do not tell it."""
    return told_range(output)[0]


def told_range(output):
    """Return ((low, high), known). Without `known`, the range is guessed from the first layers' statistics, or 0..1."""
    users, node = {}, output
    for user in topological(output):
        for source in user.inputs:
            users.setdefault(id(source), []).append(user)
    while node.inputs:
        node = node.inputs[0]
    return _told(node, users) or (USUAL, False)


def _told(node, users, scale=1.0, offset=0.0, told=False):
    """What told_range returns of the layers behind `node`, which gets scale * image + offset; None if they do not tell.

    `told`: whether a layer before has scaled. Where several layers read one node, each must say the same.
    """
    found = {_reader(user, users, scale, offset, told) for user in users.get(id(node), ())}
    known = found.pop() if len(found) == 1 else None
    return known or ((_guess(scale, offset), False) if told else None)


def _reader(user, users, scale, offset, told):
    if _keeps(user.layer):
        return _told(user, users, scale, offset, told)
    found = affine(user.layer)
    if found is None:
        return None
    scale, offset = found[0] * scale, found[0] * offset + found[1]
    match = _match(scale, offset)
    return (match, True) if match is not None else _told(user, users, scale, offset, True)


def _keeps(layer):
    return isinstance(layer, SAME) or isinstance(layer, L.Activation) and layer.activation.name == "linear"


def affine(layer):
    """Return (a, b) of a layer that computes a x + b (averaged over its channels); None for any other layer."""
    if isinstance(layer, L.Rescaling):
        a, b = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    elif hasattr(layer, "variance"):        # Normalization
        mean, deviation = np.asarray(layer.mean, np.float64), np.sqrt(np.maximum(np.asarray(layer.variance, np.float64), 1e-14))
        a, b = (deviation, mean) if getattr(layer, "invert", False) else (1 / deviation, -mean / deviation)
    else:
        return None
    a, b = float(np.mean(a)), float(np.mean(b))
    return (a, b) if a and np.isfinite([a, b]).all() else None


def _match(scale, offset):
    for low, high in OUTSIDE:
        ends = sorted((scale * low + offset, scale * high + offset))
        if any(np.abs(np.subtract(ends, inside)).max() <= 0.01 * (inside[1] - inside[0])
               for inside in (*INSIDE, *([LOUD] if high <= 1 else []))):
            return low, high
    return None


def _guess(scale, offset):
    """By size: statistics of images in 0..1 have deviations of about a quarter, those of bytes of about 64; a mean over 1 is of bytes."""
    if -offset / scale > 1 >= -offset / scale / 255:
        return OUTSIDE[0]
    if abs(scale) < 0.1:
        return OUTSIDE[0] if abs(scale) > 0.1 / 257 else OUTSIDE[-1]
    return (-1.0, 1.0) if -offset / scale < 0 else USUAL
