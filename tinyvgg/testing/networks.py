"""Random networks from the whole layer set, float and integer: one generator for every check that wants a graph nobody chose.

    model = random_network(7)                       # seed 7: the same network on every machine
    model = random_network(7, chain=True)           # a Sequential
    model = random_network(7, integer=True)         # of layers that the integer model has

`source` is a seed, or a random.Random: hypothesis.strategies.randoms(use_true_random=False) gives one whose draws it shrinks.
To add a layer: a function below, and a row in IMAGE_BLOCKS, SERIES_BLOCKS or VECTOR_BLOCKS; a test holds the rows against nn.layers.LAYERS.
"""
import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyvgg import nn
from tinyvgg.nn import layers as L

CHANNELS = (1, 2, 3, 4, 5, 8, 16, 17, 33)                # whole vectors of any machine, and what is left over
SMOOTH = ("elu", "silu", "sigmoid", "tanh", "gelu", "softplus", "hard_sigmoid", "selu", "mish", "softsign")
INTEGER_ACTIVATIONS = ("relu", "relu6", "leaky_relu", "linear")
# What acts in training alone.
NOISE = (L.Dropout, L.SpatialDropout2D, L.GaussianNoise, L.GaussianDropout, L.AlphaDropout, lambda rate: L.TrainingOnly("RandomFlip"))


@dataclass(frozen=True)
class Block:
    """One step: make(node, draw) -> node. `integer`: the integer model has it; `joins`: it is no chain of layers."""
    make: Any
    integer: bool = True
    joins: bool = False


class Draw:
    """A random.Random's draws, and the kind of network they are for; what a block gets."""

    def __init__(self, source, *, integer=False, chain=False, widest=33):
        drawn = source if isinstance(source, random.Random) else random.Random(source)
        self.random, self.choice, self.randint, self.shuffle = drawn.random, drawn.choice, drawn.randint, drawn.shuffle
        self.integer, self.chain, self.widest = integer, chain, widest

    def channels(self):
        """A number of channels, filters or units."""
        return self.choice([n for n in CHANNELS if n <= self.widest])

    def one_of(self, table, node):
        """The node that a block of the table makes of `node`."""
        allowed = [b for b in table.values() if (b.integer or not self.integer) and not (b.joins and self.chain)]
        return self.choice(allowed).make(node, self)


def random_network(source, *, integer=False, chain=False, blocks=4, largest=9, widest=33, input_shape=None):
    """Return a nn.Model (a Sequential with `chain`) of 1 to `blocks` random blocks and a head, every weight random.

    source: int seed or random.Random. integer: only what quant lowers. largest: of the image's height and width; widest: of
    filters and units. input_shape: (H, W, C), drawn if None; then one in eight is a series (L, C), one in twenty (n,).
    """
    draw = Draw(source, integer=integer, chain=chain, widest=widest)
    smallest, kind = 3 if integer else 1, draw.random()
    if input_shape is None and kind < 0.05:
        input_shape = (draw.randint(1, 40),)
    elif input_shape is None and kind < 0.175:
        input_shape = draw.randint(3, 2 * largest), draw.choice((1, 2, 3, 5, 8))
    elif input_shape is None:
        input_shape = draw.randint(smallest, largest), draw.randint(smallest, largest), draw.choice((1, 2, 3, 3, 4, 16))
    start = node = nn.Input(input_shape)
    for _ in range(draw.randint(1, blocks) if len(input_shape) > 1 else 0):
        node = draw.one_of(IMAGE_BLOCKS if len(input_shape) == 3 else SERIES_BLOCKS, node)
    node = _head(node, draw)
    settings = {"seed": draw.randint(0, 2 ** 16), "input_range": draw.choice(((0.0, 1.0), (-1.0, 1.0)))}
    model = nn.Sequential(_chain_of(node), **settings) if chain else nn.Model(start, node, **settings)
    return randomise(model, np.random.default_rng(draw.randint(0, 2 ** 32)), dead=draw.choice((0, 0.1)))


def randomise(model, generator, *, dead=0.1):
    """Give batch-norms gains of both signs, some near 0 or 0, biases everywhere, and some channels without weights; return model."""
    for layer in model.layers:
        for name, array in layer.parameters.items():
            if name == "gamma":
                array[...] = generator.choice([-1, 1], array.shape) * generator.uniform(0.3, 1.5, array.shape)
                array[generator.random(array.shape) < 0.1] *= 10.0 ** -generator.integers(2, 9)
                array[generator.random(array.shape) < 0.03] = 0
            elif name in ("beta", "bias"):
                array[...] = generator.normal(0, 0.5, array.shape)
            elif name == "alpha":
                array[...] = generator.uniform(-0.5, 1.0, array.shape)
            elif generator.random() < 0.5:
                array[..., generator.random(array.shape[-1]) < dead] = 0
        for array in layer.state.values():
            array[...] = generator.uniform(0.02, 0.5, array.shape)
    return model


