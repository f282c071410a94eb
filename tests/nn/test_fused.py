"""Fused tails over networks that a property-based search draws, against the layers one by one in float64; planted mistakes."""
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinyvgg import kernels
from tinyvgg.errors import ShapeError
from tinyvgg.kernels.fast.elementwise import NO_GATE
from tinyvgg.nn import Sequential, layers
from tinyvgg.nn.fused.convolution import Convolution
from tinyvgg.nn.fused.fully_connected import FullyConnected
from tinyvgg.nn.fused.values import Normalizer

CLOSE = 1e-3        # relative to the largest value: batch statistics of few values amplify what F(4x4,3x3) rounds
MARGIN = 3e-6       # a ReLU or a max-pool that rounding could decide otherwise has no gradient to compare

blocks = st.fixed_dictionaries({
    "filters": st.sampled_from([16, 32, 48]), "kernel_size": st.sampled_from([3, 3, 1, (2, 3)]),
    "strides": st.sampled_from([1, 1, 2]), "padding": st.sampled_from(["same", "valid"]), "use_bias": st.booleans(),
    "relu": st.sampled_from(["before", "after", "none"]), "dropout": st.sampled_from([0.0, 0.3]),
    "norm": st.sampled_from([None, {}, {"scale": False}, {"center": False, "momentum": 0.7}]), "pool": st.booleans()})
networks = st.fixed_dictionaries({
    "images": st.integers(2, 6), "size": st.tuples(st.integers(5, 13), st.integers(5, 13)),
    "channels": st.sampled_from([3, 16, 32]), "blocks": st.lists(blocks, min_size=1, max_size=2),
    "units": st.sampled_from([16, 24]), "dense_dropout": st.sampled_from([0, 0.4]), "training": st.booleans(),
    "seed": st.integers(0, 99)})
EVERYTHING = {"images": 5, "size": (12, 9), "channels": 16, "units": 24, "dense_dropout": 0.4, "training": True, "seed": 0,
              "blocks": [{"filters": 32, "kernel_size": 3, "strides": 1, "padding": "same", "use_bias": True, "relu": "before",
                          "dropout": 0.3, "norm": {}, "pool": True}]}


def build(shape):
    """The network of one draw, every weight stirred."""
    rng = np.random.default_rng(shape["seed"])
    stack = [layers.InputLayer((*shape["size"], shape["channels"]))]
    for block in shape["blocks"]:
        stack.append(layers.Conv2D(block["filters"], block["kernel_size"], strides=block["strides"], padding=block["padding"],
                                   use_bias=block["use_bias"]))
        stack += [layers.ReLU()] * (block["relu"] == "before")
        stack += [layers.SpatialDropout2D(block["dropout"])] if block["dropout"] and block["relu"] == "before" else []
        stack += [layers.BatchNormalization(**block["norm"])] if block["norm"] is not None else []
        stack += [layers.ReLU()] if block["relu"] == "after" and block["norm"] is not None else []
        stack += [layers.MaxPooling2D()] if block["pool"] and block["relu"] == "before" else []
    stack += [layers.Flatten(), layers.Dense(shape["units"]), layers.ReLU()]
    stack += [layers.Dropout(shape["dense_dropout"])] if shape["dense_dropout"] else []
    model = Sequential([*stack, layers.Dense(5)])
    for layer in model.layers:
        for holder in (layer.parameters, layer.state):
            for name in holder:
                holder[name] += rng.uniform(0, 0.3, holder[name].shape).astype(np.float32) * (name != "kernel")
                holder[name] *= rng.choice([-1, 1], holder[name].shape) if name == "gamma" else 1
    return model


def hold_masks(model):
    """Let every dropout draw the same mask again."""
    for index, layer in enumerate(model.layers):
        layer.rng = np.random.default_rng(index)


