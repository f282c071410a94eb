"""Optimizers in Keras files: settings, iterations and slots, with each version's names and order.

A State is neutral: class and settings as both versions take them, and slots {kind: {"layer/weight": array}} with the kinds'
names of Keras 3 (momentum, velocity, ...), which are those of this library's optimizers.
"""
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyvgg.errors import FormatError
from tinyvgg.io import hdf5
from tinyvgg.io.keras_h5 import meaning
from tinyvgg.io.keras_h5.flatten import leaves_of
from tinyvgg.io.keras_h5.layers import weight_names
from tinyvgg.nn.model import snake_case

KINDS = {"m": "momentum", "v": "velocity", "momentum": "momentum", "velocity": "velocity", "rms": "velocity",
         "vhat": "velocity_hat", "velocity_hat": "velocity_hat", "average": "average", "average_gradient": "average_gradient"}
SETTINGS = ("name", "learning_rate", "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum",
            "ema_overwrite_frequency")
OWN = {"SGD": ("momentum", "nesterov"), "Adam": ("beta_1", "beta_2", "epsilon", "amsgrad"),
       "AdamW": ("beta_1", "beta_2", "epsilon", "amsgrad"), "RMSprop": ("rho", "momentum", "epsilon", "centered")}
OTHERS = ("Adadelta", "Adafactor", "Adagrad", "Adamax", "Ftrl", "Lion", "Nadam")     # known to both, kept by their settings
OF_ONE = ("jit_compile", "is_legacy_optimizer", "decay", "loss_scale_factor", "gradient_accumulation_steps")
SCHEDULES = ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "PiecewiseConstantDecay",
             "PolynomialDecay")
KNOWN_LOSSES = ("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error",
                "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "kl_divergence",
                "poisson", "cosine_similarity", "hinge", "squared_hinge", "categorical_hinge", "huber", "log_cosh",
                "binary_focal_crossentropy", "categorical_focal_crossentropy")
LOSSES = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}       # Keras 3 does not find the short names in an .h5
# The slots of each class in the order of Keras 2's names; interleaved variable by variable for Adam's.
SLOTS = {"SGD": ("momentum",), "Adam": ("momentum", "velocity"), "AdamW": ("momentum", "velocity"),
         "RMSprop": ("velocity", "momentum")}
SHORT = {("SGD", "momentum"): "m", ("Adam", "momentum"): "m", ("Adam", "velocity"): "v", ("AdamW", "momentum"): "m",
         ("AdamW", "velocity"): "v"}            # any other has its own


@dataclass
class State:
    """The state of a training. `problem`: why the file's slots were not read."""
    class_name: str
    config: dict[str, Any]
    iterations: int = 0
    slots: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    loss: Any = None
    metrics: Any = ("accuracy",)
    loss_weights: Any = None
    problem: str = ""

    def arrays(self):
        """Return {"kind/layer/weight": array}, as Optimizer.load_state takes it."""
        return {f"{kind}/{name}": a for kind, arrays in self.slots.items() for name, a in arrays.items()}


def trained(description, leaves):
    """(leaf, position, "layer/weight") of every trained array of layers in the order `leaves`."""
    found = []
    for i in leaves:
        leaf = description.leaves[i]
        names = weight_names(leaf.class_name, leaf.config)
        if names is None:
            return None
        if leaf.config.get("trainable") is not False:
            found += [(i, k, f"{leaf.name}/{n}") for k, n in enumerate(names[0])]
    return found


# --- reading ---

def read_state(archive, description, arrays):
    """Return the State in a file, or None if it has no training configuration."""
    if archive.training is None:
        return None
    class_name, config = settings(archive.training)
    state = State(class_name, config, loss=archive.training.get("loss"), metrics=archive.training.get("metrics"),
                  loss_weights=archive.training.get("loss_weights"))
    if archive.optimizer is None:
        return state
    variables = trained(description, leaves_of(description.tree))
    if variables is None:
        state.problem = "which arrays of its layers are trained is not known"
        return state
    found = _named(archive) if archive.layout == "layers" else _numbered(archive, state, len(variables))
    state.iterations = int(found.pop("iteration", 0))
    for kind, datasets in found.items():
        shapes = [np.shape(arrays[leaf][k]) for leaf, k, _ in variables]
        if [tuple(d.shape) for d in datasets] != shapes:
            state.problem = f"the {len(datasets)} arrays of slot {kind!r} do not fit the {len(shapes)} trained arrays"
            state.slots = {}
            return state
        state.slots[kind] = {name: hdf5.read_array(d) for (_, _, name), d in zip(variables, datasets, strict=True)}
    if not state.slots and class_name in OWN and len(archive.optimizer) > 2:
        state.problem = "which array is which is not understood"
    return state