# --- how a network is put together ------------------------------------------------------------------------------------------


def _head(node, draw):
    """From an image or a vector to the logits, (classes,)."""
    if len(node.shape) == 3:
        end = draw.choice((L.Flatten, L.GlobalAveragePooling2D, L.GlobalMaxPooling2D))
        node = (draw.choice((L.Flatten, lambda: L.Reshape((-1,)))) if end is L.Flatten else end)()(node)
    elif len(node.shape) == 2:
        node = draw.choice((L.Flatten, L.GlobalAveragePooling1D, L.GlobalMaxPooling1D))()(node)
    for _ in range(draw.choice((0, 0, 1, 2))):
        node = draw.one_of(VECTOR_BLOCKS, node)
    if node.inputs and node.shape[0] > 1 and not draw.integer and draw.random() < 0.05:
        return node
    end = draw.choice((None, "softmax", "layer", "sigmoid"))
    node = L.Dense(draw.randint(2, 5), activation=None if end == "layer" else end, use_bias=draw.random() < 0.8)(node)
    return L.Softmax()(node) if end == "layer" else node


def _chain_of(node):
    """The layers of a node that each have one input, first to last."""
    layers = [node.layer]
    while node.inputs:
        node = node.inputs[0]
        layers.append(node.layer)
    return layers[::-1]


def _activation(draw):
    if draw.random() < 0.6:
        return draw.choice(INTEGER_ACTIVATIONS)
    return draw.choice((*SMOOTH, "softmax"))


def _window(node, draw, *, dilated=False, largest=3):
    """Settings of a window that leaves something of the node's image."""
    h, w, _ = node.shape
    padding, strides, dilation = draw.choice(("same", "valid")), draw.choice((1, 1, 2, (1, 2), (3, 1))), 1
    size = tuple(draw.randint(1, largest if padding == "same" else min(largest, n)) for n in (h, w))
    if dilated and strides == 1 and padding == "same" and draw.random() < 0.2:
        dilation = draw.choice((2, (1, 2)))
    return size, {"padding": padding, "strides": strides, **({"dilation_rate": dilation} if dilated else {})}


# --- blocks: make(node, draw) -> node --------------------------------------------------------------------------------


def _conv(node, draw):
    size, settings = _window(node, draw, dilated=True, largest=draw.choice((3, 3, 5)))
    groups, filters = 1, draw.channels()
    if not draw.integer and draw.random() < 0.15:
        groups = draw.choice([g for g in (1, 2, 3, 4) if node.shape[2] % g == 0])
        filters = groups * draw.randint(1, 5)
    inside = draw.choice((None, _activation(draw)))
    return _followed(L.Conv2D(filters, size, groups=groups, activation=inside, use_bias=draw.random() < 0.7, **settings)(node), draw)


def _depthwise(node, draw):
    size, settings = _window(node, draw)
    return _followed(L.DepthwiseConv2D(size, depth_multiplier=draw.randint(1, 2), use_bias=draw.random() < 0.7, **settings)(node), draw)


def _separable(node, draw):
    size, settings = _window(node, draw)
    return _followed(L.SeparableConv2D(draw.channels(), size, depth_multiplier=draw.randint(1, 2), **settings)(node), draw)


def _followed(node, draw):
    """Activation, batch-norm, dropout in any order, each perhaps; then perhaps a pool, and one more batch-norm."""
    steps = [_activate, _normalise, lambda n, d: draw.choice(NOISE)(0.3)(n)]
    draw.shuffle(steps)
    for step in steps:
        node = step(node, draw) if draw.random() < 0.6 else node
    if min(node.shape[:2]) >= 2 and draw.random() < 0.4:
        node = L.MaxPooling2D(2)(node)
        node = L.BatchNormalization()(node) if draw.random() < 0.25 else node
    return node


def _activate(node, draw):
    shared = draw.choice((None, (1, 2))) if len(node.shape) == 3 else None
    kinds = [lambda: L.Activation(_activation(draw)), L.ReLU, L.ReLU6, lambda: L.LeakyReLU(draw.choice((0.1, 0.3))),
             lambda: L.ReLU(max_value=1.0, negative_slope=0.2, threshold=0.3), lambda: L.ELU(0.7), L.SiLU, L.Sigmoid, L.Tanh]
    kinds += [L.Softmax, lambda: L.PReLU(shared_axes=shared)]
    return draw.choice(kinds)()(node)


