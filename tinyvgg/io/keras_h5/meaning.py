"""Whether a class or function in a file is Keras' own, and what an activation means in the version that wrote it. Only Keras' own
classes and functions are accepted: the file does not contain what a user's class or function computes, whatever its name.
"""
from tinyvgg.errors import NotYet
from tinyvgg.io.keras_h5.classes import BOTH

# Names that Keras 2.15 and Keras 3 compute alike.
SHARED = ("elu", "exponential", "gelu", "leaky_relu", "linear", "mish", "relu", "relu6", "selu", "sigmoid", "softmax", "softplus",
          "softsign", "swish", "tanh")
SAME = {"silu": "swish", "softmax_v2": "softmax"}          # tf.nn.softmax is softmax_v2 by its own name
KERAS3_ONLY = ("celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "log_softmax", "soft_shrink",
               "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink", "threshold")
# clip(x / 5 + 1/2, 0, 1) in Keras 2, clip(x / 6 + 1/2, 0, 1) in Keras 3.
HARD_SIGMOID = {"1": 0.2, "2": 0.2, "3": 1 / 6}
ALONE = "a network of Keras' own layers with the same weights (model.set_weights(old.get_weights())), saved again"


def is_keras(module):
    """Whether a module's name is one of Keras' own; files of older versions name none."""
    return module is None or (isinstance(module, str) and module.split(".")[0] in ("keras", "keras_core", "tf_keras", "tensorflow"))


def check_owner(entry, where):
    """Raise NotYet for a layer or another object defined by a user's code. entry: {"class_name", "module", ...}."""
    class_name, registered = entry.get("class_name"), entry.get("registered_name")
    named = next((n for n in (registered, class_name) if isinstance(n, str) and ">" in n), None)
    if named is not None:
        raise NotYet(f"{where} is the registered class {named[:60]!r}, the owner's own code, not Keras' class of that name; what it "
                     "computes is not in the file", ALONE)
    if not is_keras(entry.get("module")):
        raise NotYet(f"{where} is a class of the module {str(entry['module'])[:60]!r}, not Keras' own; what it computes is not in "
                     "the file", ALONE)


def activation(value, version, where):
    """Return a name of SHARED or KERAS3_ONLY, or the layers [(class_name, settings)] that an activation stands for, or raise NotYet.

    version: of the Keras that wrote it, "" for this library.
    """
    if value is None:
        return "linear"
    if isinstance(value, str):
        return _named(value, version, where)
    if isinstance(value, dict):
        class_name, config = value.get("class_name"), value.get("config")
        if ">" in str(value.get("registered_name")):
            check_owner(value, f"the activation of {where}")
        if class_name == "function" and isinstance(config, str) and (config == "softmax_v2" or is_keras(value.get("module"))):
            return _named(config, version, where)
        if class_name == "function":
            raise NotYet(f"{where} has the owner's own function {str(config)[:40]!r} as its activation; what it computes is not in "
                         "the file", ALONE)
        if class_name == "__lambda__" or "value" in value:
            raise NotYet(f"{where} has a lambda as its activation, which is code and is not run", ALONE)
        if isinstance(class_name, str) and not config and is_keras(value.get("module")) and class_name not in BOTH:
            return _named(class_name, version, where)
        if class_name in BOTH and isinstance(config, dict):
            check_owner(value, f"the activation of {where}")
            return [(class_name, config)]
    raise NotYet(f"{where} has the activation {str(value)[:60]}, which Keras does not have", ALONE)


def hard_sigmoid(version):
    """The layers [(class_name, settings)] that a version's hard_sigmoid is."""
    return [("Rescaling", {"scale": HARD_SIGMOID[version[0]], "offset": 0.5}), ("ReLU", {"max_value": 1.0})]


def _named(name, version, where):
    name = SAME.get(name, name)
    if name in SHARED or (name in KERAS3_ONLY and version.startswith("3")):
        return name
    if name == "hard_sigmoid" and version[:1] in HARD_SIGMOID:
        return hard_sigmoid(version)
    has = "Keras 3 alone has" if name in KERAS3_ONLY else "Keras does not have"
    raise NotYet(f"{where} has the activation {name[:40]!r}, which {has}; expected one of {', '.join(SHARED)}", ALONE)
