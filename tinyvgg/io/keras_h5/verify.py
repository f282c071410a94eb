"""Check a written file: it is opened again and compared, layer by layer and array by array."""
import numpy as np

from tinyvgg.errors import WriteError
from tinyvgg.io.keras_h5 import weights
from tinyvgg.io.keras_h5.archive import open_archive
from tinyvgg.io.keras_h5.flatten import Branch, flatten

NEITHER = "the file as it is; please report the file that was read"


def same(path, description, layers, arrays):
    """Raise WriteError unless the file at `path` holds `layers` (leaves of the Description, in order) and their arrays."""
    with open_archive(path) as archive:
        if archive.config is None:
            back = description
            tree = [Branch(leaf.name, leaf.class_name, True, [(i, ())])
                    for i, leaf in ((i, description.leaves[i]) for i in layers)]
        else:
            back = flatten(archive.config)
            tree = back.tree
            _compare(_plain(description), _plain(back))
        found = weights.find_weights(archive, tree, weights.expected(back))
        written = {back.leaves[i].name: values for i, values in weights.read_arrays(found).items() if values}
    wanted = {description.leaves[i].name: arrays[i] for i in layers if len(arrays.get(i, ()))}
    if {*wanted} != {*written}:
        raise WriteError(f"the arrays of layer {sorted({*wanted} ^ {*written})[0]!r} are not as they were read", NEITHER)
    for name, values in wanted.items():
        if len(values) != len(written[name]) or not all(map(_equal, values, written[name])):
            raise WriteError(f"the arrays of layer {name!r} came out different", NEITHER)


def _plain(description):
    """{layer name: (class, settings)} {(layer, number of the call): its sources} and [inputs, outputs]."""
    names = list(description.numbered())
    used = {leaf for leaf, _ in description.calls}
    return ({description.leaves[i].name: (description.leaves[i].class_name, description.leaves[i].config) for i in used},
            {names[i]: [names[s] for s in sources] for i, (_, sources) in enumerate(description.calls)},
            [[names[i] for i in places] for places in (description.inputs, description.outputs)])


def _compare(wanted, written):
    for what, one, two in zip(("layer", "call", "inputs and outputs"), wanted, written, strict=True):
        if one == two:
            continue
        if isinstance(one, dict):
            key = next((k for k in {**one, **two} if one.get(k) != two.get(k)), None)
            raise WriteError(f"{what} {key!r} came out as {str(two.get(key))[:120]}, not as {str(one.get(key))[:120]}", NEITHER)
        raise WriteError(f"the {what} came out as {str(two)[:120]}, not as {str(one)[:120]}", NEITHER)


def _equal(one, two):
    return np.asarray(one).dtype == two.dtype and np.shape(one) == two.shape and np.asarray(one).tobytes() == two.tobytes()
