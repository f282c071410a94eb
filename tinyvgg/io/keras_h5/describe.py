"""The rows of a summary for any Keras file, even if no network can be made of it, or if it has only weights."""
import math

from tinyvgg.errors import NotYet, TinyVGGError
from tinyvgg.io import hdf5
from tinyvgg.io.keras_h5 import build, lacking, weights
from tinyvgg.io.keras_h5.archive import open_archive
from tinyvgg.io.keras_h5.flatten import flatten
from tinyvgg.io.keras_h5.reader import describe_archive
from tinyvgg.nn.graph import topological
from tinyvgg.nn.summary import summary_row


def summary(path):
    """Return {"parameters", "macc", "layers": [{"name", "type", "output_shape", "parameters", "macc"}], "note"} of a file.

    output_shape and macc are None if unknown; the parameters of such a layer are counted from its arrays.
    """
    with open_archive(path) as archive:
        rows, note = _weight_rows(archive) if archive.config is None else _model_rows(archive)
    macc = [row["macc"] for row in rows]
    return {"parameters": sum(row["parameters"] for row in rows), "macc": None if None in macc else sum(macc), "layers": rows,
            "note": note}


def _model_rows(archive):
    description = describe_archive(archive)
    note = ""
    try:
        found = weights.find_weights(archive, description.tree, weights.expected(description))
    except NotYet as error:
        found, note = {}, error.problem
    try:
        plan = build.Plan(description)
    except TinyVGGError as error:
        note = note or error.problem
    else:
        if not note:
            plan.check(found)
    nodes, uses = known_nodes(description), {}
    for (leaf, _), node in zip(description.calls, nodes, strict=True):
        uses.setdefault(leaf, []).append(node)
    return [_row(description.leaves[i], found.get(i, []), uses[i]) for i in description.ordered()], note


def _row(leaf, datasets, nodes):
    if None not in nodes:
        return {**summary_row(nodes[0].layer, nodes), "type": leaf.class_name}
    shape = nodes[-1] and list(nodes[-1].shape)
    return {"name": leaf.name, "type": leaf.class_name, "output_shape": shape, "parameters": _size(datasets), "macc": None}


class _Known(build.Connected):
    """Nodes as far as their shapes are known, else None: a layer whose shapes cannot be told hides what follows."""

    def _connect(self, index, sources):
        try:
            return None if None in sources else super()._connect(index, sources)
        except TinyVGGError:
            return None


def known_nodes(description):
    """The node of each call of a Description, None where its shape cannot be told."""
    return _Known(description, lacking.make).nodes


def costed_nodes(config, version=""):
    """Return the nodes of the graph in a model_config (parsed JSON) written by Keras `version`, in order of computation. Their
    layers have no arrays; some only know their cost (see lacking.py). Raises NotYet, which names the layer, if a cost is unknown.
    """
    description = flatten(config, version)
    nodes = build.Connected(description, lacking.make).nodes
    wanted = {n: None for i in description.outputs for n in topological(nodes[i])}
    return [node for node in nodes if node in wanted]


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
