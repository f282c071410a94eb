"""Arrays of a Keras file, by layer, in both layouts.

layers layout (.h5, old weight files): a group for each layer of the outermost model, with its arrays' names in weight_names:
trained ones first, then the others; for a nested model, the trained ones of all its layers, then the others of all.
objects layout (.weights.h5, .keras): layers/<class in snake case>[_k]/vars/<i>, k counted by class in the order of the layers;
layers within layers have groups of their own, as layers/lstm/cell/vars/<i>. Keras 2.14 calls the first group
_layer_checkpoint_dependencies, and Keras 2 on Windows writes whole paths as one name, with backslashes.
"""
import warnings

from tinyvgg.errors import FormatError, NotYet
from tinyvgg.io import hdf5
from tinyvgg.io.keras_h5.flatten import leaves_of
from tinyvgg.io.keras_h5.layers import object_keys, places

SAME = "the weights of a model of the same architecture"
ROOTS = ("layers", "_layer_checkpoint_dependencies")
# Groups of the objects layout that hold no weights: training state, and the states of random generators.
OTHER = ("optimizer", "metrics", "_metrics", "loss_tracker", "compile_metrics")
GENERATORS = ("seed_generator", "_random_generator", "random_generator", "generator")


class Expected:
    """How many arrays the leaves of a tree have: {leaf: [(groups below the layer's own, (trained, others) or None)]}."""

    def __init__(self, places):
        self.places = places

    def known(self, leaf):
        """Whether the number of a leaf's arrays is known."""
        return all(count is not None for _, count in self.places[leaf])

    def total(self, leaf):
        """The number of a leaf's arrays; 0 where it is not known."""
        return sum(sum(count or (0,)) for _, count in self.places[leaf])


def expected(description):
    """Return the Expected of a Description."""
    return Expected({i: [((), None)] if leaf.refusal else places(leaf.class_name, leaf.config)
                     for i, leaf in enumerate(description.leaves)})


def find_weights(archive, tree, expected):
    """Return {leaf: [datasets]}, in the order of the layer's own weights; sizes are checked, nothing is read yet.

    tree: list of Branch. Every array of the file belongs to a layer of the tree, or FormatError says which does not.
    """
    find = _by_layers if archive.layout == "layers" else _by_objects
    found = find(archive, tree, expected)
    names = {leaf: branch for branch in branches_of(tree) for leaf, _ in branch.parts}
    for leaf in leaves_of(tree):
        datasets, branch = found.setdefault(leaf, []), names[leaf]
        if expected.known(leaf) and len(datasets) != expected.total(leaf):
            raise FormatError(f"layer {branch.name!r} ({branch.class_name}) has {expected.total(leaf)} arrays; "
                              f"the file has {len(datasets)}", SAME)
    return found


def branches_of(tree):
    """The branches that are layers, in order."""
    return [leaf for branch in tree for leaf in (branches_of(branch.children) if branch.children else [branch])]


# --- groups by layer name ---

def _by_layers(archive, tree, expected):
    groups = layer_groups(archive)
    found = {}
    for branch, datasets in _matched(groups, tree, expected):
        found.update(_shared_out(branch, datasets, expected))
    top = hdf5.group_at(archive.weights, "top_level_model_weights")
    if top is not None and hdf5.names(top, "weight_names"):
        raise NotYet("the model has arrays outside its layers, made by its author's code")
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


def _matched(groups, tree, expected):
    """Pair branches with groups by their order, as Keras does: names may differ, shapes and numbers are checked afterwards."""
    places = [b for b in tree if any(expected.total(leaf) for leaf in leaves_of([b]))]
    unknown = [b for b in tree if not all(expected.known(leaf) for leaf in leaves_of([b]))]
    if unknown:             # by name, since how many of these have arrays is not known
        by_name = {b.name: b for b in tree if b in places or b in unknown}
        if not set(groups) <= set(by_name):
            raise NotYet(f"how many arrays layer {unknown[0].name!r} ({unknown[0].class_name}) has is not known here")
        return [(by_name[name], datasets) for name, datasets in groups.items()]
    if len(places) != len(groups):
        raise FormatError(f"the file has weights for {len(groups)} layers ({', '.join(list(groups)[:3])}, ...); the model has "
                          f"{len(places)} layers with weights", SAME)
    moved = [(b.name, name) for b, name in zip(places, groups, strict=True) if b.name != name and name in {p.name for p in places}]
    if moved:
        warnings.warn(f"weights go to layers by their order, as in Keras, though names say otherwise: those of {moved[0][1]!r} went "
                      f"to {moved[0][0]!r}", stacklevel=5)
    return list(zip(places, groups.values(), strict=True))


