"""The networks of the project, untrained: light, base, notebook, resnet8 and teacher.

Each takes images of CIFAR-10, (32, 32, 3), or of another input_shape (H, W, C), from a size on that its pools leave something of.
"""
from typing import Any

from tinyvgg.errors import OptionError, ShapeError
from tinyvgg.nn import Input, Model, Sequential
from tinyvgg.nn import layers as L
from tinyvgg.types import Shape
from tinyvgg.words import did_you_mean

CIFAR: Shape = (32, 32, 3)


def light(*, seed: int = 0, spatial_dropout: float = 0.25, dropout: float = 0.3, classes: int = 10, input_shape: Shape = CIFAR) -> Model:
    """The light net: six 3x3 convolutions (32, 32, 32, 64, 128, 128), each ReLU then batch-norm; dense 256, 64, classes.

    409,418 parameters, 24,625,792 MACC. Max-pools after the 2nd, 4th, 5th and 6th convolution, with a spatial dropout between
    ReLU and batch-norm in the same four; a dropout after each hidden dense layer. Images in 0..1; ends in a softmax.
    """
    return _vgg("light", (32, 32, 32, 64, 128, 128), (256, 64), seed, spatial_dropout, dropout, classes, input_shape)


def base(*, seed: int = 0, spatial_dropout: float = 0.25, dropout: float = 0.3, classes: int = 10, input_shape: Shape = CIFAR) -> Model:
    """The base net: as light, with convolutions 32, 32, 64, 64, 128, 128 and dense 1024, 512. 1,344,042 parameters."""
    return _vgg("base", (32, 32, 64, 64, 128, 128), (1024, 512), seed, spatial_dropout, dropout, classes, input_shape)


def _vgg(name, filters, units, seed, spatial_dropout, dropout, classes, input_shape):
    layers = [L.InputLayer(_images(name, input_shape, 16))]
    for i, f in enumerate(filters):
        layers += [L.Conv2D(f, 3, padding="same"), L.Activation("relu")]
        layers += [L.SpatialDropout2D(spatial_dropout)] if i in (1, 3, 4, 5) else []
        layers += [L.BatchNormalization()]
        layers += [L.MaxPooling2D()] if i in (1, 3, 4, 5) else []
    layers += [L.Flatten()]
    for n in units:
        layers += [L.Dense(n, activation="relu"), L.Dropout(dropout)]
    return Sequential([*layers, L.Dense(classes, activation="softmax")], name=name, seed=seed)


def notebook(*, seed: int = 0, dropout: float = 0.3, classes: int = 10, input_shape: Shape = CIFAR) -> Model:
    """The network of the student's attack notebook: three times conv 64 same, conv 128 valid, max-pool, dropout; batch-norm; dense.

    ReLU after each convolution. Images in -1..1; ends in logits.
    """
    layers: list[L.Layer] = [L.InputLayer(_images("notebook", input_shape, 22))]
    for _ in range(3):
        layers += [L.Conv2D(64, 3, padding="same", activation="relu"), L.Conv2D(128, 3, activation="relu"), L.MaxPooling2D(), L.Dropout(dropout)]
    return Sequential([*layers, L.Flatten(), L.BatchNormalization(), L.Dense(classes)], name="notebook", seed=seed, input_range=(-1, 1))


def resnet8(*, seed: int = 0, classes: int = 10, input_shape: Shape = CIFAR) -> Model:
    """MLPerf Tiny's image-classification net (Banbury et al. 2021): three residual stacks of 16, 32 and 64 filters. 78,666 parameters.

    Images in 0..1; ends in a softmax.
    """
    start = Input(_images("resnet8", input_shape, 1))
    x = _conv_bn_relu(start, 16, 1)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = _conv_bn_relu(x, filters, stride)
        y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(y))
        if stride > 1:
            x = L.Conv2D(filters, 1, strides=stride, padding="same", kernel_initializer="he_normal")(x)
        x = L.Activation("relu")(L.Add()([x, y]))
    x = L.Flatten()(L.AveragePooling2D(8)(x)) if x.shape[:2] == (8, 8) else L.GlobalAveragePooling2D()(x)
    return Model(start, L.Dense(classes, activation="softmax", kernel_initializer="he_normal")(x), name="resnet8", seed=seed)


def teacher(*, seed: int = 0, classes: int = 10, input_shape: Shape = CIFAR) -> Model:
    """A network to learn from, too large for a small board: close to a ResNet-9 (Page 2018) of half its width. 1,944,298 parameters.

    3x3 convolutions without bias, each before a batch-norm and ReLU: one of 32 filters; then of 64, 128 and 256 one that ends in a
    max-pool and two more whose output is added to it. Global average, dense. 114,133,504 MACC. Images in 0..1; ends in a softmax.
    """
    start = Input(_images("teacher", input_shape, 8))
    x = _conv_bn_relu(start, 32, 1, use_bias=False)
    for filters in (64, 128, 256):
        x = L.MaxPooling2D()(_conv_bn_relu(x, filters, 1, use_bias=False))
        y = _conv_bn_relu(x, filters, 1, use_bias=False)
        x = L.Add()([x, _conv_bn_relu(y, filters, 1, use_bias=False)])
    return Model(start, L.Dense(classes, activation="softmax")(L.GlobalAveragePooling2D()(x)), name="teacher", seed=seed)


def _images(name, shape, least):
    """Return the shape, or raise ShapeError for what is no image of at least that many rows and columns."""
    shape = tuple(shape)
    if len(shape) != 3 or min(shape[:2]) < least:
        size = f" from {least}x{least} on" if least > 1 else ""
        raise ShapeError(f"{name} takes images (H, W, C){size}; this input has the shape {shape}", "a network of your own: --arch FILE")
    return shape


def _conv_bn_relu(x, filters, stride, **options):
    x = L.Conv2D(filters, 3, strides=stride, padding="same", kernel_initializer="he_normal", **options)(x)
    return L.Activation("relu")(L.BatchNormalization()(x))


MODELS = {"light": light, "base": base, "notebook": notebook, "resnet8": resnet8, "teacher": teacher}


def build(name: str, **settings: Any) -> Model:
    """Build a network by its name: light, base, notebook, resnet8 or teacher."""
    if name not in MODELS:
        raise OptionError(f"there is no architecture {name!r}; expected one of {', '.join(MODELS)}{did_you_mean(name, MODELS)}")
    return MODELS[name](**settings)
