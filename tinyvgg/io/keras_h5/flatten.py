"""A Keras description without nesting: models inside models are inlined, shared layers remain shared. `flatten` returns a
Description: `leaves` are the layers with neutral settings, `calls` one entry for each use of a leaf on earlier calls. `tree`
keeps the nesting, because files order weights by it. Descriptions are not trusted: the numbers of layers and calls and the depth
are limited. A layer that is not understood has a `refusal`: such a file can be displayed, but not computed or written.
"""
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io.keras_h5 import meaning, operations
from tinyvgg.io.keras_h5.calls import MAX_DEPTH, Call, Result, parse, references
from tinyvgg.io.keras_h5.classes import RANDOM_IMAGES, RANDOM_IN_ONE
from tinyvgg.io.keras_h5.layers import neutral
from tinyvgg.nn.graph import layer_order

MAX_LAYERS = 2000
MOST_RESULTS = 5        # of a recurrent layer in two directions that gives its states
MODELS = ("Sequential", "Functional", "Model")
MERGES = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply")
# What answers another way when it is called with training=True.
TRAINS = ("BatchNormalization", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise",
          "GaussianDropout", "AlphaDropout", *RANDOM_IMAGES, *RANDOM_IN_ONE)


@dataclass
class Leaf:
    """One layer: its unique name, class and neutral settings; `refusal` is the error that says why it is not understood."""
    name: str
    class_name: str
    config: dict[str, Any]
    refusal: TinyVGGError | None = None


@dataclass
class Branch:
    """A place in the tree: a layer or a model (`children`), by the names and classes of the file.

    parts: (leaf, groups below the layer's own in the objects layout) for each leaf that the layer became: itself and, where its
    activation has arrays or settings of its own, that; none for a function between layers.
    """
    name: str
    class_name: str
    trainable: bool
    parts: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    children: list["Branch"] = field(default_factory=list)

    @property
    def leaf(self):
        """The first leaf, None for a model."""
        return self.parts[0][0] if self.parts else None


@dataclass
class Description:
    """A graph without nesting. calls: (leaf, indices of earlier calls); inputs, outputs: indices of calls."""
    name: str
    leaves: list[Leaf] = field(default_factory=list)
    calls: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    tree: list[Branch] = field(default_factory=list)
    chain: bool = False         # written as a Sequential
    changes: Counter = field(default_factory=Counter)

    def used(self):
        """The leaves that are called, each once."""
        return [self.leaves[i] for i in dict.fromkeys(leaf for leaf, _ in self.calls)]

    def ordered(self):
        """The places of the leaves in use, in Keras' order: the order of its weights."""
        return [leaf for leaf, _ in self.calls] if self.chain else layer_order(self.calls, self.outputs)

    def numbered(self):
        """(layer name, number of its call) of each call."""
        uses = Counter()
        for leaf, _ in self.calls:
            yield self.leaves[leaf].name, uses[leaf]
            uses[leaf] += 1


def flatten(config, version=""):
    """Return the Description of a Keras model_config (parsed JSON).

    version: of the Keras that wrote it ("2.15.0"), which decides what some names mean; "" for this library.
    """
    class_name, settings = _parts(config)
    if class_name not in MODELS:
        raise NotYet(f"the file holds a {class_name!r}, not a Sequential or Functional model; its layers are made by the owner's "
                     "code, which is not in the file", meaning.ALONE)
    build = _Inliner(Description(name=str(settings.get("name", "model"))), version)
    root = build.instantiate(config, (), 0)
    build.description.tree = root.branch.children
    build.description.outputs = [value for value in build.call(root, None, 0)]
    _finish(build.description, class_name)
    return build.description


def _finish(description, class_name):
    calls = description.calls
    used = [leaf for leaf, _ in calls]
    straight = all(sources == ((i - 1,) if i else ()) for i, (_, sources) in enumerate(calls))
    description.chain = class_name == "Sequential" and straight and len(set(used)) == len(used)
    description.inputs = [i for i, (leaf, sources) in enumerate(calls) if not sources]
    if not description.outputs or not description.inputs:
        raise FormatError("the described model has no output or no input")


@dataclass
class _Part:
    """A layer or model of the file, ready to be called: `parts` by name and `settings` for a model."""
    branch: Branch
    settings: dict[str, Any]
    parts: list["_Part"] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)
    path: tuple[str, ...] = ()
    operation: bool = False     # a function between layers


