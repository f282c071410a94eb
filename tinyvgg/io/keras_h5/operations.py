"""Functions of TensorFlow and Keras in a graph of layers, replaced by layers that compute the same.

    tf.math.multiply(x, 0.5)    ->  Rescaling(scale=0.5)
    x + y                       ->  Add()([x, y])
"""
from tinyvgg.errors import NotYet
from tinyvgg.io.keras_h5 import meaning
from tinyvgg.io.keras_h5.calls import Result
from tinyvgg.io.keras_h5.classes import BOTH

KINDS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
_FUNCTIONS = {name: name.rsplit(".", 1)[-1] for name in ("math.add", "__operators__.add", "math.subtract", "math.multiply",
                                                         "math.truediv", "math.divide", "nn.relu", "nn.relu6", "nn.leaky_relu",
                                                         "nn.elu", "math.sigmoid", "nn.sigmoid", "math.tanh", "nn.tanh", "nn.softmax")}
_CLASSES = {"Add": "add", "Subtract": "subtract", "Multiply": "multiply", "TrueDivide": "truediv", "Divide": "divide",
            "Relu": "relu", "Relu6": "relu6", "LeakyRelu": "leaky_relu", "Elu": "elu", "Sigmoid": "sigmoid", "Tanh": "tanh",
            "Softmax": "softmax"}


def is_operation(class_name, entry, settings, version):
    """Whether an entry of a graph is a function rather than a layer."""
    module = entry.get("module")
    if not meaning.is_keras(module):
        return False
    if class_name in KINDS or (isinstance(module, str) and ".ops." in module + "."):
        return True
    # An .h5 of Keras 3 names no modules; the settings of every layer have one of these two.
    if class_name in BOTH and class_name not in _CLASSES:
        return False
    return module is None and version.startswith("3") and "inbound_nodes" in entry and not {"trainable", "dtype"} & {*settings}


def layer_for(class_name, settings, call, where):
    """Return (class name, settings, [Results]) of the layer that computes a function; NotYet for any other function."""
    function = settings.get("function") if class_name in KINDS else class_name
    name = (_FUNCTIONS if class_name in KINDS else _CLASSES).get(function)
    operands = [*call.arguments, *(v for k, v in call.named.items() if k in ("x", "y", "x1", "x2"))]
    extra = {k: v for k, v in {**call.named, **({} if class_name in KINDS else settings)}.items()
             if k not in ("x", "y", "x1", "x2", "name", "dtype", "function") and v is not None}
    found = None
    if name in ("add", "subtract", "multiply", "truediv", "divide") and len(operands) == 2 and not extra:
        found = _arithmetic(name, *operands)
    elif name is not None and len(operands) == 1 and isinstance(operands[0], Result):
        found = _elementwise(name, operands[0], extra)
    if found is None:
        raise NotYet(f"{where} is the function {str(function)[:60]!r} of the program that made the network, called on "
                     f"{str(operands)[:60]}; only sums, and products and sums with one number, are understood", meaning.ALONE)
    return found


def _arithmetic(name, first, second):
    """a x + b with one number; x + y."""
    if isinstance(first, Result) and isinstance(second, Result):
        return ("Add", {}, [first, second]) if name == "add" else None
    number, x = (second, first) if isinstance(first, Result) else (first, second)
    if not isinstance(x, Result) or isinstance(number, bool) or not isinstance(number, int | float):
        return None
    swapped = x is second
    if name == "add":
        scale, offset = 1.0, number
    elif name == "subtract":
        scale, offset = (-1.0, number) if swapped else (1.0, -number)
    elif name == "multiply":
        scale, offset = number, 0.0
    elif swapped or number == 0:
        return None
    else:
        scale, offset = 1 / number, 0.0
    return "Rescaling", {"scale": float(scale), "offset": float(offset)}, [x]


def _elementwise(name, x, extra):
    if name == "leaky_relu":
        slope = extra.pop("alpha", extra.pop("negative_slope", 0.2))
        return ("LeakyReLU", {"alpha": float(slope)}, [x]) if isinstance(slope, int | float) and not extra else None
    if name == "softmax" and extra.pop("axis", -1) != -1:
        return None
    if name == "elu" and extra.pop("alpha", 1.0) != 1.0:
        return None
    return None if extra else ("Activation", {"activation": name}, [x])
