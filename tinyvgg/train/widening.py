"""Start a wider network from a trained one's weights: it computes the same, and has room to learn more.

Net2WiderNet (Chen, Goodfellow, Shlens 2016, https://arxiv.org/abs/1511.05641): a wider convolution repeats channels of the
narrow one, and the layer behind it shares each old weight between the copies of its channel. The shares are drawn by a seed:
with equal shares all copies of a channel would get equal gradients, and stay copies for good.
"""
import numpy as np

from tinyvgg.errors import OptionError
from tinyvgg.nn import Model, Sequential, model_from_config
from tinyvgg.rng import generator

#: Layers that do the same to every channel, so that copies of a channel stay copies.
ALONE = ("InputLayer", "Activation", "ReLU", "LeakyReLU", "ELU", "Dropout", "SpatialDropout2D", "MaxPooling2D", "AveragePooling2D",
         "GlobalAveragePooling2D", "GlobalMaxPooling2D", "Flatten", "ZeroPadding2D", "UpSampling2D", "BatchNormalization")


def widen(model: Model, factor: float, *, seed: int = 0) -> Model:
    """Return a Sequential with `factor` times the channels in every convolution and the same answers (to float32's rounding), in float32.

    Dense layers keep their units. factor: 1 to 8; channels are rounded down. seed: which channels get copies, and how these
    share their weights. Raises OptionError for a network that is no chain of Conv2D, batch-norm, pooling, dropout, activations
    and Dense, or that has no Conv2D before its last layer with weights.
    """
    if not np.isfinite(factor) or not 1 <= factor <= 8:
        raise OptionError(f"the factor is {factor:g}; expected 1 to 8", "--widen 1.5")
    wide_ones = _wide_ones(model)
    config = model.get_config()
    for layer in config["layers"]:
        if layer["config"].get("name") in wide_ones:
            layer["config"]["filters"] = int(layer["config"]["filters"] * factor + 1e-9)
    wide, rng = model_from_config(config, seed=model.seed), generator(seed, "widen")
    wide.made_for = model.made_for
    copies = None                                   # of which narrow channel each channel here is a copy; None: as in the narrow net
    for narrow, layer in zip(model.layers, wide.layers, strict=True):
        copies = _fill(narrow, layer, copies, rng)
    return wide


def _wide_ones(model):
    """Names of the convolutions to widen: all before the last layer with weights of its own."""
    if not isinstance(model, Sequential) or len({id(layer) for layer in model.layers}) < len(model.layers):
        raise OptionError(f"{model.name} cannot be widened: it is no chain of layers, each used once; a Sequential of such layers can")
    for layer in model.layers:
        kind = type(layer).__name__
        if kind not in ALONE and kind not in ("Conv2D", "Dense") or getattr(layer, "groups", 1) != 1:
            raise _refusal(model, layer, " in groups" if getattr(layer, "groups", 1) != 1 else "")
    weighted = [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    found = {layer.name for layer in weighted[:-1] if type(layer).__name__ == "Conv2D"}
    if not found:
        raise OptionError(f"{model.name} cannot be widened: it has no Conv2D before its last layer with weights")
    copied = False
    for layer in model.layers:
        copied = layer.name in found if layer in weighted else copied
        if copied and getattr(getattr(layer, "activation", None), "name", None) == "softmax":
            raise _refusal(model, layer, " with a softmax, which copies of a channel would change")
    return found


def _refusal(model, layer, why):
    return OptionError(f"{model.name} cannot be widened: {layer.name} is a {type(layer).__name__}{why}; a chain of Conv2D, batch-norm, "
                       "pooling, dropout, activations and Dense can")


def _fill(narrow, wide, copies, rng):
    """Give a layer the narrow one's values; return of which channels its outputs are copies."""
    kind = type(narrow).__name__
    if kind not in ("Conv2D", "Dense"):
        for name, value in [*narrow.parameters.items(), *narrow.state.items()]:
            _put(wide, name, value if copies is None else value[copies])
        return np.arange(np.prod(narrow.input_shape)).reshape(-1, narrow.input_shape[-1])[:, copies].ravel() \
            if kind == "Flatten" and copies is not None else copies
    kernel = narrow.parameters["kernel"]
    if copies is not None:
        kernel = _share(kernel, copies, rng)
    units, wider = kernel.shape[-1], wide.parameters["kernel"].shape[-1]
    out = None
    if wider != units:
        out = np.concatenate([np.arange(units), *(rng.permutation(units) for _ in range(-(-wider // units) - 1))])[:wider]
        kernel = kernel[..., out]
    _put(wide, "kernel", kernel)
    if "bias" in narrow.parameters:
        bias = narrow.parameters["bias"]
        _put(wide, "bias", bias if out is None else bias[out])
    return out


def _share(kernel, copies, rng):
    """A kernel (..., channels, units) for inputs that are copies: each weight in random shares whose sum is the weight."""
    parts = rng.uniform(0.1, 1, (*kernel.shape[:-2], len(copies), kernel.shape[-1]))
    sums = np.zeros(kernel.shape)
    np.add.at(sums, (..., copies, slice(None)), parts)
    return kernel[..., copies, :] * (parts / sums[..., copies, :])


def _put(layer, name, value):
    place = layer.parameters if name in layer.parameters else layer.state
    place[name][...] = value