class _Inliner:
    def __init__(self, description, version):
        self.description, self.version, self.names = description, version, Counter()

    # --- layers, each once ---

    def instantiate(self, entry, path, depth):
        """Make the leaves of a layer or model and return the part that can be called."""
        class_name, settings = _parts(entry)
        name = settings.get("name") or entry.get("name") or (None if depth or class_name not in MODELS else "model")
        if not isinstance(name, str) or not name or len(name) > 10_000:
            raise FormatError(f"a layer ({class_name}) has the name {str(name)[:40]!r}; expected text")
        branch = Branch(name, class_name, settings.get("trainable") is not False)
        part = _Part(branch, settings, path=(*path, name))
        if operations.is_operation(class_name, entry, settings, self.version):
            part.operation = True
        elif class_name not in MODELS:
            self.add_layer(part, entry)
        else:
            if depth > MAX_DEPTH:
                raise FormatError(f"models are nested over {MAX_DEPTH} deep")
            meaning.check_owner(entry, f"model {name!r}")
            part.entries = settings.get("layers")
            if not isinstance(part.entries, list) or not part.entries:
                raise FormatError(f"model {name!r} has no list of layers")
            part.parts = [self.instantiate(e, (*path, name) if depth else (), depth + 1) for e in part.entries]
            branch.children = [p.branch for p in part.parts]
        return part

    def add_layer(self, part, entry):
        """Make the leaf of a layer, and the leaves of an activation that is more than a name."""
        branch, settings, where = part.branch, part.settings, f"layer {part.branch.name!r} ({part.branch.class_name})"
        try:
            meaning.check_owner(entry, where)
            if branch.class_name == "Lambda":
                raise NotYet(f"{where} is a function of the owner's own code, which is not run", meaning.ALONE)
            if settings.get("return_state"):
                raise NotYet(f"layer {branch.name!r}: return_state is True; the states that it gives beside its result are not understood",
                             "the same layers without return_state")
            follow = meaning.activation(settings["activation"], self.version, where) if "activation" in settings else "linear"
        except NotYet as error:
            branch.parts.append((self.add_leaf(part.path, branch.class_name, settings, error), ()))
            return
        follow = [] if isinstance(follow, str) else follow
        if not (follow and branch.class_name == "Activation"):
            branch.parts.append((self.add_leaf(part.path, branch.class_name, settings), ()))
        for i, (class_name, own) in enumerate(follow):
            path = part.path if not branch.parts else (*part.path[:-1], f"{part.path[-1]}_activation")
            own = {"dtype": settings.get("dtype", "float32"), "trainable": branch.trainable, **own, "name": path[-1]}
            branch.parts.append((self.add_leaf(path, class_name, own), ("activation",) if i == 0 else ("activation", str(i))))
        if follow:
            self.description.changes["activations with settings of their own, or that the two versions do not compute alike, are "
                                     "written as layers"] += 1

    def add_leaf(self, path, class_name, settings, refusal=None):
        leaves = self.description.leaves
        if len(leaves) >= MAX_LAYERS:
            raise FormatError(f"the model has over {MAX_LAYERS} layers")
        config = settings
        if refusal is None:
            try:
                class_name, config = neutral(class_name, settings, self.description.changes, self.version)
            except NotYet as error:
                refusal = error
        config = dict(config)
        config["name"] = self.unique("_".join(path).replace("/", "_"), "/" in "".join(path), len(path) > 1)
        leaves.append(Leaf(config["name"], class_name, config, refusal))
        return len(leaves) - 1

    def unique(self, name, slash, nested):
        if slash:
            self.description.changes["layer names: '/' is written as '_' (Keras 3 refuses it)"] += 1
        if nested:
            self.description.changes["nested models are written without nesting (node numbers differ between versions)"] += 1
        candidate = name
        while self.names[candidate]:
            candidate = f"{name}_{self.names[name]}"
            self.names[name] += 1
        self.names[candidate] += 1
        return candidate

    # --- calls; a value is the index of a call ---

    def call(self, part, values, depth):
        """Call a part on a list of values (None: the model's own inputs) and return its list of results."""
        if part.operation:
            raise NotYet(f"{part.branch.name!r} is a function in a chain of layers, which is not understood", meaning.ALONE)
        if not part.parts:
            for leaf, _ in part.branch.parts:
                values = [self.add_call(leaf, values)]
            return values * MOST_RESULTS if part.settings.get("return_state") else values
        if part.branch.class_name == "Sequential":
            return self.call_chain(part, values, depth)
        return self.call_graph(part, values, depth)

    def add_call(self, leaf, values):
        if len(self.description.calls) >= 2 * MAX_LAYERS:
            raise FormatError(f"the model calls its layers over {2 * MAX_LAYERS} times")
        self.description.calls.append((leaf, tuple(values)))
        return len(self.description.calls) - 1

    def call_chain(self, part, values, depth):
        if values is None and not _starts_with_input(part):
            values = [self.add_call(self.add_leaf((f"{part.branch.name}_input",), "InputLayer",
                                                  {"batch_input_shape": _first_shape(part), "dtype": "float32"}), ())]
        for inner in part.parts:
            if inner.branch.class_name != "InputLayer":
                values = self.call(inner, values, depth + 1)
            elif values is None:
                values = [self.add_call(inner.branch.leaf, ())]
        return values

    def call_graph(self, part, values, depth):
        """Run the calls of a functional model in an order in which each has its inputs."""
        wiring = _Wiring(part)
        found = {}
        for position, name in enumerate(wiring.inputs):
            if values is None:
                found[name, 0] = [self.add_call(wiring.parts[name].branch.leaf, ())]
            elif position < len(values):
                found[name, 0] = [values[position]]
            else:
                raise FormatError(f"model {part.branch.name!r} is called on {len(values)} inputs; it has {len(wiring.inputs)}")
        for name, use, call in wiring.ordered():
            found[name, use] = self.call_node(wiring.parts[name], call, found, depth)
        return [_result(found, source) for source in wiring.outputs]

    def call_node(self, part, call, found, depth):
        """Call a part as one node says."""
        if part.operation:
            return self.call_operation(part, call, found)
        self.check_call(part, call)
        values = [_result(found, source) for source in call.sources()]
        if part.branch.class_name in MERGES and len(values) == 1:
            self.description.changes[f"{part.branch.class_name} of one input is written as the identity"] += 1
            leaf = self.add_leaf(part.path, "Activation", {"activation": "linear", "dtype": part.settings.get("dtype", "float32")})
            return [self.add_call(leaf, values)]
        return self.call(part, values, depth + 1)

    def call_operation(self, part, call, found):
        """Call the layer that computes a function between layers."""
        class_name, settings, refusal = part.branch.class_name, part.settings, None
        sources = call.all()
        path = (*part.path[:-1], part.path[-1].replace(".", "_"))
        try:
            class_name, settings, sources = operations.layer_for(class_name, settings, call, f"{part.branch.name!r}")
            settings = {"dtype": part.settings.get("dtype", "float32"), **settings}
            self.description.changes["functions between layers are written as layers that compute the same"] += 1
        except NotYet as error:
            refusal = error
        return [self.add_call(self.add_leaf(path, class_name, settings, refusal), [_result(found, s) for s in sources])]

    def check_call(self, part, call):
        """Mark a layer whose call is not understood: more than one argument, or an option."""
        problem = None
        others = call.others()
        options = {k: v for k, v in call.named.items() if not _absent(v) and not isinstance(v, Result) and k != "training"}
        if others:
            problem = f"is called on {', '.join(repr(r.name[:40]) for r in others)} beside its input; one argument is understood"
        elif options or not _absent(call.arguments[1:]):
            problem = f"is called with {str(options or call.arguments[1:])[:60]}, which is not understood"
        elif call.named.get("training") is not None and self.version[:1] != "3":            # Keras 3 does not heed it in predict
            trains = next((leaf for leaf in self.leaves_in(part) if _trains(leaf.class_name, leaf.config)), None)
            if trains is not None and call.named["training"]:
                problem = ("is called with training=True: its answers depend on the other images of a batch, or on chance "
                           f"(layer {trains.name!r})")
            elif trains is not None:
                self.description.changes["calls with training=False are written without it: training that goes on moves the "
                                         "statistics of their batch-norms, unless trainable is False"] += 1
        if problem is not None:
            refusal = NotYet(f"layer {part.branch.name!r} ({part.branch.class_name}) {problem}", meaning.ALONE)
            for leaf in self.leaves_in(part):           # all: a nested model's own inputs are called by nobody
                leaf.refusal = leaf.refusal or refusal

    def leaves_in(self, part):
        """The Leafs of a part."""
        return [self.description.leaves[i] for i in leaves_of([part.branch])]