def is_decided(model, x, training):
    """Whether no ReLU's input is near 0 and no max-pool's two largest are near each other, without being equal."""
    hold_masks(model)
    for layer in model.layers[1:]:
        if isinstance(layer, layers.ReLU) and (np.abs(x) < MARGIN * np.abs(x).max()).any():
            return False
        if isinstance(layer, layers.MaxPooling2D):
            n, h, w, c = x.shape
            cells = x[:, :h // 2 * 2, :w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
            gaps = np.diff(np.sort(cells.reshape(-1, 4), axis=1)[:, 2:], axis=1)
            if ((gaps > 0) & (gaps < MARGIN * np.abs(x).max())).any():
                return False
        x = layer.forward(x, training=training)
    return True


def largest_error(shape):
    """The largest relative difference between plan and layers: logits, input gradient, weight gradients, moving statistics.

    None where the draw makes no network, or one in which rounding decides.
    """
    try:
        model = build(shape)
    except ShapeError:                              # the draw's kernel or pool is larger than what is left of the image
        return None
    rng, training = np.random.default_rng(shape["seed"] + 1), shape["training"]
    x = rng.random((shape["images"], *model.input_shape), dtype=np.float32)
    g = rng.standard_normal((shape["images"], 5)).astype(np.float32)
    exact = model.astype(np.float64)
    with kernels.use("reference"):
        if not is_decided(exact.astype(np.float64), x.astype(np.float64), training):
            return None
        hold_masks(exact)
        pairs = [[exact.forward_logits(x.astype(np.float64), training=training)], [exact.backward_logits(g.astype(np.float64))]]
    assert model.plan() is not None
    hold_masks(model)
    pairs[0].append(model.forward_logits(x, training=training))
    pairs[1].append(model.backward_logits(g))
    for layer, other in zip(model.layers, exact.layers, strict=True):
        pairs += [(other.gradients[key], layer.gradients[key]) for key in layer.parameters]
        pairs += [(other.state[key], layer.state[key]) for key in layer.state]
    return max(np.abs(a - b).max() / max(np.abs(a).max(), 0.01) for a, b in pairs)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks)
def test_any_network(shape):
    error = largest_error(shape)
    assume(error is not None)
    assert error < CLOSE


def no_mask(self, mode):
    return {"mask": self.identity, "mask_image": 0}


MISTAKES = {      # each a method replaced
    "dropout mask forgotten": (Convolution, "_mask", no_mask),
    "ReLU has no gradient": (Convolution, "_gate", lambda self: NO_GATE),
    "ReLU forgotten": (Convolution, "_tail", lambda self, mode, batch, whole: 2),
    "statistics frozen": (Normalizer, "frozen", lambda self, mode: True),
    "dense mask forgotten": (FullyConnected, "_mask", lambda self, mode: {"mask": 0, "mask_image": 0}),
    "dense bias forgotten": (FullyConnected, "_bias", lambda self, program: self.identity + self.columns),
    "window one row off": (Convolution, "_gradient_into", lambda self: {
        "dx": self.source.gradient.shifted(self.padding[0] - 1, self.padding[1]), "fresh": self.source.fresh()}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_planted_mistakes_are_caught(mistake, monkeypatch):
    assert largest_error(EVERYTHING) < CLOSE
    holder, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(holder, name, wrong)
    assert largest_error(EVERYTHING) > CLOSE


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("where", ["image", "kernel", "gamma"])
def test_what_is_not_finite_stays_visible(value, where):
    """In the logits and in the input gradient; images beside a broken one keep theirs."""
    model = build({**EVERYTHING, "training": False})
    x = np.random.default_rng(0).random((3, *model.input_shape), dtype=np.float32)
    if where == "image":
        x[1, 4, 4, 0] = value
    else:
        next(layer for layer in model.layers if where in layer.parameters).parameters[where].reshape(-1)[7] = value
    broken = [False, True, False] if where == "image" else [True] * 3
    with np.errstate(all="ignore"):
        logits = model.forward_logits(x)
        dx = model.backward_logits(logits)
    assert [not np.isfinite(z).all() for z in logits] == broken
    assert [not np.isfinite(d).all() for d in dx] == broken
    with np.errstate(all="ignore"):
        assert not np.isfinite(model.forward_logits(x, training=True)).all()
