"""Convert any Keras file to one that opens in both versions of Keras."""
from pathlib import Path

import numpy as np

from tinyvgg._version import __version__
from tinyvgg.errors import DataError, NotYet, OptionError
from tinyvgg.io import hdf5
from tinyvgg.io.keras_h5 import optimizer, reader, writer
from tinyvgg.io.keras_h5.build import refuse
from tinyvgg.io.keras_h5.classes import BOTH, RANDOM_IN_ONE
from tinyvgg.io.keras_h5.meaning import SHARED
from tinyvgg.io.keras_h5.optimizer import OWN

TARGETS = ("keras", "x-cube-ai")


def convert(source, target, *, to="keras", float32=False):
    """Convert the Keras file `source` to `target`; return the changes as sentences. target: an .h5 or .keras that Keras 2.15 and
    Keras 3 both open, or .weights.h5. to="x-cube-ai": an .h5 with only what ST's tool reads, up to version 10. float32=True:
    layers of another dtype become float32.
    """
    if to not in TARGETS:
        raise OptionError(f"--for is {to!r}; expected one of {', '.join(TARGETS)}")
    if Path(source).resolve() == Path(target).resolve():
        raise OptionError(f"{target} is the file to read", "another name for the result")
    contents = reader.read(source, check=check_both)
    description, changes = contents.description, contents.description.changes
    if float32 or to == "x-cube-ai":
        _to_float32(contents, changes)
    if to == "x-cube-ai":
        _for_x_cube_ai(contents, target, changes)
    state = _state(contents, changes)
    with hdf5.damage(source):
        writer.write(target, writer.renamed(description), contents.arrays, state=state, loss=state and state.loss, check=True,
                     metadata=contents.metadata or {"version": __version__, "keras_version": contents.keras_version})
    return [f"{text} ({count} times)" if count > 1 else text for text, count in changes.items()]


def check_both(description):
    """Raise NotYet for the first layer that cannot be written for both versions of Keras."""
    refuse(description)
    for leaf in description.used():
        if leaf.class_name in RANDOM_IN_ONE:
            raise NotYet(f"layer {leaf.name!r} is a {leaf.class_name}, which only Keras {RANDOM_IN_ONE[leaf.class_name]} has; it does "
                         "nothing to images in predict", "the network without it, which answers the same")
        if leaf.class_name not in BOTH:
            raise NotYet(f"layer {leaf.name!r} is a {leaf.class_name[:60]!r}, which is not known to be the same in Keras 2.15 and "
                         f"Keras 3; written for both are {', '.join(sorted(BOTH))}")
        for name in _activations(leaf.config):
            if name not in SHARED:
                name = str(name).removeprefix("keras2_")
                raise NotYet(f"layer {leaf.name!r} ({leaf.class_name}) has the activation {name!r}, which Keras 2 and Keras 3 do not "
                             f"compute alike, or one of them has not; written for both are {', '.join(SHARED)}")


def _activations(config):
    """The names of activations in the settings of a layer and of those within it."""
    for key, value in config.items():
        if key in ("activation", "recurrent_activation"):
            yield value
        elif isinstance(value, dict):
            yield from _activations(value)
        elif key == "cells":
            for cell in value:
                yield from _activations(cell)


def _to_float32(contents, changes):
    for leaf in contents.description.leaves:
        if leaf.config.get("dtype", "float32") != "float32":
            changes[f"{leaf.config['dtype']} is written as float32"] += 1
            leaf.config["dtype"] = "float32"
    for leaf, arrays in contents.arrays.items():
        contents.arrays[leaf] = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in arrays]


def _for_x_cube_ai(contents, target, changes):
    """Its Keras is 2.7 at most: no optimizer, no setting that came later, initial values by their defaults."""
    if not str(target).lower().endswith(".h5") or str(target).lower().endswith(".weights.h5"):
        raise OptionError(f"{target}: X-CUBE-AI reads a whole model in an .h5", "model.h5")
    if contents.training is not None:
        contents.training = contents.state = None
        changes["the optimizer and the loss are left out"] += 1
    later = {"keepdims": False, "groups": 1}
    for leaf in contents.description.leaves:
        for key in [k for k, v in leaf.config.items() if k in later and v == later[k] or k.endswith("_initializer")]:
            del leaf.config[key]
    changes["settings that Keras learnt after 2.7, and initializers, are left out"] += 1


def _state(contents, changes):
    state = contents.state
    if state is None:
        return None
    if problem := optimizer.not_of_both(state):
        changes[f"the optimizer and the loss are left out: {problem}"] += 1
        return None
    if state.problem:
        changes[f"the optimizer's slots are left out: {state.problem}"] += 1
    if state.class_name not in OWN:
        changes[f"the optimizer {state.class_name} is kept by its settings alone"] += 1
        state.slots = {}
    if any(kind not in ("momentum", "velocity", "average") for kind in state.slots):
        changes["the optimizer's slots are left out: their order differs between versions"] += 1
        state.slots = {}
    return state


def write_validation(model, images, labels, x_path, y_path):
    """Write images (N, H, W, C) float32, in `model`'s range, and labels (N,) as one-hot float32 (N, classes) to .npy files:
    X-CUBE-AI's validation inputs and outputs.
    """
    from tinyvgg.report.record import atomic_path
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.float32 or images.shape[1:] != model.input_shape or not len(images):
        raise DataError(f"images have shape {images.shape} and dtype {images.dtype}; "
                        f"expected float32 (N, *{model.input_shape}), N from 1")
    for path, array in ((x_path, images), (y_path, np.eye(model.n_classes, dtype=np.float32)[labels])):
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, array, allow_pickle=False)
