"""Turn a network into a float graph: batch-norms, activations and pools are merged into the convolution before them.

A batch-norm directly after a convolution or dense layer is folded into its weights; one after the activation becomes the tail's
gain and shift, as does one after a max-pool if its gains are not negative. A batch-norm that cannot be merged into an earlier op
becomes a depthwise 1x1 convolution of ones with that tail or, before a dense layer, is merged into that layer's weights. A result
with two axes, (steps, channels), is a map of one row here, and one-dimensional layers become two-dimensional ones.
"""

from dataclasses import replace

import numpy as np

from tinyvgg.errors import NotYet, QuantError
from tinyvgg.nn import layers as L
from tinyvgg.nn.graph import call_names
from tinyvgg.nn.layers._spatial import padding_for
from tinyvgg.quant import ops
from tinyvgg.quant.fusion import Fusion
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.ops.activation import FUNCTIONS, NO_MAXIMUM
from tinyvgg.quant.ops.base import f32

NO_PADDING = ((0, 0), (0, 0))


def fuse(model):
    """Return the float Graph of an nn.Model; raise NotYet that names a layer it does not cover, QuantError for NaN weights."""
    for name, array in model.weights:
        if not np.isfinite(array).all():
            raise QuantError(
                f"weight {name} holds NaN or infinity; expected finite numbers", "an earlier checkpoint of the training"
            )
    work = Fusion(model, _uses(model), _RULES)
    for layer, name, inputs, shape in _steps(model):
        work.add(layer, name, inputs, shape)
    if len(shape) == 1:
        work.settle(name)
        work.flatten(name, work.own(name, "flat"))
    return Graph(name=model.name, ops=work.finished(), input_range=model.input_range)


def _steps(model):
    """(layer, name of its result, names of its inputs, shape of its result) in order."""
    names = call_names(model.nodes)
    return [(node.layer, name, [names[n] for n in node.inputs], node.shape) for node, name in names.items()]


def _uses(model):
    """How many steps read each result."""
    counts = {}
    for _, _, inputs, _ in _steps(model):
        for name in inputs:
            counts[name] = counts.get(name, 0) + 1
    return counts


# --- one rule a layer: rule(fusion, layer, name, inputs, shape) ---------------------------------------------------------


def _input(work, layer, name, inputs, shape):
    work.put(ops.Image(name=name, inputs=(), shape=shape))


