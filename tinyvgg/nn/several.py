"""Networks with several inputs or outputs: predictions, and gradients with respect to the inputs. Functions that need a
classifier take a Model instead."""
import numpy as np

from tinyvgg import rng
from tinyvgg.classifier import directions
from tinyvgg.errors import DataError, NotYet, ShapeError
from tinyvgg.images import check_range
from tinyvgg.nn.graph import Node, as_calls, from_calls, layer_order, topological
from tinyvgg.nn.head import apply_head, head_of
from tinyvgg.nn.model import Model
from tinyvgg.nn.ranges import USUAL


class MultiModel(Model):
    """A graph with several inputs or outputs:

        a, b = nn.Input((8, 8, 3)), nn.Input((4,))
        model = nn.MultiModel([a, b], [nn.layers.Dense(3)(joined), nn.layers.Dense(1)(joined)])
        classes, value = model.predict([images, vectors])

    Inputs are a list of arrays, one for each input, or a dict {input's name: array}. With several outputs the result is a list.
    It has predict, logits, vjp, weights, summary and files; it cannot be trained, compressed or attacked here.
    """

    def __init__(self, inputs, outputs, *, name="model", seed=0, input_range=None):
        super(Model, self).__init__()
        self.name, self.seed, self.input_range = name, seed, USUAL if input_range is None else check_range(input_range)
        self.inputs, self.outputs = _nodes(inputs), _nodes(outputs)
        self.nodes = list(dict.fromkeys(node for output in self.outputs for node in topological(output)))
        if both := [n.layer.name or "" for n in self.inputs if n in self.outputs]:
            raise ShapeError(f"the input {both[0]!r} is an output too; expected a layer between them")
        if {n for n in self.nodes if not n.inputs} != {*self.inputs}:
            raise ShapeError("the outputs do not depend on all inputs that were given, and on no others")
        self.layers = self._ordered_layers()
        self._name_layers()
        for index, layer in enumerate(self.layers):
            for node in (n for n in self.nodes if n.layer is layer):
                layer.ensure_built(node.input_shape, rng.generator(seed, "init", index))

    # --- answers ---

    def predict(self, x, *, batch_size=256):
        """x: an array (N, ...) for each input -> an array (N, ...) for each output, all layers run."""
        logits = self.logits(x, batch_size=batch_size)
        several = isinstance(logits, list)
        found = [apply_head(head_of(node.layer, node.shape)[0], z)
                 for node, z in zip(self.outputs, logits if several else [logits], strict=True)]
        return found if several else found[0]

    def logits(self, x, *, batch_size=256):
        """predict, with every output before its head (see nn.head)."""
        x = self._arrays(x)
        if not len(x[0]):
            return self._single([np.zeros((0, *node.shape), self.dtype) for node in self.outputs])
        parts = [self._run([a[i:i + batch_size] for a in x]) for i in range(0, len(x[0]), batch_size)]
        self.saved = None
        return self._single([np.concatenate(outputs) for outputs in zip(*parts, strict=True)])

    def labels(self, x, *, batch_size=256):
        """The index of the largest logit, for each output."""
        logits = self.logits(x, batch_size=batch_size)
        return [z.argmax(axis=-1) for z in logits] if isinstance(logits, list) else logits.argmax(axis=-1)

    def vjp(self, x, g, *, batch_size=256):
        """Return d sum(g * logits(x)) / dx for each input, in inference mode.

        g: one array for each output (just the array if there is only one output), or a function that takes the logits and returns
        g. With a function, all of x is one batch.
        """
        x = self._arrays(x)
        if callable(g):
            return self._pull(g(self._single(self._run(x))))
        g = self._of_outputs(g, len(x[0]))
        parts = [] if len(x[0]) else [[np.zeros_like(a) for a in x]]
        for i in range(0, len(x[0]), batch_size):
            self._run([a[i:i + batch_size] for a in x])
            parts.append(self._pull(self._single([part[i:i + batch_size] for part in g])))
        return [np.concatenate(gradients) for gradients in zip(*parts, strict=True)]

    @property
    def input_shape(self):
        """The shapes of the inputs, as a list."""
        return [node.shape for node in self.inputs]

    @property
    def output_shape(self):
        """The shapes of the outputs, as a list."""
        return [node.shape for node in self.outputs]

    # --- the graph, forward and back ---

    def _run(self, x):
        """Return the logits of every output; keep what _pull needs."""
        values, tape, logits = dict(zip(self.inputs, x, strict=True)), [], []

        def call(key, node, layer):
            arguments = [values[n] for n in node.inputs]
            values[key] = layer.forward(arguments if layer.joins else arguments[0], training=False)
            tape.append((key, node, layer, layer.saved))

        for node in (n for n in self.nodes if n.inputs):
            call(node, node, node.layer)
        for i, node in enumerate(self.outputs):
            head, whole = head_of(node.layer, node.shape)
            if head and not whole:
                call(i, node, node.layer.without_activation())
            logits.append(node if head is None else node.inputs[0] if whole else i)
        self.saved = tape, logits
        return [values[key] for key in logits]

    def _pull(self, g):
        """Pull the gradients with respect to the logits back to the inputs."""
        (tape, logits), sums = self.saved, {}
        for key, part in zip(logits, self._of_outputs(g, None), strict=True):
            sums[key] = sums[key] + part if key in sums else part
        for key, node, layer, saved in reversed(tape):
            if key not in sums:
                continue
            layer.saved = saved
            dx = layer.backward(sums.pop(key), parameters=False)
            for source, part in zip(node.inputs, dx if layer.joins else [dx], strict=True):
                sums[source] = sums[source] + part if source in sums else part
        self.saved = None
        count = len(next(iter(sums.values())))
        return [sums.get(node, np.zeros((count, *node.shape), self.dtype)) for node in self.inputs]

    def _ordered_layers(self):
        place = {node: i for i, node in enumerate(self.nodes)}
        layers = {id(n.layer): n.layer for n in self.nodes}
        calls = [(id(layer), places) for layer, places, _ in as_calls(self.nodes)]
        return [layers[key] for key in layer_order(calls, [place[n] for n in self.outputs])]

    # --- what goes in and out ---

    def _arrays(self, x):
        """The arrays of all inputs, checked."""
        names = [node.layer.name for node in self.inputs]
        if isinstance(x, dict):
            if {*x} != {*names}:
                raise DataError(f"the inputs are called {', '.join(map(repr, x))}; expected {', '.join(map(repr, names))}")
            x = [x[name] for name in names]
        if not isinstance(x, list | tuple) and len(names) == 1:
            x = [x]
        if not isinstance(x, list | tuple) or len(x) != len(names):
            raise DataError(f"the model has {len(names)} inputs ({', '.join(map(repr, names))}); expected a list of as many arrays")
        x = [np.asarray(a) for a in x]
        for name, node, a in zip(names, self.inputs, x, strict=True):
            if a.shape[1:] != node.shape or len(a) != len(x[0]) or a.dtype.kind not in "fiu":
                raise ShapeError(f"input {name!r} has shape {a.shape} and dtype {a.dtype}; expected numbers of shape {('N', *node.shape)}, "
                                 "N alike for all inputs")
        return [np.ascontiguousarray(a, self.dtype) for a in x]

    def _of_outputs(self, g, count):
        """Gradients by the logits, as a list of checked arrays."""
        g = [g] if len(self.outputs) == 1 and not isinstance(g, list | tuple) else list(g)
        g = [np.asarray(part, self.dtype) for part in g]
        shapes = [node.shape for node in self.outputs]
        if [part.shape[1:] for part in g] != shapes or (count is not None and any(len(part) != count for part in g)):
            raise ShapeError(f"g has shapes {[part.shape for part in g]}; expected one for each output: {[('N', *s) for s in shapes]}")
        return g if count is None else [directions(part, part.shape, self.dtype) for part in g]

    def _single(self, values):
        return values if len(self.outputs) > 1 else values[0]

    # --- what only a network of one input and one output is ---

    def check_images(self, x):
        """Raise NotYet: this network is not a classifier of images."""
        raise NotYet(f"the model has {len(self.inputs)} inputs ({', '.join(n.layer.name for n in self.inputs)}) and {len(self.outputs)} "
                     f"outputs ({', '.join(n.layer.name for n in self.outputs)}); only predict, logits, vjp, summary and files take such "
                     "a network")

    fit = evaluate = forward_logits = backward_logits = forward = backward = lambda self, *_, **__: self.check_images(None)
    bounds = n_classes = n_outputs = input = output = property(lambda self: self.check_images(None))

    def plan(self):
        """None: the layers run one by one."""

    def get_config(self):
        """Return the architecture as plain data, from which nn.model_from_config builds it again."""
        place = {node: i for i, node in enumerate(self.nodes)}
        return {**super().get_config(), "class_name": "MultiModel", "inputs": [place[n] for n in self.inputs],
                "outputs": [place[n] for n in self.outputs]}


    def __getstate__(self):
        """The nodes as a flat list, as Model keeps them."""
        place = {node: i for i, node in enumerate(self.nodes)}
        state = super(Model, self).__getstate__()
        del state["inputs"], state["outputs"], state["nodes"]
        return {**state, "calls": as_calls(self.nodes), "ends": ([place[n] for n in self.inputs], [place[n] for n in self.outputs])}

    def __setstate__(self, state):
        self.nodes = from_calls(state.pop("calls"))
        self.inputs, self.outputs = ([self.nodes[i] for i in places] for places in state.pop("ends"))
        super(Model, self).__setstate__(state)


def _nodes(nodes):
    nodes = list(nodes) if isinstance(nodes, list | tuple) else [nodes]
    if not nodes or not all(isinstance(n, Node) for n in nodes) or len({*nodes}) < len(nodes):
        raise ShapeError(f"a model is made of nodes of a graph, each once; got {nodes!r:.80}", "nn.Input((32, 32, 3))")
    return nodes
