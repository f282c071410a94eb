"""Float operators as layers, with one rule for each: rule(network, op) -> the node of its result."""
import numpy as np

from tinyvgg import nn
from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.nn import layers as L
from tinyvgg.nn.ranges import told_range

ACTIVATIONS = {0: None, 1: "relu", 3: "relu6", 4: "tanh"}


def build(contents, steps):
    """Return the nn.Model of a graph of floats."""
    network = _Network(contents)
    for op in steps:
        network.add(op)
    return network.model()


class _Network:
    """Nodes of the tensors so far, and the weights that their layers get when the model is there."""

    def __init__(self, contents):
        self.contents, self.weights, self.folded = contents, [], {}
        given, = contents.inputs
        if given.dtype != "float32" or len(given.shape) < 2 or given.shape[0] != 1:
            raise NotYet(f"its input {given} is {given.dtype} of shape {given.shape}; expected float32, the batch of 1 first")
        self.nodes = {given.index: nn.Input(given.shape[1:], name=given.name)}

    def add(self, op):
        try:
            node = RULES[op.kind](self, op)
        except TinyVGGError as error:
            raise type(error)(f"{op.outputs[0]} ({op.kind}): {error.problem}", error.hint) from error
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise FormatError(f"{op.outputs[0]} ({op.kind}) does not fit its inputs: {str(error)[:120]}") from error
        out = op.outputs[0]
        if node is not None and tuple(node.shape) != out.shape[1:]:
            if int(np.prod(node.shape)) != int(np.prod(out.shape)) or out.shape[:1] != (1,):
                raise FormatError(f"{out} ({op.kind}) has the shape {out.shape}; its inputs give {tuple(node.shape)}")
            node = L.Reshape(out.shape[1:])(node)
        self.nodes[out.index] = node

    def layer(self, layer, node, **arrays):
        """Connect a layer whose weights will be `arrays`."""
        result = layer(node)
        self.weights += [(layer, name, array) for name, array in arrays.items() if array is not None]
        return result

    def node(self, tensor):
        """The node that computes a tensor."""
        if tensor is None or tensor.index not in self.nodes or self.nodes[tensor.index] is None:
            raise NotYet(f"{tensor} is read before anything writes it" if tensor is not None and tensor.data is None else
                         "a constant stands where values are expected")
        return self.nodes[tensor.index]

    def constant(self, tensor):
        """The values of a constant of floats, float32; None where it is left out."""
        if tensor is None:
            return None
        if tensor.index in self.folded:
            return self.folded[tensor.index]
        if tensor.data is None:
            raise NotYet(f"{tensor} is computed; expected constant weights")
        if tensor.dtype not in ("float32", "float16"):
            raise NotYet(f"the weights {tensor} are {tensor.dtype} and the values are floats (dynamic range quantisation); expected "
                         "both of one kind", "no optimizations in the converter, or a representative dataset for int8 throughout")
        values = tensor.data.astype(np.float32)
        if not np.isfinite(values).all():
            raise FormatError(f"the constant {tensor} holds NaN or infinity; expected finite numbers")
        return values

    def model(self):
        out, = self.contents.outputs
        model = nn.Model(next(iter(self.nodes.values())), self.node(out), name=self.contents.name)
        for layer, name, array in self.weights:
            layer.set_weight(name, array)
        if len(model.input_shape) != 3 or not told_range(model.output)[1]:          # as for Keras' files, which do not say it either
            model.assumed_range = model.input_range
        return model


def _fused(op):
    """The name of an operator's fused activation, or None."""
    if op.activation not in ACTIVATIONS:
        raise NotYet(f"it has the fused activation {op.activation} of TensorFlow Lite, which this library has not")
    return ACTIVATIONS[op.activation]


def _activated(op, node):
    """The fused activation of an operator whose layer has none, as a layer of its own."""
    name = _fused(op)
    return node if name is None else L.Activation(name, name=f"{op.outputs[0].name}_{name}")(node)


def _geometry(op):
    o = op.options
    return {"strides": (o["StrideH"], o["StrideW"]), "padding": "same" if op.same else "valid", "name": op.outputs[0].name}