def _absent(value):
    """Whether an argument is none, or a list of none, as the masks that Keras 3 writes for a model of several inputs."""
    return value is None or isinstance(value, list) and all(map(_absent, value))


def _trains(class_name, config):
    """Whether a layer, or one within it, answers another way when it is called with training=True."""
    inner = [config.get(key) for key in ("layer", "backward_layer", "cell")] + list(config.get("cells") or [])
    return (class_name in TRAINS or any(config.get(key) for key in ("dropout", "recurrent_dropout"))
            or any(_trains(*_parts(entry)) for entry in inner if isinstance(entry, dict)))


def leaves_of(tree):
    """The leaves of branches, in order."""
    return [leaf for branch in tree for leaf in ([leaf for leaf, _ in branch.parts] + leaves_of(branch.children))]


def _starts_with_input(part):
    first = part.parts[0]
    if first.parts:
        return first.branch.class_name != "Sequential" or _starts_with_input(first)
    return first.branch.class_name == "InputLayer"


def _first_shape(part):
    """The input shape of a Sequential without an InputLayer: on its first layer, or where it was built."""
    while part.parts:
        shape = part.settings.get("build_input_shape")
        part = part.parts[0]
        shape = part.settings.get("batch_input_shape") or part.settings.get("batch_shape") or shape
        if shape:
            return shape
    raise FormatError("the shape of the images is not in the file: the model was saved before it was built")


