"""The rows of a summary for any Keras file, also where no network can be made of it, or it holds weights alone."""
import math

from tinyvgg.errors import NotYet, TinyVGGError
from tinyvgg.io.keras_h5 import build, hdf5, weights
from tinyvgg.io.keras_h5.archive import open_archive
from tinyvgg.io.keras_h5.flatten import flatten
from tinyvgg.io.keras_h5.layers import weight_counts
from tinyvgg.nn.graph import layer_order


def summary(path):
    """Return {"parameters", "macc", "layers": [{"name", "type", "output_shape", "parameters", "macc"}], "note"} of a file.

    output_shape and macc are None where they are not known; parameters are counted from the arrays in the file.
    """
    with open_archive(path) as archive:
        rows, note = _weight_rows(archive) if archive.config is None else _model_rows(archive)
    macc = [row["macc"] for row in rows]
    return {"parameters": sum(row["parameters"] for row in rows), "macc": None if None in macc else sum(macc), "layers": rows,
            "note": note}


def _model_rows(archive):
    description = flatten(archive.config)
    counts = {i: weight_counts(leaf.class_name, leaf.config) for i, leaf in enumerate(description.leaves)}
    note = ""
    try:
        found = weights.find_weights(archive, description.tree, counts)
    except NotYet as error:
        found, note = {}, error.problem
    try:
        build.Plan(description)
    except TinyVGGError as error:
        note = note or error.problem
    shapes = _Shapes(description)
    used = [leaf for leaf, _ in description.calls] if description.chain else layer_order(description.calls, description.outputs)
    return [_row(description.leaves[i], found.get(i, []), *shapes.of(i)) for i in used], note


def _row(leaf, datasets, output_shape, macc):
    return {"name": leaf.name, "type": leaf.class_name, "output_shape": None if output_shape is None else list(output_shape),
            "parameters": sum(math.prod(d.shape) for d in datasets), "macc": macc}


class _Shapes:
    """Output shapes and MACC, layer by layer, as far as they are known: a layer that the engine lacks hides what follows."""

    def __init__(self, description):
        self.description, self.layers, self.found = description, {}, []
        for leaf, sources in description.calls:
            self.found.append(self._call(leaf, [self.found[i][0] for i in sources]))

    def of(self, leaf):
        """(output shape of the last use, MACC of all uses)."""
        uses = [found for (used, _), found in zip(self.description.calls, self.found, strict=True) if used == leaf]
        macc = [m for _, m in uses]
        return uses[-1][0], None if None in macc else sum(macc)

    def _call(self, index, inputs):
        leaf = self.description.leaves[index]
        try:
            if index not in self.layers:
                self.layers[index] = build.make_layer(leaf)
            layer = self.layers[index]
            if leaf.class_name == "InputLayer":
                return layer.shape, 0
            if None in inputs or not inputs:
                return None, None
            shape = inputs if layer.joins else inputs[0]
            return tuple(layer.output_shape(shape)), layer.macc(shape)
        except TinyVGGError:
            return None, None


def _weight_rows(archive):
    """A file of weights alone: a row for each group that holds arrays."""
    rows = []
    if archive.layout == "layers":
        for name, datasets in weights.layer_groups(archive).items():
            rows.append({"name": name, "type": None, "output_shape": None, "parameters": _size(datasets), "macc": None})
    else:
        _object_rows(archive, archive.weights, "", rows, 0)
    return rows, "weights without a description of the model"


def _object_rows(archive, group, prefix, rows, depth):
    layers = hdf5.group_at(group, "layers")
    for key in sorted(layers or ())[:hdf5.MAX_NAMES]:
        place = hdf5.group_at(layers, key)
        if place is None or depth > 20 or len(rows) > 5000:
            continue
        datasets = weights.variables(archive, place)
        if datasets:
            rows.append({"name": prefix + key, "type": None, "output_shape": None, "parameters": _size(datasets), "macc": None})
        _object_rows(archive, place, f"{prefix}{key}/", rows, depth + 1)


def _size(datasets):
    return sum(math.prod(d.shape) for d in datasets)
