"""Small networks for the tests of the integer model, with weights and batch-norms that hide nothing."""

import numpy as np
from hypothesis import strategies as st

from tinyvgg import nn
from tinyvgg.nn import layers as L


def randomise(model, generator, *, dead=0.1):
    """Give batch-norms gains of both signs, some near 0 or 0, biases everywhere, and some channels without weights."""
    for layer in model.layers:
        for name, array in layer.parameters.items():
            if name == "gamma":
                array[...] = generator.choice([-1, 1], array.shape) * generator.uniform(0.3, 1.5, array.shape)
                array[generator.random(array.shape) < 0.1] *= 10.0 ** -generator.integers(2, 9)
                array[generator.random(array.shape) < 0.03] = 0
            elif name in ("beta", "bias"):
                array[...] = generator.normal(0, 0.5, array.shape)
            elif generator.random() < 0.5:
                array[..., generator.random(array.shape[-1]) < dead] = 0
        for array in layer.state.values():
            array[...] = generator.uniform(0.02, 0.5, array.shape)
    return model


def small(classes=4, seed=0):
    """A network of every fused tail, untrained."""
    return nn.Sequential(
        [
            L.InputLayer((8, 8, 3)),
            L.Conv2D(8, 3, padding="same"),
            L.Activation("relu"),
            L.BatchNormalization(),
            L.Conv2D(12, 3, padding="same"),
            L.Activation("relu"),
            L.BatchNormalization(),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(16, activation="relu"),
            L.Dense(classes, activation="softmax"),
        ],
        seed=seed,
    )


@st.composite
def models(draw):
    """A random small graph of all covered layers on (H, W, C) images."""
    h, w, c = draw(st.integers(3, 8)), draw(st.integers(3, 8)), draw(st.integers(1, 3))
    input_range = draw(st.sampled_from([(0.0, 1.0), (-1.0, 1.0)]))
    start = node = nn.Input((h, w, c))
    for _ in range(draw(st.integers(1, 3))):
        node = draw(_block(node))
    kind = draw(st.sampled_from(["flatten", "average", "global max"]))
    node = {"flatten": L.Flatten, "average": L.GlobalAveragePooling2D, "global max": L.GlobalMaxPooling2D}[kind]()(node)
    if draw(st.booleans()):
        node = L.Dense(draw(st.integers(1, 6)), activation=draw(st.sampled_from(["relu", "relu6", None])))(node)
    if draw(st.booleans()):
        node = L.BatchNormalization()(node)
    node = L.Dense(draw(st.integers(2, 5)), activation=draw(st.sampled_from(["softmax", None])))(node)
    model = nn.Model(start, node, seed=draw(st.integers(0, 2**16)), input_range=input_range)
    return randomise(model, np.random.default_rng(draw(st.integers(0, 2**16))))


@st.composite
def _block(draw, node):
    """A convolution with what may follow it, or a residual pair, or a pool."""
    h, w, c = node.shape
    activation = draw(st.sampled_from(["relu", "relu6", "leaky_relu", "linear"]))
    kind = draw(st.sampled_from(["conv", "depthwise", "separable", "residual", "average", "max"]))
    if kind == "residual":
        other = L.Conv2D(c, draw(st.sampled_from([1, 3])), padding="same")(node)
        other = L.BatchNormalization()(other) if draw(st.booleans()) else other
        node = L.Add()([node, other])
    elif kind == "average":
        return L.AveragePooling2D((min(2, h), min(2, w)), strides=draw(st.integers(1, 2)))(node)
    elif kind == "max":
        return L.MaxPooling2D(2, strides=draw(st.integers(1, 2)),
                              padding=draw(st.sampled_from(["same", "valid"]) if min(h, w) > 1 else st.just("same")))(node)
    else:
        size = (draw(st.integers(1, min(3, h))), draw(st.integers(1, min(3, w))))
        settings = {"padding": draw(st.sampled_from(["same", "valid"])), "strides": draw(st.integers(1, 2)),
                    "use_bias": draw(st.booleans())}
        if kind == "depthwise":
            node = L.DepthwiseConv2D(size, depth_multiplier=draw(st.integers(1, 2)), **settings)(node)
        else:
            node = (L.Conv2D if kind == "conv" else L.SeparableConv2D)(draw(st.integers(1, 5)), size, **settings)(node)
    steps = [L.Activation(activation), L.BatchNormalization(), L.Dropout(0.5)]
    for step in draw(st.permutations(steps)):
        node = step(node) if draw(st.booleans()) or isinstance(step, L.Activation) else node
    if min(node.shape[:2]) >= 2 and draw(st.booleans()):
        node = L.MaxPooling2D(2)(node)
        node = L.BatchNormalization()(node) if draw(st.integers(0, 3)) == 0 else node
    return node