def _shared_out(branch, datasets, expected):
    """Give the arrays of a group to the leaves of its branch."""
    leaves = leaves_of([branch])
    if len(leaves) == 1 and not expected.known(leaves[0]):
        return {leaves[0]: datasets}
    order = grouped_order(branch, expected)
    if len(order) != len(datasets):
        raise FormatError(f"layer {branch.name!r} ({branch.class_name}) has {len(order)} arrays; the file has {len(datasets)}", SAME)
    found = {}
    for (leaf, position), data in zip(order, datasets, strict=True):
        found.setdefault(leaf, {})[position] = data
    return {leaf: [data[i] for i in sorted(data)] for leaf, data in found.items()}


def grouped_order(branch, expected):
    """(leaf, position within it) of each array of a layer or a nested model, as its group lists them."""
    trained, others = [], []
    for layer in branches_of([branch]):
        for leaf, _ in layer.parts:
            if not expected.known(leaf):
                raise NotYet(f"layer {layer.name!r} ({layer.class_name}) within {branch.name!r}: "
                             "how many arrays it has is not known here")
            first = sum(count[0] for _, count in expected.places[leaf])
            trains = layer.trainable and branch.trainable
            (trained if trains else others).extend((leaf, i) for i in range(first))
            others.extend((leaf, i) for i in range(first, expected.total(leaf)))
    return trained + others


# --- groups by class ---

def _by_objects(archive, tree, expected):
    objects = _Objects(archive)
    found = {}
    objects.collect((), tree, expected, found)
    if left := objects.left():
        raise NotYet(f"the file has arrays in {left[0]!r} that belong to no known layer", SAME)
    return found


class _Objects:
    """The variables of a file in the objects layout; remembers which were taken."""

    def __init__(self, archive):
        self.archive, self.taken = archive, set()

    def collect(self, path, branches, expected, found):
        """Fill {leaf: [datasets]} for the branches of the model at `path`."""
        for branch, key in zip(branches, object_keys([b.class_name for b in branches]), strict=True):
            place = next((p for root in ROOTS if self.group(p := (*path, root, key)) is not None), (*path, ROOTS[0], key))
            if branch.children:
                self.collect(place, branch.children, expected, found)
            for leaf, below in branch.parts:
                found[leaf] = self.arrays((*place, *below), expected.places[leaf])

    def arrays(self, path, places):
        """The datasets of a leaf, trained ones of all its places first."""
        trained, others = [], []
        for below, count in places:
            datasets = self.variables((*path, *below))
            first = len(datasets) if count is None else count[0]
            trained, others = trained + datasets[:first], others + datasets[first:]
        return trained + others

    def group(self, path):
        """The group at a path of names, also where it was written on Windows; None where there is none."""
        found = hdf5.group_at(self.archive.weights, "/".join(path))
        return hdf5.group_at(self.archive.weights, "\\".join(path)) if found is None else found

    def variables(self, path):
        """The datasets 0, 1, ... of the group at a path."""
        place = self.group(path)
        found = [] if place is None else variables(self.archive, place)
        self.taken |= {data.name for data in found}
        return found

    def left(self):
        """Names of the arrays that no layer took."""
        names, stack = [], [(self.archive.weights, 0)]
        while stack and len(names) < hdf5.MAX_NAMES:
            group, depth = stack.pop()
            for key in list(group)[:hdf5.MAX_NAMES]:
                item = hdf5.child(group, key)
                if hasattr(item, "shape"):
                    names.append(item.name)
                elif item is not None and key not in GENERATORS and not (depth == 0 and key in OTHER) and depth < 60:
                    stack.append((item, depth + 1))
        return [n for n in names if n not in self.taken]


def variables(archive, place):
    """The datasets vars/0, vars/1, ... of a group."""
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


def placed(leaf, arrays):
    """[(groups below the layer's own, [arrays])] of a Leaf's arrays, in the objects layout; NotYet where that is not known."""
    found = places(leaf.class_name, leaf.config)
    counts = [count for _, count in found]
    if len(found) == 1:
        return [(found[0][0], list(arrays))]
    if None in counts or sum(map(sum, counts)) != len(arrays):
        raise NotYet(f"layer {leaf.name!r} ({leaf.class_name}): which of its {len(arrays)} arrays stand where in this kind of file is "
                     "not known here", "a name that ends in .h5")
    first, second, result = 0, sum(count[0] for count in counts), []
    for below, (trained, others) in found:
        result.append((below, [*arrays[first:first + trained], *arrays[second:second + others]]))
        first, second = first + trained, second + others
    return result