def settings(training):
    """Return (class name, settings) of the optimizer as both versions take them; a mixed-precision wrapper is taken off."""
    entry = training.get("optimizer_config") if isinstance(training, dict) else None
    if isinstance(entry, str):
        entry = {"class_name": entry, "config": {}}
    while isinstance(entry, dict) and isinstance(entry.get("config"), dict) and "inner_optimizer" in entry["config"]:
        entry = entry["config"]["inner_optimizer"]
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str) or not isinstance(entry.get("config"), dict):
        raise FormatError(f"the optimizer's description is {str(entry)[:80]!r}; expected class_name and config")
    class_name = entry["class_name"].removeprefix("Custom>")
    if not meaning.is_keras(entry.get("module")):
        class_name = f"{entry['module']}.{class_name}"
    registered = entry.get("registered_name")
    if isinstance(registered, str) and ">" in registered:
        class_name = registered                                 # the owner's own class, whatever its name
    keys = (*SETTINGS, *OWN.get(class_name, entry["config"]))
    return class_name, {k: v for k, v in entry["config"].items() if k in keys and k not in OF_ONE}


def not_of_both(state):
    """Return why training cannot be described to both versions of Keras, or ""."""
    if state.class_name not in (*OWN, *OTHERS):
        return f"the optimizer {state.class_name[:40]!r} is not one of both versions"
    rate = state.config.get("learning_rate")
    if isinstance(rate, dict) and (rate.get("class_name") not in SCHEDULES or not meaning.is_keras(rate.get("module"))):
        return f"the learning rate {str(rate.get('class_name'))[:40]!r} is not one of both versions"
    unknown = [loss for loss in _losses(state.loss) if loss not in KNOWN_LOSSES]
    return f"the loss {str(unknown[0])[:60]!r} is not one of both versions" if unknown else ""


def _losses(loss):
    """The names of the losses in a description of one or several."""
    found = neutral_loss(loss)
    if isinstance(found, dict) and "class_name" not in found:
        return [name for part in found.values() for name in _losses(part)]
    if isinstance(found, list):
        return [name for part in found for name in _losses(part)]
    if isinstance(found, dict):
        return [found["config"].get("name")]
    return [] if found is None else [found]


def _named(archive):
    """{kind: datasets in order}, and iteration, from a group with weight_names."""
    names = hdf5.names(archive.optimizer, "weight_names") or []
    found = {}
    for name in names:
        parts = name.removesuffix(":0").split("/")
        if parts[-1] in ("iteration", "iter"):
            found.setdefault("iteration", _scalar(hdf5.numbers(archive.optimizer, name, archive.budget)))
        elif kind := _kind(parts):
            found.setdefault(kind, []).append(hdf5.numbers(archive.optimizer, name, archive.budget))
    return found


def _kind(parts):
    """The kind of slot in a name: Adam/m/conv/kernel (Keras 2), Adam/conv/kernel/m (legacy), adam/conv_kernel_momentum (3)."""
    for candidate in (parts[-1], *parts[:2]):
        if candidate in KINDS and len(parts) > 1:
            return KINDS[candidate]
    ending = next((k for k in sorted(KINDS, key=len, reverse=True) if len(k) > 3 and parts[-1].endswith(f"_{k}")), None)
    return ending and KINDS[ending]


def _scalar(data):
    if data.shape not in ((), (1,)):
        raise FormatError(f"{data.name} has shape {data.shape}; expected one number")
    return int(np.ravel(data[()])[0])


def _numbered(archive, state, count):
    """{kind: datasets in order}, and iteration, from variables 0, 1, ... whose order the class decides."""
    names = sorted((n for n in archive.optimizer if n.isdigit()), key=int)
    data = [hdf5.numbers(archive.optimizer, n, archive.budget) for n in names[:hdf5.MAX_NAMES]]
    if not data:
        return {}
    found = {"iteration": _scalar(data[0])}
    slots = data[2:] if len(data) > 1 and data[1].shape == () else data[1:]
    if state.config.get("use_ema"):
        found["average"], slots = slots[:count], slots[count:]
    if state.class_name in ("Adam", "AdamW"):
        if len(slots) == 2 * count:
            found.update(momentum=slots[0::2], velocity=slots[1::2])
    else:
        for k, kind in enumerate(SLOTS.get(state.class_name, ())):
            if len(slots) >= (k + 1) * count > 0:
                found[kind] = slots[k * count:(k + 1) * count]
    return found


# --- writing ---