def _normalise(node, draw):
    return L.BatchNormalization(scale=draw.random() < 0.9, center=draw.random() < 0.9, momentum=draw.choice((0.99, 0.7)),
                                epsilon=draw.choice((1e-3, 1e-2)), trainable=draw.random() < 0.9)(node)


def _pool(kind):
    """Pools of one kind."""
    def make(node, draw):
        size, settings = _window(node, draw)
        return kind(size, **settings)(node)
    return make


def _residual(node, draw):
    """A sum of two or three paths, one of them the value itself."""
    paths = [node]
    for _ in range(draw.randint(1, 2)):
        path = L.Conv2D(node.shape[2], draw.choice((1, 3)), padding="same")(node)
        paths.append(L.BatchNormalization()(path) if draw.random() < 0.5 else path)
    node = L.Add()(paths)
    return L.Activation(_activation(draw))(node) if draw.random() < 0.5 else node


def _concatenated(node, draw):
    other = L.Conv2D(draw.channels(), draw.choice((1, 3)), padding="same", activation=draw.choice((None, "relu")))(node)
    return L.Concatenate()([node, other] if draw.random() < 0.5 else [other, node, other])


def _twice(node, draw):
    """One layer at two places: its weights are shared, its gradients summed."""
    layer = L.Conv2D(node.shape[2], 3, padding="same")
    return layer(L.Activation("relu")(layer(node)))


def _padded(node, draw):
    """A border of zeros that a convolution or a pool reads; or one cut off."""
    sides = draw.choice((1, (1, 2), ((1, 0), (0, 2))))
    if min(node.shape[:2]) > 4 and draw.random() < 0.3:
        return L.Cropping2D(sides)(node)
    reader = draw.choice((lambda: L.Conv2D(draw.channels(), draw.choice((1, 2))), lambda: L.MaxPooling2D(2),
                          lambda: L.AveragePooling2D(2), lambda: L.Activation("tanh")))
    return reader()(L.ZeroPadding2D(sides)(node))


def _repeated(node, draw):
    """A small map made larger, or, of floats, of any size."""
    if not draw.integer and draw.random() < 0.3:
        return L.Resizing(draw.randint(1, 9), draw.randint(1, 9), draw.choice(("bilinear", "nearest")))(node)
    return L.UpSampling2D(draw.choice((2, (1, 3))))(node) if max(node.shape[:2]) <= 5 else node


def _rescaled(node, draw):
    if draw.random() < 0.5:
        return L.Normalization(mean=draw.choice((0.0, 0.1)), variance=draw.choice((0.5, 4.0)))(node)
    return L.Rescaling(draw.choice((2.0, 0.5)), draw.choice((0.0, -0.1 if draw.integer else -1.0)))(node)


def _kept(node, draw):
    """A global pool that leaves an image of one pixel, and a convolution of it."""
    pool = draw.choice((L.GlobalAveragePooling2D, L.GlobalMaxPooling2D))
    return L.Conv2D(draw.channels(), 1)(pool(keepdims=True)(node))


def _gated(node, draw):
    """The value times a gate a channel, as in squeeze and excitation; or another joining of two paths, value by value."""
    path = L.Conv2D(node.shape[2], 1)(node)
    if draw.random() < 0.3:
        pooled = L.GlobalAveragePooling2D(keepdims=True)(node)
        return L.Multiply()([node, L.Conv2D(node.shape[2], 1, activation=draw.choice(("sigmoid", "hard_sigmoid")))(pooled)])
    join = draw.choice((L.Multiply, L.Average, L.Maximum, L.Subtract))
    return join()([node, path] if join is L.Subtract or draw.random() < 0.5 else [path, node, path])


def _turned(node, draw):
    """Axes in another order, or a softmax along one of them."""
    if draw.random() < 0.5:
        return L.Softmax(axis=draw.choice((1, 2, 3, -1)))(node)
    return L.Permute(draw.choice(((2, 1, 3), (3, 1, 2), (1, 3, 2))))(node) if max(node.shape) <= 16 else node