def _rescaling(work, layer, name, inputs, shape):
    op = work.before(inputs)
    if isinstance(layer, L.Normalization):
        mean, deviation = (np.asarray(v, np.float64) for v in layer.statistics(shape))
        if max(mean.shape[:-1], default=1) > 1:
            raise NotYet(f"the integer model has no Normalization along axis {layer.axis} ({name!r}), only of channels")
        gain, shift = (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    else:
        gain, shift = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    gain, shift = (np.broadcast_to(v.ravel(), shape[-1]) for v in (gain, shift))
    if isinstance(op, ops.Image) and work.private(op, name) and np.ptp(gain) == 0 and np.ptp(shift) == 0:
        gain, shift = float(gain[0]), float(shift[0])
        work.put(replace(op, gain=op.gain * gain, shift=op.shift * gain + shift), name)
    else:
        _affine(work, name, inputs, shape, gain, shift)


def _pass(work, layer, name, inputs, shape):
    work.holder[name] = work.holder[inputs[0]]
    if inputs[0] in work.scaled:
        work.scaled[name] = work.scaled.pop(inputs[0])


def _reshape(work, layer, name, inputs, shape):
    _pass(work, layer, name, inputs, shape)
    if len(shape) != 1 and shape != work.ops[work.holder[name]].shape:
        if name in work.scaled:
            work.settle(name)
        work.reshape(name, shape, name)


def _conv2d(work, layer, name, inputs, shape):
    if layer.groups == work.before(inputs).shape[-1] > 1:
        weights = layer.parameters["kernel"][:, :, 0].transpose(2, 0, 1)
        work.put(_convolution(work, ops.DepthwiseConv2D, layer, name, inputs, shape, weights))
        return _activate(work, layer, name)
    if layer.groups != 1:
        raise NotYet(f"the integer model has no Conv2D of {layer.groups} groups ({name!r})", "a DepthwiseConv2D, or groups=1")
    weights = layer.parameters["kernel"].transpose(3, 0, 1, 2)
    work.put(_convolution(work, ops.Conv2D, layer, name, inputs, shape, weights))
    _activate(work, layer, name)


def _convolution(work, cls, layer, name, inputs, shape, weights):
    size = work.before(inputs).shape[:2]
    added = work.padded.pop(inputs[0], NO_PADDING)
    size = tuple(n + sum(p) for n, p in zip(size, added, strict=True))
    own = padding_for(layer.padding, size, layer.kernel_size, layer.strides, layer.dilation_rate)
    padding = tuple((int(a + c), int(b + d)) for (a, b), (c, d) in zip(added, own, strict=True))
    return cls(name=name, inputs=(work.holder[inputs[0]],), shape=shape, weights=f32(weights), strides=layer.strides,
               padding=padding, dilation=layer.dilation_rate, tail=_bias(layer, shape))


def _bias(layer, shape):
    """The tail of an op whose activation is still to come."""
    return ops.FloatTail(bias=f32(layer.parameters.get("bias", np.zeros(shape[-1]))))


def _depthwise(work, layer, name, inputs, shape):
    work.put(_spread(work, layer, name, inputs, shape))
    _activate(work, layer, name)


def _spread(work, layer, name, inputs, shape):
    """The op of a depthwise_kernel (KH, KW, C, M)."""
    weights = layer.parameters["depthwise_kernel"].reshape(*layer.kernel_size, shape[-1]).transpose(2, 0, 1)
    return _convolution(work, ops.DepthwiseConv2D, layer, name, inputs, shape, weights)


def _separable(work, layer, name, inputs, shape):
    channels = layer.parameters["pointwise_kernel"].shape[2]
    first = _spread(work, layer, work.own(name, "depthwise"), inputs, (*shape[:2], channels))
    work.put(replace(first, tail=ops.FloatTail(bias=np.zeros(channels, np.float32))))
    work.put(ops.Conv2D(name=name, inputs=(first.name,), shape=shape,
                        weights=f32(layer.parameters["pointwise_kernel"].transpose(3, 0, 1, 2)), tail=_bias(layer, shape)))
    _activate(work, layer, name)


def _dense(work, layer, name, inputs, shape):
    kernel, bias = layer.parameters["kernel"], layer.parameters.get("bias", np.zeros(shape[-1])).astype(np.float64)
    if len(shape) != 1:                     # at every pixel: a convolution by 1x1
        work.put(ops.Conv2D(name=name, inputs=(work.holder[inputs[0]],), shape=shape, weights=f32(kernel.T[:, None, None]),
                        tail=ops.FloatTail(bias=f32(bias))))
        return _activate(work, layer, name)
    if inputs[0] in work.scaled:  # W (g x + s) + b = (W g) x + (W s + b)
        gain, shift = work.scaled.pop(inputs[0])
        kernel, bias = kernel * gain[:, None], bias + shift @ kernel
    work.put(ops.Dense(name=name, inputs=(work.holder[inputs[0]],), shape=shape, weights=f32(kernel.T),
                       tail=ops.FloatTail(bias=f32(bias))))
    if name == work.end and work.head:
        work.put_head(name, [name], shape)
    else:
        _activate(work, layer, name)


def _activate(work, layer, name):
    """Add the activation of a layer whose result is `name`."""
    if layer.activation.name == "softmax":
        _softmax(work, name, [name], work.own(name, "softmax"))
    else:
        work.activate(name, [name], _activation(layer.activation, name))


def _softmax(work, name, inputs, own, axis=-1):
    """Add a softmax inside the network, along one axis, counted from the last. own: the op's name."""
    if len(work.shapes[name]) == 1:
        work.flatten(inputs[0], work.own(own, "flat"))
    op = work.before(inputs)
    if not work.uses.get(name, 0):
        raise NotYet(f"the integer model has no softmax of {op.shape} at the end ({name!r}), only of a vector",
                     "Flatten() or a global pool before it, or the network without it")
    if axis == -1:
        work.put(ops.ChannelSoftmax(name=own, inputs=(op.name,), shape=op.shape), name)
        return
    axes = [0, 1, 2]
    axes.append(axes.pop(axis))
    turned = work.permute(op, axes, work.own(own, "turned"))
    rows = ops.ChannelSoftmax(name=work.own(own, "rows"), inputs=(turned.name,), shape=turned.shape)
    work.put(rows)
    work.permute(rows, [axes.index(i) for i in range(3)], own)


def _softmax_layer(work, layer, name, inputs, shape):
    if name == work.end and work.head:
        work.put_head(name, inputs, shape)
        return
    _softmax(work, name, inputs, name, layer.axis - len(work.shapes[name]) - 1 if layer.axis > 0 else layer.axis)


def _permute(work, layer, name, inputs, shape):
    axes = [0, *layer.dims] if len(layer.dims) == 2 else [d - 1 for d in layer.dims]
    if len(layer.dims) > 1:
        work.permute(work.before(inputs), axes, name)
    else:
        _pass(work, layer, name, inputs, shape)


def _multiply(work, layer, name, inputs, shape):
    """Multiply several inputs as a chain of products of two."""
    factors = [work.levelled(op) for op in work.alike(inputs)]
    for i, op in enumerate(factors[1:], 1):
        own = name if i == len(factors) - 1 else work.own(name, i)
        before = factors[0] if i == 1 else work.ops[work.own(name, i - 1)]
        work.put(ops.Multiply(name=own, inputs=(before.name, op.name), shape=tuple(np.broadcast_shapes(before.shape, op.shape))), name)


def _batch_norm(work, layer, name, inputs, shape):
    variance = layer.state["moving_variance"].astype(np.float64)
    gain = 1 / np.sqrt(variance + layer.epsilon) * layer.parameters.get("gamma", 1.0)
    shift = layer.parameters.get("beta", 0.0) - layer.state["moving_mean"] * gain
    _affine(work, name, inputs, shape, gain, shift)


def _affine(work, name, inputs, shape, gain, shift):
    """Apply gain * x + shift by channel: merged into the op before or the dense layer after, or as a separate op."""
    op = work.before(inputs)
    if len(shape) == 1 and op.shape[-1] != shape[0]:  # after Flatten: one gain for each pixel
        before = work.scaled.pop(inputs[0], (1.0, 0.0))
        work.scaled[name] = gain * before[0], gain * before[1] + shift
        work.holder[name] = op.name
        return
    if not work.takes(op, name) or (op.pool and (gain < 0).any()):
        work.identity(name, inputs, gain=f32(gain), shift=f32(shift))
    elif op.tail.activation == "none" and op.tail.gain is None and not op.pool:
        weights = op.weights * ops.along(gain, op.weights)
        work.put(replace(op, weights=f32(weights), tail=replace(op.tail, bias=f32(op.tail.bias * gain + shift))), name)
    else:
        one, none = (1.0, 0.0) if op.tail.gain is None else (op.tail.gain, op.tail.shift)
        work.put(replace(op, tail=replace(op.tail, gain=f32(one * gain), shift=f32(none * gain + shift))), name)


def _max_pool(work, layer, name, inputs, shape):
    op = work.before(inputs)
    padding = padding_for(layer.padding, op.shape[:2], layer.pool_size, layer.strides)
    if work.takes(op, name) and not op.pool and padding == NO_PADDING:
        work.put(replace(op, shape=shape, pool=(*layer.pool_size, *layer.strides)), name)
    else:
        _own_op(ops.MaxPool2D)(work, layer, name, inputs, shape)


def _average_pool(work, layer, name, inputs, shape):
    padding = padding_for(layer.padding, work.before(inputs).shape[:2], layer.pool_size, layer.strides)
    if padding == NO_PADDING:
        _own_op(ops.AveragePool2D)(work, layer, name, inputs, shape)
    else:
        work.put(ops.PaddedAveragePool2D(name=name, inputs=(work.holder[inputs[0]],), shape=shape, pool_size=layer.pool_size,
                                     strides=layer.strides, padding=padding))


def _own_op(cls):
    """Return the rule of a layer that becomes a separate op by cls.from_layer."""
    def rule(work, layer, name, inputs, shape):
        before = work.alike(inputs) if layer.joins else [work.ops[work.holder[i]] for i in inputs]
        work.put(cls.from_layer(layer, before, name=name, inputs=tuple(op.name for op in before), shape=shape))
    return rule


def _activation_layer(work, layer, name, inputs, shape):
    if name == work.end and work.head:
        work.put_head(name, inputs, shape)
    elif isinstance(layer, L.Activation) and layer.activation.name == "softmax":
        _softmax(work, name, inputs, name)
    else:
        work.activate(name, inputs, _activation(layer.activation if isinstance(layer, L.Activation) else layer, name))


def _prelu(work, layer, name, inputs, shape):
    alpha = layer.parameters["alpha"]
    slope = float(alpha.flat[0])
    if (alpha == slope).all() and 0 <= slope < 1:
        work.activate(name, inputs, _relu(slope))
        return
    op = work.levelled(work.alike(inputs)[0])
    work.put(ops.PRelu(name=name, inputs=(op.name,), shape=op.shape, alpha=f32(alpha.reshape((1,) * (len(op.shape) - alpha.ndim) + alpha.shape))))


def _layer_norm(work, layer, name, inputs, shape):
    op = work.alike(inputs)[0]
    gain, shift = layer.parameters.get("gamma", np.ones(shape[-1])), layer.parameters.get("beta", np.zeros(shape[-1]))
    work.put(ops.LayerNorm(name=name, inputs=(op.name,), shape=op.shape, gain=f32(gain), shift=f32(shift), epsilon=layer.epsilon))


def _activation(activation, name):
    """Return the argument of Fusion.activate for an activation by name or a ReLU, LeakyReLU or ELU layer; or raise NotYet."""
    if isinstance(activation, L.LeakyReLU):
        return _relu(activation.negative_slope)
    if isinstance(activation, L.ReLU):
        return _relu(activation.negative_slope, activation.max_value, activation.threshold)
    if isinstance(activation, L.ELU):
        return "function", {"function": "elu", "alpha": activation.alpha}
    if activation.kernel is None:
        return "none", {}
    settings = dict(activation.settings)
    if activation.kernel == "relu":
        return _relu(**settings)
    if activation.kernel in FUNCTIONS:
        alpha = {"elu": settings.get("alpha", 1.0), "hard_sigmoid": settings.get("slope", 1 / 6)}.get(activation.kernel, 0.0)
        return "function", {"function": activation.kernel, "alpha": alpha}
    raise NotYet(f"the integer model has no {activation.name} ({name!r}); it has ReLUs, {', '.join(FUNCTIONS[1:])}")


def _relu(negative_slope=0.0, max_value=None, threshold=0.0):
    """Return a ReLU for a tail if a tail can express it, else as a separate function."""
    if threshold or (negative_slope and max_value is not None) or not 0 <= negative_slope < 1:
        return "function", {"function": "relu", "alpha": negative_slope, "threshold": threshold,
                            "high": NO_MAXIMUM if max_value is None else float(max_value)}
    if max_value is not None:
        return "clamp", {"high": float(max_value)}
    return ("leaky", {"slope": float(negative_slope)}) if negative_slope else ("relu", {})


def _recurrent(work, layer, name, inputs, shape):
    raise NotYet(f"the integer model has no {type(layer).__name__} yet ({name!r}): recurrent layers run only in the float engine")


def _resizing(work, layer, name, inputs, shape):
    raise NotYet(f"the integer model has no Resizing ({name!r}): a board would resize images before the network",
                 "a network without that layer, with the weights of the others, on images of the size that it makes")


_RULES = {
    L.Resizing: _resizing,
    L.LSTM: _recurrent,
    L.GRU: _recurrent,
    L.Bidirectional: _recurrent,
    L.SimpleRNN: _recurrent,
    **{layer: _own_op(cls) for cls in ops.OPS.values() for layer in cls.layers},
    L.InputLayer: _input,
    L.Rescaling: _rescaling,
    L.Normalization: _rescaling,
    L.Conv2D: _conv2d,
    L.DepthwiseConv2D: _depthwise,
    L.SeparableConv2D: _separable,
    L.Dense: _dense,
    L.BatchNormalization: _batch_norm,
    L.Activation: _activation_layer,
    L.ReLU: _activation_layer,
    L.LeakyReLU: _activation_layer,
    L.ELU: _activation_layer,
    L.PReLU: _prelu,
    L.LayerNormalization: _layer_norm,
    L.MaxPooling2D: _max_pool,
    L.AveragePooling2D: _average_pool,
    L.Softmax: _softmax_layer,
    L.Permute: _permute,
    L.Multiply: _multiply,
    L.Dropout: _pass,
    L.SpatialDropout1D: _pass,
    L.SpatialDropout2D: _pass,
    L.GaussianNoise: _pass,
    L.TrainingOnly: _pass,
    L.Flatten: _reshape,
    L.Reshape: _reshape,
    L.ZeroPadding2D: lambda work, layer, name, inputs, shape: _zero_padding(work, layer, name, inputs),
}


def _zero_padding(work, layer, name, inputs):
    work.holder[name] = work.holder[inputs[0]]
    before = work.padded.pop(inputs[0], NO_PADDING)
    work.padded[name] = tuple((a + c, b + d) for (a, b), (c, d) in zip(before, layer.padding, strict=True))
    if work.uses.get(name, 0) != 1:
        work.settle(name)
