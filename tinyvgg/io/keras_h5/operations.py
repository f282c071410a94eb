"""Functions of TensorFlow and Keras in a graph of layers, replaced by layers that compute the same.

    tf.math.multiply(x, 0.5)    ->  Rescaling(scale=0.5)
    x * y                       ->  Multiply()([x, y])
    tf.reduce_mean(x, [1, 2])   ->  GlobalAveragePooling2D()(x)
"""
import numpy as np

from tinyvgg.errors import NotYet
from tinyvgg.io.keras_h5 import meaning
from tinyvgg.io.keras_h5.calls import Result, results
from tinyvgg.io.keras_h5.classes import BOTH

KINDS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
ELEMENTWISE = ("relu", "relu6", "leaky_relu", "elu", "selu", "silu", "swish", "gelu", "sigmoid", "tanh", "softplus", "softsign", "softmax")
PAIRS = {"add": "Add", "multiply": "Multiply", "subtract": "Subtract", "maximum": "Maximum"}
_MATH = {"add": "add", "subtract": "subtract", "multiply": "multiply", "truediv": "truediv", "divide": "truediv", "negative": "negative",
         "square": "square", "maximum": "maximum", "reduce_mean": "mean", "reduce_max": "max"}
_FUNCTIONS = ({f"math.{name}": meant for name, meant in _MATH.items()} | {f"nn.{name}": name for name in ELEMENTWISE}
              | {"__operators__.add": "add", "math.sigmoid": "sigmoid", "math.tanh": "tanh", "math.softplus": "softplus", "concat": "concatenate",
                 "reshape": "reshape"})
_CLASSES = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "TrueDivide": "truediv", "Divide": "truediv",
            "Negative": "negative", "Square": "square", "Maximum": "maximum", "Relu": "relu", "Relu6": "relu6", "LeakyRelu": "leaky_relu",
            "Elu": "elu", "Selu": "selu", "Silu": "silu", "Gelu": "gelu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus",
            "Softsign": "softsign", "Softmax": "softmax", "Mean": "mean", "Max": "max", "Concatenate": "concatenate",
            "Reshape": "reshape"}
_HOMONYMS = ("Average", "Dot", "Minimum", "Normalize")      # of layers, too; what these functions compute is no layer's
_OPERANDS = ("x", "y", "x1", "x2", "input_tensor", "tensor", "a", "values")


def is_operation(class_name, entry, settings, version):
    """Whether an entry of a graph is a function rather than a layer."""
    module = entry.get("module")
    if not meaning.is_keras(module):
        return False
    if class_name in KINDS or (isinstance(module, str) and ".ops." in module + "."):
        return True
    # An .h5 of Keras 3 names no modules; the settings of every layer have one of these two.
    if class_name in BOTH and class_name not in (*_CLASSES, *_HOMONYMS):
        return False
    return module is None and version.startswith("3") and "inbound_nodes" in entry and not {"trainable", "dtype"} & {*settings}


def layer_for(class_name, settings, call, where):
    """Return (class name, settings, [Results]) of the layer that computes a function; NotYet for any other function."""
    function = settings.get("function") if class_name in KINDS else class_name
    name = (_FUNCTIONS if class_name in KINDS else _CLASSES).get(function)
    operands = [*call.arguments, *(v for k, v in call.named.items() if k in _OPERANDS)]
    extra = {k: v for k, v in {**call.named, **({} if class_name in KINDS else settings)}.items()
             if k not in (*_OPERANDS, "name", "dtype", "function") and v is not None}
    found = None
    if name in (*PAIRS, "truediv") and len(operands) == 2 and not extra:
        found = _arithmetic(name, *operands)
    elif name == "concatenate" and operands and not [v for v in operands[1:] if not isinstance(v, int)]:
        found = _concatenated(operands, extra)
    elif name in ("mean", "max", "reshape") and operands and isinstance(operands[0], Result):
        found = (_reshaped if name == "reshape" else _pooled)(name, operands, extra)
    elif name is not None and len(operands) == 1 and isinstance(operands[0], Result):
        found = _elementwise(name, operands[0], extra)
    if found is None and class_name == "NotEqual":
        raise NotYet(f"{where} is the mask of a Masking or of an Embedding with mask_zero: steps that are left out are not computed here",
                     "the same layers and weights without the mask, for series of full length")
    if found is None:
        raise NotYet(f"{where} is the function {str(function)[:60]!r} of the program that made the network, called on "
                     f"{_shown(operands, extra)}; understood are sums, differences and products of two results or with one number (or one a "
                     "channel), activations, means over an image, reshaping and joining", meaning.ALONE)
    return found


