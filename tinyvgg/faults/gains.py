"""First-order gains: an estimate, from the current gradient, of how much a flip of each stored bit would raise the score.

    gain(bit) = d score / d number * (flipped number - number)

The gradient passes the integer model by the straight-through estimator. It is then converted to integers: for weights and
codebooks with their scale, for biases and offsets with the accumulator's unit, for multipliers with the value they multiply. BFA
(ICCV 2019, equation 6) ranks only the bits of the ten weights with the largest gradient; here every bit is ranked.
"""
import numpy as np

from tinyvgg import kernels
from tinyvgg.errors import OptionError
from tinyvgg.faults import bits
from tinyvgg.quant.lower import dequantize, levels, limits, real_values
from tinyvgg.quant.ops.weighted import Weighted
from tinyvgg.quant.ops.weights import SharedWeights, along, weights_of
from tinyvgg.quant.simulate import pull


def gains(store, slopes, key, fault="flip"):
    """Return (n, bits) float64: the gain of each bit of an array; -inf for padding and for bits that `fault` cannot change."""
    array, count = store.arrays[key].reshape(-1), store.bits(key)
    positions = np.arange(count)
    if key.endswith("/indices"):
        found = _index_gains(store, slopes, key)
    elif key not in slopes:
        return np.full((len(array), count), -np.inf)
    else:
        with np.errstate(all="ignore"):
            new = bits.flipped(array[:, None], positions).astype(np.float64)
            found = slopes[key].reshape(-1, 1).astype(np.float64) * (new - array[:, None].astype(np.float64))
        # An infinite step along a slope of 0 gains nothing; one along any other slope is as large as there is.
        found = np.nan_to_num(found, nan=0.0, posinf=1e300, neginf=-1e300)
    allowed = bits.permitted(array[:, None], positions, fault) & store.usable(key)[:, None]
    return np.where(allowed, found, -np.inf)


class Pull:
    """The gradient with respect to every array of a GraphStore's integer network, computed as if it were one of floats; memory is
    reused."""

    def __init__(self):
        self._network = None

    def __getstate__(self):
        return {}               # the memory is made again where it is needed

    def __setstate__(self, state):
        self.__init__()

    def __call__(self, graph, floats, values, dlogits):
        """values {op: integers (N, ...)}, dlogits (N, ...) -> {(op, array): gradient} of the float Graph of a Graph of integers."""
        image = graph.ops[0].name
        if kernels.active() != "fast":
            real = real_values(graph, values, values[image].astype(np.float32))
            return pull(floats, real, dlogits, limits=limits(graph))[1]
        from tinyvgg.quant.fast.learn import Network

        steps = {name: step for name, step in levels(graph).items() if name in values and not graph[name].probabilities}
        self._network = self._network or Network(floats, steps, given=True)
        self._network.load(floats)

        def batch(part):
            return {name: (values[name][part].astype(np.float32) - np.float32(graph[name].zero)) * np.float32(graph[name].scale)
                    for name in (image, *steps)}
        return self._network.pulled(len(dlogits), batch, dlogits)


def graph_slopes(store, values, dlogits, pull_back=None):
    """Return {key: d score / d stored number, of the array's shape} for a GraphStore; `values` {op: result} as kept by a Session.

    The entry "op/indices" is the gradient with respect to the expanded weights. pull_back: a Pull to reuse between calls.
    """
    graph = store.graph
    if not store.is_integer:
        _, found = pull(graph, {**values, "": values[graph.ops[0].name]}, dlogits)
        return {f"{op}/{name}": part for (op, what), g in found.items()
                for name, part in _by_name(store, graph[op], what, np.asarray(g, np.float64))}
    floats = dequantize(graph)
    with np.errstate(all="ignore"):
        found = (pull_back or Pull())(graph, floats, values, dlogits)
    slopes = {}
    for op in graph.ops:
        if isinstance(op, Weighted):
            mine = {what: np.nan_to_num(np.asarray(g, np.float64)) for (name, what), g in found.items() if name == op.name}
            slopes.update(_integer_slopes(store, op, graph[op.inputs[0]].scale, floats[op.name].tail, mine))
    return slopes