def training_config(state, loss):
    """Return the training_config of an .h5 that both versions read. "Custom>" makes Keras 2 take its newer optimizers."""
    prefix = "Custom>" if state.class_name in OWN else ""
    return {"loss": neutral_loss(loss), "metrics": neutral_metrics(state.metrics), "weighted_metrics": None,
            "loss_weights": state.loss_weights,
            "optimizer_config": {"class_name": prefix + state.class_name, "config": state.config}}


def compile_config(state, loss):
    """Return the compile_config of a .keras file."""
    described = {"module": "keras.optimizers", "class_name": state.class_name, "config": state.config, "registered_name": None}
    return {"optimizer": described, "loss": _with_module(neutral_loss(loss)), "loss_weights": state.loss_weights,
            "metrics": neutral_metrics(state.metrics), "weighted_metrics": None}


def neutral_loss(loss):
    """Return a loss as both versions take it: by name where its settings are defaults (Keras 3 fails on Keras 2's objects)."""
    if not isinstance(loss, dict):
        return LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    if "class_name" not in loss:
        return {k: neutral_loss(v) for k, v in loss.items()}
    settings = loss.get("config") if isinstance(loss.get("config"), dict) else {}
    settings = {k: v for k, v in settings.items() if k not in ("fn", "reduction", "dtype") and v not in (None, False, 0, -1)}
    if loss["class_name"] == "function" or not isinstance(loss.get("config"), dict):
        return str(loss.get("config"))              # a function by its name: one of Keras', or the owner's
    name = snake_case(str(loss["class_name"]))
    if not meaning.is_keras(loss.get("module")):
        return f"{loss['module']}.{name}"
    if set(settings) <= {"name"}:
        return name
    return {"class_name": str(loss["class_name"]), "config": {"name": name, **settings, "reduction": "sum_over_batch_size"}}


def _with_module(loss):
    """A .keras file names the module of each class."""
    if not isinstance(loss, dict):
        return loss
    if "class_name" not in loss:
        return {k: _with_module(v) for k, v in loss.items()}
    return {"module": "keras.losses", **loss, "registered_name": None}


def neutral_metrics(metrics):
    """Return metrics as both versions take them: accuracy by its name, or none."""
    return ["accuracy"] if "accuracy" in str(metrics) else None


def layers_arrays(state, description, layers, arrays):
    """Return (names, arrays) as Keras 2.15 orders them."""
    names, values = ["iteration:0"], [np.int64(state.iterations)]
    for kind, name, array in _ordered(state, description, layers, arrays, always=True):
        names.append(f"{state.class_name}/{SHORT.get((state.class_name, kind), kind)}/{name}:0")
        values.append(array)
    return names, values


def object_arrays(state, description, layers, arrays):
    """Return the optimizer's variables as Keras 3 numbers them: iteration, learning rate, slots."""
    rate = state.config.get("learning_rate")
    first = [np.int64(state.iterations)] + ([] if isinstance(rate, dict) else [np.float32(rate if rate is not None else 0.001)])
    return first + [array for _, _, array in _ordered(state, description, layers, arrays, always=False)]


def _ordered(state, description, layers, arrays, always):
    """(kind, "layer/weight", array) in order; a slot that the class has and the state has not is zeros, if `always`."""
    variables = trained(description, layers) or []
    always = always and state.class_name in ("SGD", "Adam", "AdamW")
    kinds = [k for k in SLOTS.get(state.class_name, ()) if k in state.slots or always]

    def slot(kind, leaf, position, name):
        given = state.slots.get(kind, {}).get(name)
        return kind, name, np.zeros_like(arrays[leaf][position]) if given is None else given

    first = [slot(kind, *variable) for kind in state.slots if kind == "average" for variable in variables]
    if state.class_name in ("Adam", "AdamW"):
        return first + [slot(kind, *variable) for variable in variables for kind in kinds]
    return first + [slot(kind, *variable) for kind in kinds for variable in variables]


def state_of(trainer, names):
    """Return the State of one of this library's optimizers; names: {layer here: layer in the file}."""
    described = trainer.get_config()
    class_name = described["class_name"]
    known = (*SETTINGS, *OWN.get(class_name, ()))
    config = {k: v for k, v in described["config"].items() if k in known}
    config["learning_rate"] = float(trainer.rate())
    config = {"name": class_name, **config}
    slots = {}
    for key, array in trainer.state().items():
        kind, place = key.split("/", 1)
        layer, weight = place.rsplit("/", 1)
        slots.setdefault(kind, {})[f"{names.get(layer, layer)}/{weight}"] = array
    return State(class_name, config, trainer.iterations, slots)
