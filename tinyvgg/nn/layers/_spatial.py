"""Sizes along the image axes: how Keras pads, and what that leaves."""
from tinyvgg.errors import ShapeError


def padding_for(padding, size, kernel_size, strides, dilation=(1, 1)):
    """Return ((top, bottom), (left, right)) for "valid", "same" or "causal" (all of it at the top and the left).

    "same" gives ceil(size / stride) outputs; an odd number of padded pixels has the extra one at the bottom and the right, as
    TensorFlow does.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "causal":
        return tuple((d * (k - 1), 0) for k, d in zip(kernel_size, dilation, strict=True))
    return tuple(_same(n, d * (k - 1) + 1, s) for n, k, s, d in zip(size, kernel_size, strides, dilation, strict=True))


def _same(size, extent, stride):
    total = max(0, (-(-size // stride) - 1) * stride + extent - size)
    return total // 2, total - total // 2


def output_size(layer, size, kernel_size, strides, padding, dilation=(1, 1)):
    """Return (OH, OW), or raise ShapeError if the kernel is larger than the padded image."""
    pads = padding_for(padding, size, kernel_size, strides, dilation)
    out = tuple((n + sum(p) - d * (k - 1) - 1) // s + 1
                for n, p, k, s, d in zip(size, pads, kernel_size, strides, dilation, strict=True))
    if min(out) < 1:
        raise ShapeError(f"{type(layer).__name__} {layer.name or ''} has a window of {kernel_size} on images of {tuple(size)}: "
                         "no pixel is left", 'padding="same", or fewer pooling layers')
    return out