def _convolution(network, op):
    x, w, b = (*op.inputs, None)[:3]
    kernel, bias, node = network.constant(w).transpose(1, 2, 3, 0), network.constant(b), network.node(x)
    kh, kw, channels, filters = kernel.shape
    o = op.options
    layer = L.Conv2D(filters, (kh, kw), dilation_rate=(o["DilationHFactor"], o["DilationWFactor"]),
                     groups=node.shape[-1] // channels, use_bias=bias is not None, activation=_fused(op), **_geometry(op))
    return network.layer(layer, node, kernel=np.ascontiguousarray(kernel), bias=bias)


def _depthwise(network, op):
    x, w, b = (*op.inputs, None)[:3]
    kernel, bias, node = network.constant(w), network.constant(b), network.node(x)
    _, kh, kw, filters = kernel.shape
    channels, o = node.shape[-1], op.options
    layer = L.DepthwiseConv2D((kh, kw), depth_multiplier=filters // channels, use_bias=bias is not None, activation=_fused(op),
                              dilation_rate=(o["DilationHFactor"], o["DilationWFactor"]), **_geometry(op))
    return network.layer(layer, node, depthwise_kernel=kernel.reshape(kh, kw, channels, -1), bias=bias)


def _dense(network, op):
    x, w, b = (*op.inputs, None)[:3]
    kernel, bias, node = network.constant(w), network.constant(b), network.node(x)
    if op.options["WeightsFormat"]:
        raise NotYet("its weights are shuffled; expected the default order")
    if len(node.shape) > 1 and node.shape[-1] != kernel.shape[1] or len(node.shape) > 1 and not op.options["KeepNumDims"]:
        node = L.Flatten(name=f"{op.outputs[0].name}_flatten")(node)
    layer = L.Dense(kernel.shape[0], use_bias=bias is not None, activation=_fused(op), name=op.outputs[0].name)
    return network.layer(layer, node, kernel=np.ascontiguousarray(kernel.T), bias=bias)


def _pool(cls):
    def rule(network, op):
        layer = cls((op.options["FilterHeight"], op.options["FilterWidth"]), **_geometry(op))
        return _activated(op, layer(network.node(op.inputs[0])))
    return rule


def _mean(network, op):
    node, axes = network.node(op.inputs[0]), sorted(int(a) % len(op.inputs[0].shape) for a in np.ravel(op.inputs[1].data))
    if axes != [1, 2] or len(node.shape) != 3:
        raise NotYet(f"it takes the mean along the axes {axes} of {op.inputs[0].shape}; expected 1 and 2 of a map")
    return L.GlobalAveragePooling2D(name=op.outputs[0].name)(node)


def _reshape(network, op):
    out = op.outputs[0]
    if out.shape[:1] != (1,):
        raise NotYet(f"it makes the shape {out.shape} of one image; expected the batch of 1 first")
    node = network.node(op.inputs[0])
    flat = len(out.shape) == 2
    return (L.Flatten(name=out.name) if flat else L.Reshape(out.shape[1:], name=out.name))(node)


def _pad(network, op):
    amounts = np.asarray(op.inputs[1].data).reshape(-1, 2)
    if len(op.inputs) > 2 and op.inputs[2] is not None and np.any(network.constant(op.inputs[2])):
        raise NotYet("it pads with another number than 0")
    if len(amounts) != 4 or amounts[[0, 3]].any():
        raise NotYet(f"it pads by {amounts.tolist()}; expected only rows and columns of a map")
    return L.ZeroPadding2D(tuple(tuple(int(n) for n in side) for side in amounts[1:3]), name=op.outputs[0].name)(
        network.node(op.inputs[0]))


def _affine(network, op):
    """Sum, difference or product: of two results, or of one and a constant for each channel."""
    data = [t for t in op.inputs if t.index in network.nodes and network.nodes[t.index] is not None]
    if len(data) == 2:
        if op.kind != "ADD":
            raise NotYet("it has two results as inputs; expected a constant for each channel as one of them")
        if data[0].shape != data[1].shape:
            raise NotYet(f"it broadcasts {data[0].shape} against {data[1].shape}; expected equal shapes")
        return _activated(op, L.Add(name=op.outputs[0].name)([network.node(t) for t in data]))
    x, = data
    other, node = next(t for t in op.inputs if t is not x), network.node(x)
    values, channels = network.constant(other), node.shape[-1]
    if values.size not in (1, channels) or values.size > 1 and values.shape[-1] != channels:
        raise NotYet(f"its constant has the shape {values.shape}; expected one number, or one for each of {channels} channels")
    values = np.broadcast_to(values.ravel(), channels).astype(np.float32)
    gain, shift = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    if op.kind == "MUL":
        gain = values
    elif op.kind == "ADD":
        shift = values
    else:
        gain, shift = (gain, -values) if op.inputs[0] is x else (-gain, values)
    layer = L.BatchNormalization(epsilon=1e-9, name=op.outputs[0].name)
    return _activated(op, network.layer(layer, node, gamma=gain, beta=shift))


def _concatenate(network, op):
    axis, rank = op.options["Axis"], len(op.outputs[0].shape)
    if axis % rank != rank - 1:
        raise NotYet(f"it joins along axis {axis}; expected channels, the last")
    return _activated(op, L.Concatenate(name=op.outputs[0].name)([network.node(t) for t in op.inputs]))


def _softmax(network, op):
    if abs(op.options["Beta"] - 1) > 1e-6:
        raise NotYet(f"its softmax has beta {op.options['Beta']}; expected 1")
    return L.Softmax(name=op.outputs[0].name)(network.node(op.inputs[0]))


def _named(name):
    return lambda network, op: L.Activation(name, name=op.outputs[0].name)(network.node(op.inputs[0]))


def _leaky(network, op):
    return L.LeakyReLU(float(op.options["Alpha"]), name=op.outputs[0].name)(network.node(op.inputs[0]))


def _prelu(network, op):
    alpha, node = network.constant(op.inputs[1]), network.node(op.inputs[0])
    alpha = alpha.reshape((1,) * (len(node.shape) - alpha.ndim) + alpha.shape)[-len(node.shape):] if alpha.ndim < len(
        node.shape) else alpha.reshape(alpha.shape[-len(node.shape):])
    shared = [i + 1 for i, (a, n) in enumerate(zip(alpha.shape, node.shape, strict=True)) if a == 1 and n > 1]
    return network.layer(L.PReLU(shared_axes=shared or None, name=op.outputs[0].name), node, alpha=alpha)


def _resize(network, op):
    node, (height, width) = network.node(op.inputs[0]), op.outputs[0].shape[1:3]
    h, w = node.shape[:2]
    if height % h or width % w or op.options["AlignCorners"]:
        raise NotYet(f"it resizes {h}x{w} to {height}x{width}; expected whole multiples, without aligned corners")
    return L.UpSampling2D((height // h, width // w), name=op.outputs[0].name)(node)


def _dequantise(network, op):
    """Of constants alone: weights that are stored in half the bytes."""
    x = op.inputs[0]
    if x.data is None or x.dtype != "float16":
        raise NotYet(f"it turns {x.dtype} values into floats; expected weights of float16")
    network.folded[op.outputs[0].index] = network.constant(x)


RULES = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense,
    "MAX_POOL_2D": _pool(L.MaxPooling2D), "AVERAGE_POOL_2D": _pool(L.AveragePooling2D), "MEAN": _mean,
    "RESHAPE": _reshape, "SQUEEZE": _reshape, "EXPAND_DIMS": _reshape, "PAD": _pad, "PADV2": _pad,
    "ADD": _affine, "SUB": _affine, "MUL": _affine, "CONCATENATION": _concatenate, "SOFTMAX": _softmax,
    "RELU": _named("relu"), "RELU6": _named("relu6"), "TANH": _named("tanh"), "LOGISTIC": _named("sigmoid"),
    "ELU": _named("elu"), "LEAKY_RELU": _leaky, "PRELU": _prelu, "RESIZE_NEAREST_NEIGHBOR": _resize, "DEQUANTIZE": _dequantise,
}
