"""Random integer networks and images of extremes: random_network, quantised, with codebooks and kernel variants.

    q = random_integer_network(7)                   # seed 7: the same network on every machine
    testing.assert_bit_exact(q, random_images(q.input_shape, 6, np.random.default_rng(7)))
"""
import random
from dataclasses import replace

import numpy as np

from tinyvgg.errors import NotYet, QuantError
from tinyvgg.testing.networks import random_network


def random_images(shape, count, generator):
    """Return (count, *shape) uint8 of extremes (all 0, which is -128 as int8; all 255; both; an edge) and noise, for an integer model."""
    x = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    edge = np.zeros(shape, np.uint8)
    edge[shape[0] // 2:] = 255
    extremes = [np.zeros(shape), np.full(shape, 255), generator.choice([0, 255], shape), edge]
    for i, image in enumerate(extremes[:max(0, count - 1)]):
        x[i] = image
    return x


def random_integer_network(source, **settings):
    """Return a QuantizedModel of random_network(source, integer=True): int8 or codebooks, an integer or a float softmax, and a
    kernel variant drawn for each layer that has a choice. What cannot be quantised (a range without 0) is drawn again."""
    from tinyvgg.codegen import variants, with_variants
    from tinyvgg.quant import QuantizedModel
    drawn = source if isinstance(source, random.Random) else random.Random(source)
    graph = None
    while graph is None:
        graph = _integer_graph(drawn, settings)
    possible = {op.name: variants(op, graph[op.inputs[0]].shape) for op in graph.ops[1:]}
    chosen = {name: drawn.choice(found) for name, found in possible.items() if len(found) > 1}
    return QuantizedModel(with_variants(graph, chosen) if chosen else graph)


def _integer_graph(drawn, settings):
    """The Graph of one draw, or None."""
    from tinyvgg.quant import quantize
    model = random_network(drawn, integer=True, **settings)
    generator = np.random.default_rng(drawn.randint(0, 2 ** 32))
    images = random_images(model.input_shape, 6, generator)[drawn.choice((0, 2, 4)):]
    try:
        graph = quantize(model, images, softmax=drawn.choice(("integer", "float"))).graph
    except (NotYet, QuantError):
        return None
    if drawn.random() < 0.4:
        graph = share_weights(graph, drawn.randint(1, 8), generator, by_channel=drawn.random() < 0.5)
    return graph


def share_weights(graph, bits, generator, *, by_channel):
    """Return the integer or float Graph with every layer's weights as indices into random codebooks of up to 2^bits near them."""
    from tinyvgg.quant.ops.weighted import Weighted
    from tinyvgg.quant.ops.weights import SharedWeights, weights_of

    def share(op):
        w = weights_of(op)
        rows = w.reshape(len(w), -1) if by_channel else w.reshape(1, -1)
        count = int(generator.integers(1, 2 ** bits + 1))
        codebook = np.sort(generator.integers(-30, 31, (len(rows), count)).astype(w.dtype), axis=1)
        if w.dtype.kind == "f":
            codebook *= np.float32(np.abs(w).max() / 30 + 1e-3)
        distance = np.abs(rows[:, :, None].astype(np.float64) - codebook[:, None])
        indices = distance.argmin(axis=-1).astype(np.uint8).reshape(w.shape)
        return replace(op, weights=SharedWeights(codebook if by_channel else codebook[0], indices, bits))
    return replace(graph, ops=tuple(share(op) if isinstance(op, Weighted) else op for op in graph.ops))


def code_weights(graph, generator):
    """Return the integer Graph with every layer's weights stored by prefix codes, of random values near them, 0 among them."""
    from tinyvgg.quant.kmeans1d import nearest
    from tinyvgg.quant.ops.weighted import Weighted
    from tinyvgg.quant.ops.weights import CodedWeights, weights_of

    def coded(op):
        w = weights_of(op)
        codebook = np.unique([0, *generator.integers(-127, 128, int(generator.integers(1, 50)))]).astype(np.int8)
        return replace(op, weights=CodedWeights.from_indices(codebook, nearest(w, codebook)))
    return replace(graph, ops=tuple(coded(op) if isinstance(op, Weighted) else op for op in graph.ops))
