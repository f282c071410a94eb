"""Arrays of a Keras file, by layer, in both layouts.

layers layout (.h5, old weight files): a group for each layer of the outermost model, with its arrays' names in weight_names:
trained ones first, then the others; for a nested model, the trained ones of all its layers, then the others of all.
objects layout (.weights.h5, .keras): layers/<class in snake case>[_k]/vars/<i>, k counted by class in the order of the layers.
"""
from collections import Counter

from tinyvgg.errors import FormatError, NotYet
from tinyvgg.io import hdf5
from tinyvgg.nn.model import snake_case


def find_weights(archive, tree, counts):
    """Return {leaf: [datasets]}, in the order of the layer's own weights; sizes are checked, nothing is read yet.

    tree: list of Branch; counts: {leaf: (trained, others), or None where the class is not known}.
    """
    find = _by_layers if archive.layout == "layers" else _by_objects
    found = find(archive, tree, counts)
    for branch in leaves_of(tree):
        expected, datasets = counts.get(branch.leaf), found.setdefault(branch.leaf, [])
        if expected is not None and len(datasets) != sum(expected):
            raise FormatError(f"layer {branch.name!r} ({branch.class_name}) has {sum(expected)} arrays; "
                              f"the file has {len(datasets)}",
                              "the weights of a model of the same architecture")
    return found


def leaves_of(tree):
    """The branches that are layers, in order."""
    return [leaf for branch in tree for leaf in (leaves_of(branch.children) if branch.leaf is None else [branch])]


# --- groups by layer name ---

def _by_layers(archive, tree, counts):
    groups = layer_groups(archive)
    found = {}
    for branch, datasets in _matched(groups, tree, counts):
        if branch.leaf is not None:
            found[branch.leaf] = datasets
        else:
            found.update(_shared_out(branch, datasets, counts))
    return found


def layer_groups(archive):
    """{layer name: its datasets in order}, for the layers that have any."""
    names = hdf5.names(archive.weights, "layer_names")
    if names is None:
        raise FormatError("the weights have no attribute layer_names")
    groups, total = {}, 0
    for name in dict.fromkeys(names):
        group = hdf5.group_at(archive.weights, name)
        if group is None:
            raise FormatError(f"there is no group of weights for layer {name!r}")
        arrays = hdf5.names(group, "weight_names") or []
        total += len(arrays)
        if total > hdf5.MAX_NAMES:
            raise FormatError(f"the file names over {hdf5.MAX_NAMES} arrays")
        if arrays:
            groups[name] = [hdf5.numbers(group, n, archive.budget) for n in arrays]
    return groups


def _matched(groups, tree, counts):
    """Pair branches with groups: by name where the names agree, else by their order, as Keras does."""
    places = [b for b in tree if _may_have_weights(b, counts)]
    by_name = {b.name: b for b in places}
    if set(groups) <= set(by_name):
        return [(by_name[name], datasets) for name, datasets in groups.items()]
    places = [b for b in places if _has_weights(b, counts)]
    if len(places) != len(groups):
        raise FormatError(f"the file has weights for {len(groups)} layers ({', '.join(list(groups)[:3])}, ...); the model has "
                          f"{len(places)} layers with weights", "the weights of a model of the same architecture")
    return list(zip(places, groups.values(), strict=True))


def _may_have_weights(branch, counts):
    return any(counts.get(b.leaf) is None or sum(counts[b.leaf]) for b in leaves_of([branch]))


def _has_weights(branch, counts):
    return any(sum(counts.get(b.leaf) or (0,)) for b in leaves_of([branch]))


def _shared_out(branch, datasets, counts):
    """Give the arrays of a nested model to its layers."""
    order = nested_order(branch, counts)
    if len(order) != len(datasets):
        raise FormatError(f"the nested model {branch.name!r} has {len(order)} arrays; the file has {len(datasets)}")
    found = {}
    for (leaf, position), data in zip(order, datasets, strict=True):
        found.setdefault(leaf, {})[position] = data
    return {leaf: [data[i] for i in sorted(data)] for leaf, data in found.items()}


def nested_order(branch, counts):
    """(leaf, position within it) of each array of a nested model, as its group lists them."""
    trained, others = [], []
    for leaf in leaves_of([branch]):
        if counts.get(leaf.leaf) is None:
            raise NotYet(f"layer {leaf.name!r} ({leaf.class_name}) within {branch.name!r}: "
                         "how many arrays it has is not known here")
        first, rest = counts[leaf.leaf]
        trains = leaf.trainable and branch.trainable
        (trained if trains else others).extend((leaf.leaf, i) for i in range(first))
        others.extend((leaf.leaf, first + i) for i in range(rest))
    return trained + others


# --- groups by class ---

def _by_objects(archive, tree, counts):
    found = {}
    _walk_objects(archive, archive.weights, tree, counts, found)
    return found


def _walk_objects(archive, group, branches, counts, found):
    for branch, key in zip(branches, object_keys(branches), strict=True):
        place = hdf5.group_at(group, f"layers/{key}")
        if branch.leaf is None:
            if place is None:
                raise FormatError(f"there is no group layers/{key} for the nested model {branch.name!r}")
            _walk_objects(archive, place, branch.children, counts, found)
        elif place is not None:
            found[branch.leaf] = variables(archive, place)


def object_keys(branches):
    """Return the key of each branch in the objects layout: its class in snake case, counted from the second of a class."""
    seen, keys = Counter(), []
    for branch in branches:
        name = snake_case(branch.class_name)
        keys.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return keys


def variables(archive, place):
    group = hdf5.group_at(place, "vars")
    if group is None:
        return []
    if len(group) > hdf5.MAX_NAMES:
        raise FormatError(f"{group.name} has {len(group)} arrays")
    names = [n for n in group if n.isdigit()]
    return [hdf5.numbers(group, n, archive.budget) for n in sorted(names, key=int)]


def read_arrays(found):
    """Return {leaf: [arrays]} for what find_weights found."""
    return {leaf: [hdf5.read_array(data) for data in datasets] for leaf, datasets in found.items()}
