"""The head of a network: a final softmax or sigmoid, which turns logits into probabilities and is never part of the logits.

It is a separate layer or the last layer's activation. A sigmoid is a head only if the output is a vector; on a map it is an
ordinary layer.
"""
from tinyvgg import kernels
from tinyvgg.nn.layers import Softmax


def head_of(layer, shape):
    """Return ("softmax", "sigmoid" or None; whether the layer is only the head) for the last layer and the shape of its
    result."""
    alone = isinstance(layer, Softmax) and layer.axis in (-1, len(shape))
    name = "softmax" if alone else layer.activation.name
    if name != "softmax" and (name != "sigmoid" or len(shape) != 1):
        return None, False
    return name, alone or not layer.parameters


def apply_head(head, outputs):
    """Return the probabilities of outputs (N, K) before the head, or the outputs unchanged if there is no head."""
    return outputs if head is None else getattr(kernels, head)(outputs)


def head_backward(head, dy, outputs):
    """Pull dy, the gradient with respect to apply_head's result, back to the outputs."""
    return dy if head is None else getattr(kernels, f"{head}_backward")(dy, outputs)