def _result(results, source):
    name, use, tensor = source
    try:
        return results[name, use][tensor]
    except (KeyError, IndexError) as error:
        raise FormatError(f"the graph takes output {tensor} of call {use} of {name!r}, which there is not") from error


class _Wiring:
    """Who is called on what, in one functional model, whichever version wrote it."""

    def __init__(self, part):
        self.parts = {}
        for inner, entry in zip(part.parts, part.entries, strict=True):
            key = entry.get("name") or inner.branch.name
            if not isinstance(key, str) or key in self.parts:
                raise FormatError(f"two layers of model {part.branch.name!r} are called {str(key)[:40]!r}")
            self.parts[key] = inner
        keys = list(self.parts)
        self.calls = {(key, i): parse(node, key) for key, entry in zip(keys, part.entries, strict=True)
                      for i, node in enumerate(entry["inbound_nodes"] if isinstance(entry.get("inbound_nodes"), list) else ())}
        inputs = references(part.settings.get("input_layers"), "input_layers")
        self.outputs = references(part.settings.get("output_layers"), "output_layers")
        self._number_uses()
        self.inputs = [source.name for source in inputs]
        for name in self.inputs:
            if name not in self.parts or self.parts[name].branch.class_name != "InputLayer":
                raise FormatError(f"the input {name!r} is not an InputLayer")

    def _number_uses(self):
        """Keras 2 counts the calls of a nested model from 1, because its own building was call 0."""
        uses = Counter(name for name, _ in self.calls)
        highest = Counter()
        for name, use, _ in [s for call in self.calls.values() for s in call.all()] + self.outputs:
            highest[name] = max(highest[name], use)
        shift = {n: 1 for n, p in self.parts.items() if p.parts and highest[n] >= uses[n]}

        def shifted(value):
            if isinstance(value, Result):
                return Result(value.name, value.use - shift.get(value.name, 0), value.tensor)
            if isinstance(value, list):
                return [shifted(v) for v in value]
            return {k: shifted(v) for k, v in value.items()} if isinstance(value, dict) else value

        self.calls = {key: Call(shifted(call.arguments), shifted(call.named)) for key, call in self.calls.items()}
        self.outputs = shifted(self.outputs)

    def ordered(self):
        """Return (name, use, Call) of every call that can run, each after its sources; a cycle is refused."""
        waiting = {key: {(n, u) for n, u, _ in call.all()} - {(n, 0) for n in self.inputs} for key, call in self.calls.items()}
        users = {}
        for key, sources in waiting.items():
            for source in sources:
                users.setdefault(source, []).append(key)
        ready, order = [key for key, sources in waiting.items() if not sources][::-1], []
        while ready:
            key = ready.pop()
            order.append((*key, self.calls[key]))
            for user in users.get(key, []):
                waiting[user].discard(key)
                if not waiting[user]:
                    ready.append(user)
        if len(order) < len(self.calls):
            stuck = next(key for key in self.calls if waiting[key])
            raise FormatError(f"layer {stuck[0]!r} waits for outputs that are never there: the graph has a cycle or a hole")
        return order


def _parts(entry):
    try:
        class_name, settings = entry["class_name"], entry["config"]
    except (TypeError, KeyError) as error:
        raise FormatError(f"a layer's description is {str(entry)[:80]!r}; expected class_name and config") from error
    if isinstance(settings, list) and class_name == "Sequential":       # Keras before 2.2 wrote the bare list
        settings = {"name": "sequential", "layers": settings}
    if not isinstance(class_name, str) or not isinstance(settings, dict):
        raise FormatError(f"a layer's description is {str(entry)[:80]!r}; expected class_name and config")
    return class_name, settings
