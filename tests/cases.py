"""One row a layer and setting: it buys shape, gradients by both kernels in both modes, fast == reference, and configuration."""
from dataclasses import dataclass
from typing import Any

from tinyvgg.nn import layers


@dataclass(frozen=True)
class Case:
    name: str
    make: Any                           # () -> a fresh layer
    input_shape: Any                    # (N, ...), or a list of shapes for layers that join


def case(name, make, input_shape):
    return Case(name, make, input_shape)


IMAGES, SERIES = (2, 7, 9, 3), (2, 11, 3)
CASES = [
    case("conv2d", lambda: layers.Conv2D(5, 3), IMAGES),
    case("conv2d same", lambda: layers.Conv2D(4, 3, padding="same"), (1, 5, 5, 2)),
    case("conv2d, stride 2, odd size", lambda: layers.Conv2D(5, (3, 2), strides=2, padding="same"), IMAGES),
    case("conv2d, uneven stride", lambda: layers.Conv2D(4, 3, strides=(1, 3)), IMAGES),
    case("conv2d, even kernel same", lambda: layers.Conv2D(4, (4, 2), padding="same"), IMAGES),
    case("conv2d, dilation", lambda: layers.Conv2D(4, 3, dilation_rate=(2, 1), padding="same"), IMAGES),
    case("conv2d, groups", lambda: layers.Conv2D(6, 3, groups=2, padding="same"), (2, 6, 5, 4)),
    case("conv2d 1x1, no bias", lambda: layers.Conv2D(6, 1, use_bias=False), IMAGES),
    case("conv2d, relu inside", lambda: layers.Conv2D(4, 3, activation="relu", padding="same"), IMAGES),
    case("conv2d, batch 1, one pixel out", lambda: layers.Conv2D(3, (7, 9)), (1, 7, 9, 3)),
    case("conv2d, 32 channels", lambda: layers.Conv2D(32, 3, padding="same"), (2, 8, 8, 32)),
    case("conv2d, 33 channels, odd", lambda: layers.Conv2D(17, 3, padding="same"), (3, 5, 7, 33)),
    case("conv2d, kernel 5", lambda: layers.Conv2D(4, 5, padding="same"), (1, 6, 4, 2)),
    case("depthwise", lambda: layers.DepthwiseConv2D(3, padding="same"), IMAGES),
    case("depthwise, multiplier, stride", lambda: layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2), IMAGES),
    case("depthwise, dilation, no bias", lambda: layers.DepthwiseConv2D(2, dilation_rate=2, use_bias=False), IMAGES),
    case("separable", lambda: layers.SeparableConv2D(5, 3, padding="same", activation="tanh"), IMAGES),
    case("separable, multiplier, stride", lambda: layers.SeparableConv2D(5, 3, strides=2, depth_multiplier=2), IMAGES),
    case("dense", lambda: layers.Dense(7), (3, 11)),
    case("dense, batch 1, no bias, elu", lambda: layers.Dense(4, activation="elu", use_bias=False), (1, 5)),
    case("dense on rows", lambda: layers.Dense(4, activation="softmax"), (2, 3, 5)),
    case("batch norm", lambda: layers.BatchNormalization(), IMAGES),
    case("batch norm, no scale", lambda: layers.BatchNormalization(scale=False, momentum=0.8, epsilon=1e-2), IMAGES),
    case("batch norm, no center", lambda: layers.BatchNormalization(center=False), (6, 5)),
    case("batch norm, frozen", lambda: layers.BatchNormalization(trainable=False), IMAGES),
    case("relu", lambda: layers.ReLU(), IMAGES),
    case("relu, all settings", lambda: layers.ReLU(max_value=1.0, negative_slope=0.2, threshold=0.3), IMAGES),
    case("relu6", lambda: layers.ReLU6(), IMAGES),
    case("leaky relu", lambda: layers.LeakyReLU(0.1), IMAGES),
    case("prelu", lambda: layers.PReLU(), IMAGES),
    case("prelu, shared", lambda: layers.PReLU(shared_axes=[1, 2]), IMAGES),
    case("elu", lambda: layers.ELU(0.7), IMAGES),
    case("silu", lambda: layers.SiLU(), IMAGES),
    case("sigmoid", lambda: layers.Sigmoid(), IMAGES),
    case("tanh", lambda: layers.Tanh(), IMAGES),
    *(case(name, lambda name=name: layers.Activation(name), IMAGES)
      for name in ("gelu", "softplus", "hard_sigmoid", "selu", "mish", "softsign", "exponential")),
    case("softmax", lambda: layers.Softmax(), (3, 6)),
    case("softmax of one image's pixels", lambda: layers.Activation("softmax"), (1, 2, 3, 4)),
    case("linear", lambda: layers.Activation("linear"), IMAGES),
    case("leaky by name", lambda: layers.Activation("leaky_relu"), IMAGES),
    case("max pool", lambda: layers.MaxPooling2D(), (2, 6, 8, 3)),
    case("max pool, odd, same", lambda: layers.MaxPooling2D(3, strides=2, padding="same"), IMAGES),
    case("max pool, overlapping", lambda: layers.MaxPooling2D((3, 2), strides=1), IMAGES),
    case("average pool", lambda: layers.AveragePooling2D(), IMAGES),
    case("average pool, odd, same", lambda: layers.AveragePooling2D(3, strides=2, padding="same"), IMAGES),
    case("global average", lambda: layers.GlobalAveragePooling2D(), IMAGES),
    case("global average, keepdims", lambda: layers.GlobalAveragePooling2D(keepdims=True), IMAGES),
    case("global max", lambda: layers.GlobalMaxPooling2D(), IMAGES),
    case("zero padding", lambda: layers.ZeroPadding2D(((1, 0), (2, 3))), IMAGES),
    case("up sampling", lambda: layers.UpSampling2D((2, 3)), IMAGES),
    case("cropping", lambda: layers.Cropping2D(((1, 0), (2, 3))), IMAGES),
    case("permute", lambda: layers.Permute((3, 1, 2)), IMAGES),
    case("conv1d", lambda: layers.Conv1D(5, 3), SERIES),
    case("conv1d, same, stride, relu", lambda: layers.Conv1D(4, 3, strides=2, padding="same", activation="relu"), SERIES),
    case("conv1d, causal, dilation, groups", lambda: layers.Conv1D(6, 2, padding="causal", dilation_rate=2, groups=3), SERIES),
    case("depthwise 1d", lambda: layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2), SERIES),
    case("separable 1d", lambda: layers.SeparableConv1D(5, 3, padding="same", activation="tanh"), SERIES),
    case("max pool 1d", lambda: layers.MaxPooling1D(), SERIES),
    case("max pool 1d, same", lambda: layers.MaxPooling1D(3, strides=2, padding="same"), SERIES),
    case("average pool 1d", lambda: layers.AveragePooling1D(3, strides=2, padding="same"), SERIES),
    case("global average 1d", lambda: layers.GlobalAveragePooling1D(), SERIES),
    case("global max 1d, keepdims", lambda: layers.GlobalMaxPooling1D(keepdims=True), SERIES),
    case("zero padding 1d", lambda: layers.ZeroPadding1D((1, 2)), SERIES),
    case("cropping 1d", lambda: layers.Cropping1D((1, 2)), SERIES),
    case("up sampling 1d", lambda: layers.UpSampling1D(3), SERIES),
    case("spatial dropout 1d", lambda: layers.SpatialDropout1D(0.25), SERIES),
    case("flatten", lambda: layers.Flatten(), IMAGES),
    case("reshape", lambda: layers.Reshape((-1, 3)), (2, 6, 4)),
    case("dropout", lambda: layers.Dropout(0.4), (5, 8)),
    case("spatial dropout", lambda: layers.SpatialDropout2D(0.25), IMAGES),
    case("add", lambda: layers.Add(), [IMAGES, IMAGES, IMAGES]),
    case("average", lambda: layers.Average(), [IMAGES, IMAGES, IMAGES]),
    case("multiply, a gate a channel", lambda: layers.Multiply(), [IMAGES, (2, 1, 1, 3)]),
    case("multiply, three", lambda: layers.Multiply(), [(3, 5), (3, 5), (3, 1)]),
    case("maximum", lambda: layers.Maximum(), [IMAGES, (2, 7, 1, 3), IMAGES]),
    case("subtract", lambda: layers.Subtract(), [IMAGES, (2, 1, 1, 3)]),
    case("softmax of rows", lambda: layers.Softmax(axis=1), (2, 4, 3, 2)),
    case("concatenate", lambda: layers.Concatenate(), [IMAGES, (2, 7, 9, 5)]),
    case("input", lambda: layers.InputLayer((7, 9, 3)), IMAGES),
    case("gaussian noise", lambda: layers.GaussianNoise(0.2), IMAGES),
    case("gaussian dropout", lambda: layers.GaussianDropout(0.3), IMAGES),
    case("alpha dropout", lambda: layers.AlphaDropout(0.3), (5, 8)),
    case("random flip, which is for Keras' training", lambda: layers.TrainingOnly("RandomFlip", {"mode": "vertical"}), IMAGES),
    case("normalization", lambda: layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 4.0, 0.5]), IMAGES),
    case("normalization, inverted, rows", lambda: layers.Normalization([1], 0.5, [1.0] * 7, True), IMAGES),
    case("rescaling, channels", lambda: layers.Rescaling([2.0, 1.0, 0.5], [0.0, -1.0, 1.0]), IMAGES),
    case("rescaling", lambda: layers.Rescaling(2.0, -1.0), IMAGES),
]
