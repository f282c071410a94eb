"""A Keras description without nesting: models within models are inlined, shared layers stay shared.

`flatten` returns a Description: `leaves`, the layers with neutral settings, and `calls`, one for each use of a leaf on earlier
calls. `tree` keeps the nesting, by which files order weights. A description may lie: layers, calls and depth are limited.
"""
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tinyvgg.errors import FormatError, NotYet
from tinyvgg.io.keras_h5.layers import neutral

MAX_LAYERS, MAX_DEPTH = 2000, 20
MODELS = ("Sequential", "Functional", "Model")


@dataclass
class Leaf:
    """One layer: its unique name, class and neutral settings."""
    name: str
    class_name: str
    config: dict[str, Any]


@dataclass
class Branch:
    """A place in the tree: a layer (`leaf`, an index) or a model (`children`), by the names and classes of the file."""
    name: str
    class_name: str
    trainable: bool
    leaf: int | None = None
    children: list["Branch"] = field(default_factory=list)


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


def flatten(config):
    """Return the Description of a Keras model_config (parsed JSON) of either version."""
    class_name, settings = _parts(config)
    if class_name not in MODELS:
        raise NotYet(f"the file holds a {class_name!r}, not a Sequential or Functional model; its layers are made by code")
    build = _Inliner(Description(name=str(settings.get("name", "model"))))
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


class _Inliner:
    def __init__(self, description):
        self.description, self.names = description, Counter()

    # --- layers, each once ---

    def instantiate(self, entry, path, depth):
        """Make the leaves of a layer or model and return the part that can be called."""
        class_name, settings = _parts(entry)
        name = settings.get("name") or entry.get("name") or (None if depth or class_name not in MODELS else "model")
        if not isinstance(name, str) or not name or len(name) > 10_000:
            raise FormatError(f"a layer ({class_name}) has the name {str(name)[:40]!r}; expected text")
        branch = Branch(name, class_name, settings.get("trainable") is not False)
        if class_name not in MODELS:
            branch.leaf = self.add_leaf((*path, name), class_name, settings)
            return _Part(branch, settings)
        if depth > MAX_DEPTH:
            raise FormatError(f"models are nested over {MAX_DEPTH} deep")
        entries = settings.get("layers")
        if not isinstance(entries, list) or not entries:
            raise FormatError(f"model {name!r} has no list of layers")
        inner = (*path, name) if depth else ()
        parts = [self.instantiate(e, inner, depth + 1) for e in entries]
        branch.children = [p.branch for p in parts]
        return _Part(branch, settings, parts, entries)

    def add_leaf(self, path, class_name, settings):
        leaves = self.description.leaves
        if len(leaves) >= MAX_LAYERS:
            raise FormatError(f"the model has over {MAX_LAYERS} layers")
        config = neutral(class_name, settings, self.description.changes)
        config["name"] = self.unique("_".join(path).replace("/", "_"), "/" in "".join(path), len(path) > 1)
        leaves.append(Leaf(config["name"], class_name, config))
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
        if part.branch.leaf is not None:
            return [self.add_call(part.branch.leaf, values)]
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
        results = {}
        for position, name in enumerate(wiring.inputs):
            if values is None:
                results[name, 0] = [self.add_call(wiring.parts[name].branch.leaf, ())]
            elif position < len(values):
                results[name, 0] = [values[position]]
            else:
                raise FormatError(f"model {part.branch.name!r} is called on {len(values)} inputs; it has {len(wiring.inputs)}")
        for name, use, sources in wiring.ordered():
            arguments = [_result(results, source) for source in sources]
            results[name, use] = self.call(wiring.parts[name], arguments, depth + 1)
        return [_result(results, source) for source in wiring.outputs]


def _starts_with_input(part):
    first = part.parts[0]
    if first.branch.leaf is None:
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
        self.calls = {(key, i): _tensors(node, key) for key, entry in zip(keys, part.entries, strict=True)
                      for i, node in enumerate(_list(entry.get("inbound_nodes")))}
        inputs = _tensors(part.settings.get("input_layers"), "input_layers")
        self.outputs = _tensors(part.settings.get("output_layers"), "output_layers")
        self._number_uses()
        self.inputs = [name for name, _, _ in inputs]
        for name in self.inputs:
            if name not in self.parts or self.parts[name].branch.class_name != "InputLayer":
                raise FormatError(f"the input {name!r} is not an InputLayer")

    def _number_uses(self):
        """Keras 2 counts the calls of a nested model from 1, because its own building was call 0."""
        uses = Counter(name for name, _ in self.calls)
        highest = Counter()
        for name, use, _ in [s for sources in self.calls.values() for s in sources] + self.outputs:
            highest[name] = max(highest[name], use)
        shift = {n: 1 for n, p in self.parts.items() if p.branch.leaf is None and highest[n] >= uses[n]}
        self.calls = {key: [(n, u - shift.get(n, 0), t) for n, u, t in sources] for key, sources in self.calls.items()}
        self.outputs = [(n, u - shift.get(n, 0), t) for n, u, t in self.outputs]

    def ordered(self):
        """Return (name, use, sources) of every call that can run, each after its sources; a cycle is refused."""
        waiting = {key: {(n, u) for n, u, _ in sources} - {(n, 0) for n in self.inputs} for key, sources in self.calls.items()}
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


def _tensors(value, where, depth=0):
    """Return the (layer, use, output) references in a node of either version, in order."""
    if depth > MAX_DEPTH:
        raise FormatError(f"the inputs of {str(where)[:40]!r} are nested over {MAX_DEPTH} deep")
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return _tensors(value["config"]["keras_history"], where, depth + 1)
        parts = [value.get("args"), value.get("kwargs")] if "args" in value else value.values()
        return [t for part in parts for t in _tensors(part, where, depth + 1)]
    if not isinstance(value, list):
        return []
    if len(value) >= 3 and isinstance(value[0], str) and all(type(v) is int for v in value[1:3]):
        if value[0].startswith("_CONSTANT"):
            raise NotYet(f"layer {where!r} is called on a constant, which is not supported")
        if min(value[1:3]) < 0:
            raise FormatError(f"layer {where!r} is called on {value[:3]}; expected numbers from 0")
        return [tuple(value[:3]), *_tensors(value[3] if len(value) > 3 else None, where, depth + 1)]
    return [t for part in value for t in _tensors(part, where, depth + 1)]


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


def _list(value):
    return value if isinstance(value, list) else []