def _integer_slopes(store, op, input_scale, float_tail, g):
    """Turn gradients with respect to one op's real numbers into gradients with respect to its integers (dequantize made the real
    numbers from these)."""
    tail, m = op.tail, op.tail.multiplier.astype(np.float64)
    if op.lite:
        return _named(store, op, _lite_slopes(store, op, input_scale, g))
    unit = op.scale * np.abs(m) / 2.0 ** 32
    acc = unit * 2.0 ** tail.shift
    if tail.activation == "clamp":
        acc = acc / np.where(tail.high > 0, unit * tail.high, 1.0)
    weights = g["weights"] * along(acc / input_scale, g["weights"])
    bias = g["bias"] * acc
    if store.form == "image":                       # there a weight meets x, not x - zero
        weights = weights + op.input_zero * along(bias, weights)
    gain, shift = float_tail.gain.astype(np.float64), float_tail.shift.astype(np.float64)
    with np.errstate(all="ignore"):
        multiplier = np.nan_to_num((gain * g["gain"] + (shift + op.scale * op.zero) * g["shift"]) / m, posinf=0.0, neginf=0.0)
    return _named(store, op, {"weights": weights, "bias": bias, "offset": g["shift"] * unit * np.sign(m), "multiplier": multiplier})


def _lite_slopes(store, op, input_scale, g):
    """Those of weights and bias alone, where the op ends in TensorFlow Lite's arithmetic."""
    unit = op.scale * op.tail.multiplier.astype(np.float64) * 2.0 ** (op.tail.exponent.astype(np.float64) - 31)
    weights, bias = g["weights"] * along(unit / input_scale, g["weights"]), g["bias"] * unit
    if store.form == "image":
        weights = weights + op.input_zero * along(bias, weights)
    return {"weights": weights, "bias": bias}


def _named(store, op, found):
    """{key: gradient laid out as stored} of one op's arrays that the store has."""
    return {f"{op.name}/{name}": part for what, value in found.items()
            for name, part in _by_name(store, op, what, value) if f"{op.name}/{name}" in store.arrays}


def _by_name(store, op, what, g):
    """Return (array name, gradient in the stored layout) for the gradient with respect to one logical array of an op."""
    if what != "weights":
        return [(what, g)]
    if not isinstance(op.weights, SharedWeights):
        return [("weights", store.layout(op, g) if store.form == "image" else g)]
    shape, flat = op.weights.codebook.shape, g.reshape(len(g), -1)
    indices = op.weights.indices.reshape(flat.shape)
    book = np.zeros((len(g) if len(shape) > 1 else 1, shape[-1]))
    rows = np.arange(len(g))[:, None] if len(shape) > 1 else np.zeros((1, 1), int)
    np.add.at(book, (np.broadcast_to(rows, indices.shape), indices), flat)
    stored = store.arrays[f"{op.name}/codebook"].shape
    return [("codebook", book.reshape(shape)[..., :stored[-1]]), ("indices", g)]


def _index_gains(store, slopes, key):
    """Gains of the bits of indices: the weight's slope times the step to the entry that the changed index names."""
    op = store.op(key.rsplit("/", 1)[0])
    if key not in slopes:
        raise OptionError(f"{key} has no gradient")
    shared, count = op.weights, op.weights.bits
    flat = shared.indices.reshape(len(shared.indices), -1)
    book = shared.codebook if shared.codebook.ndim > 1 else np.broadcast_to(shared.codebook, (len(flat), len(shared.codebook)))
    now = weights_of(op).reshape(flat.shape).astype(np.float64)
    found = np.empty((*flat.shape, count))
    for bit in range(count):
        there = np.take_along_axis(book, (flat ^ np.uint8(1 << bit)).astype(np.intp), axis=1)
        found[..., bit] = slopes[key].reshape(flat.shape) * (there.astype(np.float64) - now)
    if store.form == "file":
        return found.reshape(-1, count)
    stream = found[..., ::-1].reshape(-1)                                  # the first index in the highest bits of the first byte
    padded = np.full(store.arrays[key].size * 8, -np.inf)
    padded[:len(stream)] = stream
    return padded.reshape(-1, 8)[:, ::-1]


def keras_slopes(store, x, slope_of):
    """Return (logits, {key: gradient}) of a KerasStore for images x; slope_of(logits) -> d score / d logits."""
    model = store.model
    with np.errstate(all="ignore"):
        logits = model.forward_logits(store.check_images(x))
        model.backward_logits(np.asarray(slope_of(logits), model.dtype), parameters=True, inputs=False)
    found = {f"{layer.name}/{name}": np.nan_to_num(g) for layer in model.layers for name, g in layer.gradients.items()}
    model.saved = None
    return logits, found


