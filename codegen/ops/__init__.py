"""One emitter an op, registered from outside on the dataclasses of tinyvgg.quant. To add one: a file here and a line below."""
from tinyvgg.codegen.ops import add, conv2d, dense, depthwise_conv2d, image, pooling, softmax

__all__ = ["add", "conv2d", "dense", "depthwise_conv2d", "image", "pooling", "softmax"]