def _shown(operands, extra):
    """The arguments of a call as its program has them."""
    found = [repr(v.name) if isinstance(v, Result) else str([r.name for r in results(v)] or v) for v in operands]
    return ", ".join([*found, *(f"{k}={v}" for k, v in extra.items())])[:120]


def _arithmetic(name, first, second):
    """a x + b with one number, or one a channel; or two results."""
    if isinstance(first, Result) and isinstance(second, Result):
        return (PAIRS[name], {}, [first, second]) if name in PAIRS else None
    number, x = (second, first) if isinstance(first, Result) else (first, second)
    number = _constant(number)
    if not isinstance(x, Result) or number is None or name == "maximum":
        return None
    swapped, one, none = x is second, np.ones_like(number), np.zeros_like(number)
    if name == "add":
        scale, offset = one, number
    elif name == "subtract":
        scale, offset = (-one, number) if swapped else (one, -number)
    elif name == "multiply":
        scale, offset = number, none
    elif swapped or not number.all():
        return None
    else:
        scale, offset = 1 / number, none
    return "Rescaling", {"scale": scale.tolist(), "offset": offset.tolist()}, [x]


def _constant(value):
    """A number, or one a channel, as an array of at most one axis; None for anything else."""
    try:
        found = np.asarray(value)
    except ValueError:                  # rows of unequal length
        return None
    if isinstance(value, bool) or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        return None
    found = found.astype(np.float64).reshape(found.shape[-1:]) if found.size and found.size == (found.shape or (1,))[-1] else None
    return found.reshape(()) if found is not None and found.size == 1 else found


def _elementwise(name, x, extra):
    if name == "negative":
        return None if extra else ("Rescaling", {"scale": -1.0, "offset": 0.0}, [x])
    if name == "square":
        return None if extra else ("Multiply", {}, [x, x])
    if name == "leaky_relu":
        slope = extra.pop("alpha", extra.pop("negative_slope", 0.2))
        return ("LeakyReLU", {"alpha": float(slope)}, [x]) if isinstance(slope, int | float) and not extra else None
    if name == "softmax" and extra.pop("axis", -1) != -1:
        return None
    if name == "elu" and extra.pop("alpha", 1.0) != 1.0 or name == "gelu" and extra.pop("approximate", False):
        return None
    return None if extra or name not in ELEMENTWISE else ("Activation", {"activation": name}, [x])


def _concatenated(operands, extra):
    """Results one after another; the axis counts the batch, as a Concatenate's."""
    parts, axis = operands[0], operands[1] if len(operands) == 2 else extra.pop("axis", None)
    if not isinstance(parts, list) or not all(isinstance(p, Result) for p in parts) or len(parts) < 2 or type(axis) is not int or axis == 0:
        return None
    return None if extra else ("Concatenate", {"axis": axis}, parts)


def _pooled(name, operands, extra):
    """The mean or the largest over all rows and columns of an image, or over all steps of a series."""
    axes = operands[1] if len(operands) == 2 else extra.pop("axis", None)
    keepdims = extra.pop("keepdims", False)
    n = {(1,): 1, (1, 2): 2}.get(tuple(sorted(axes)) if isinstance(axes, list) and all(type(a) is int for a in axes) else
                                 (axes,) if type(axes) is int else None)
    if n is None or extra or not isinstance(keepdims, bool):
        return None
    return f"Global{'Average' if name == 'mean' else 'Max'}Pooling{n}D", {"keepdims": keepdims}, [operands[0]]


def _reshaped(name, operands, extra):
    """A shape whose first axis is left open, the batch; no other is."""
    shape = operands[1] if len(operands) == 2 else extra.pop("shape", extra.pop("newshape", None))
    ok = isinstance(shape, list) and len(shape) > 1 and shape[0] in (-1, None) and all(type(n) is int and n > 0 for n in shape[1:])
    return ("Reshape", {"target_shape": shape[1:]}, [operands[0]]) if ok and not extra else None
