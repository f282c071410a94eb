"""The networks of train_step.py beside the project's own: patterns that people build, on CIFAR-10's and MNIST's sizes."""
from functools import partial

from tinyvgg.nn import Input, Model, Sequential
from tinyvgg.nn import layers as L

FILTERS = (32, 32, 64, 64, 128, 128)


def vgg(*behind):
    """Convolutions with `behind` each, the last of which is the activation, and a max-pool after every second: the commonest pattern."""
    stack = [L.InputLayer((32, 32, 3))]
    for index, filters in enumerate(FILTERS):
        stack += [L.Conv2D(filters, 3, padding="same"), *(layer() for layer in behind)] + [L.MaxPooling2D()] * (index % 2)
    return Sequential([*stack, L.Flatten(), L.Dense(128), behind[-1](), L.Dense(10)])


def residual():
    """Four stages of two blocks, 32 to 256 channels, as He et al. (2016) build them."""
    start = Input((32, 32, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(32, 3, padding="same", use_bias=False)(start)))
    for filters, strides in ((32, 1), (64, 2), (128, 2), (256, 2)):
        for block in range(2):
            step = strides if block == 0 else 1
            y = L.Conv2D(filters, 3, strides=step, padding="same", use_bias=False)(x)
            y = L.ReLU()(L.BatchNormalization()(y))
            y = L.BatchNormalization()(L.Conv2D(filters, 3, padding="same", use_bias=False)(y))
            if step > 1:
                x = L.BatchNormalization()(L.Conv2D(filters, 1, strides=step, use_bias=False)(x))
            x = L.ReLU()(L.Add()([x, y]))
    return Model(start, L.Dense(10)(L.GlobalAveragePooling2D()(x)))


def mnist():
    """Keras' example for MNIST, "Simple MNIST convnet"."""
    return Sequential([L.InputLayer((28, 28, 1)), L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(),
                       L.Conv2D(64, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dropout(0.5), L.Dense(10)])


def small():
    """8 and 16 channels: for a microcontroller."""
    stack = [L.InputLayer((32, 32, 3))]
    for filters in (8, 8, 16, 16):
        stack += [L.MaxPooling2D()] * (filters == 16 and len(stack) == 3)
        stack.append(L.Conv2D(filters, 3, padding="same", activation="relu"))
    stack.append(L.MaxPooling2D())
    return Sequential([*stack, L.Flatten(), L.Dense(32, activation="relu"), L.Dense(10)])


def mobile():
    """Depthwise and 1x1 convolutions by turns, as Howard et al. (2017) build them."""
    stack = [L.InputLayer((32, 32, 3)), L.Conv2D(32, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(6.0)]
    for filters, strides in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        stack += [L.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU(6.0),
                  L.Conv2D(filters, 1, use_bias=False), L.BatchNormalization(), L.ReLU(6.0)]
    return Sequential([*stack, L.GlobalAveragePooling2D(), L.Dense(10)])


def average():
    """Sigmoid and average pooling, as LeCun et al. (1998) have them, with more channels."""
    return Sequential([L.InputLayer((32, 32, 3)), L.Conv2D(16, 5, activation="sigmoid"), L.AveragePooling2D(),
                       L.Conv2D(32, 5, activation="sigmoid"), L.AveragePooling2D(), L.Flatten(),
                       L.Dense(120, activation="sigmoid"), L.Dense(84, activation="sigmoid"), L.Dense(10)])


NETWORKS = {"conv-bn": partial(vgg, L.BatchNormalization, L.ReLU), "residual": residual, "mnist": mnist, "small": small, "mobile": mobile,
            "leaky": partial(vgg, partial(L.LeakyReLU, 0.1)), "average": average}