def _series_conv(node, draw):
    size, strides = draw.randint(1, 3), draw.choice((1, 1, 2))
    padding = draw.choice(("same", "causal", "valid") if node.shape[0] >= size else ("same",))
    kinds = [lambda: L.Conv1D(draw.channels(), size, strides=strides, padding=padding, activation=draw.choice((None, _activation(draw)))),
             lambda: L.DepthwiseConv1D(size, padding="same", depth_multiplier=draw.randint(1, 2)),
             lambda: L.SeparableConv1D(draw.channels(), size, padding="same")]
    node = draw.choice(kinds)()(node)
    for step in (_normalise, _activate, lambda n, d: L.SpatialDropout1D(0.3)(n)):
        node = step(node, draw) if draw.random() < 0.4 else node
    return node


def _series_pool(node, draw):
    kind = draw.choice((L.MaxPooling1D, L.AveragePooling1D))
    return kind(draw.randint(1, min(3, node.shape[0])), strides=draw.choice((None, 1, 2)), padding=draw.choice(("same", "valid")))(node)


def _series_moved(node, draw):
    """Steps added, cut off or repeated; steps and channels in turn."""
    kinds = [lambda: L.ZeroPadding1D(draw.choice((1, (0, 2))))]
    kinds += [lambda: L.UpSampling1D(2), lambda: L.Permute((2, 1))] if node.shape[0] <= 16 else []
    kinds += [lambda: L.Cropping1D(1)] if node.shape[0] > 4 else []
    return draw.choice(kinds)()(node)


def _recurrent(node, draw):
    kind, more = draw.choice(((L.LSTM, {}), (L.SimpleRNN, {}), (L.GRU, {}), (L.GRU, {"reset_after": False})))
    layer = kind(draw.randint(1, 6), return_sequences=True, go_backwards=draw.random() < 0.3, **more)
    return (L.Bidirectional(layer, draw.choice(("concat", "sum", "ave", "mul"))) if draw.random() < 0.3 else layer)(node)


def _layer_normalised(node, draw):
    """Of a few values their variance would be near 0, where rounding decides."""
    return L.LayerNormalization(epsilon=draw.choice((1e-3, 1e-2)))(node) if node.shape[-1] > 2 else node


def _series_dense(node, draw):
    return L.Dense(draw.channels(), activation=_activation(draw))(node)


def _rows(node, draw):
    """A dense layer along the rows of an image taken as a list of pixels, and back to an image."""
    h, w, _ = node.shape
    units = draw.channels()
    rows = L.Dense(units, activation=_activation(draw))(L.Reshape((h * w, -1))(node))
    return L.Reshape((h, w, units))(rows)


def _dense(node, draw):
    inside = draw.choice((None, _activation(draw)))
    node = L.Dense(draw.channels(), activation=inside, use_bias=draw.random() < 0.8)(node)
    for step in (_activate, _normalise, lambda n, d: L.Dropout(0.4)(n)):
        node = step(node, draw) if draw.random() < 0.3 else node
    return node


def _dense_sum(node, draw):
    return L.Add()([node, L.Dense(node.shape[0], activation=_activation(draw))(node)])


def _dense_gate(node, draw):
    return draw.choice((L.Multiply, L.Maximum, L.Average))()([node, L.Dense(node.shape[0], activation="sigmoid")(node)])


def _dense_beside(node, draw):
    return L.Concatenate()([node, L.Dense(draw.channels())(node)])


IMAGE_BLOCKS = {
    "conv": Block(_conv), "conv, more": Block(_conv), "depthwise": Block(_depthwise), "separable": Block(_separable),
    "max pool": Block(_pool(L.MaxPooling2D)), "average pool": Block(_pool(L.AveragePooling2D)), "residual": Block(_residual, joins=True),
    "concatenate": Block(_concatenated, joins=True), "gated": Block(_gated, joins=True), "turned": Block(_turned),
    "shared layer": Block(_twice, joins=True), "zero padding": Block(_padded), "up sampling": Block(_repeated),
    "rescaling": Block(_rescaled), "global, kept": Block(_kept), "rows": Block(_rows), "activation": Block(_activate, integer=False),
    "batch norm": Block(_normalise), "layer norm": Block(_layer_normalised, integer=False),
}
SERIES_BLOCKS = {
    "conv": Block(_series_conv), "conv, more": Block(_series_conv), "pool": Block(_series_pool), "moved": Block(_series_moved),
    "dense": Block(_series_dense), "batch norm": Block(_normalise), "recurrent": Block(_recurrent, integer=False),
}
VECTOR_BLOCKS = {
    "dense": Block(_dense), "batch norm": Block(lambda node, draw: L.BatchNormalization()(node)),
    "dense sum": Block(_dense_sum, joins=True), "dense beside": Block(_dense_beside, joins=True),
    "dense gate": Block(_dense_gate, joins=True),
}
