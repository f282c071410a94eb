"""What is chosen for a plan changes memory and time, never a byte of an answer."""
import dataclasses

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.codegen.test_host import FAST, assert_same, shared
from tests.quant.networks import models
from tinyvgg.codegen import HostModel
from tinyvgg.quant import quantize
from tinyvgg.quant.graph import Conv2D
from tinyvgg.quant.model import QuantizedModel


def expanded(graph):
    """The graph with every convolution's codebook looked up once, into RAM."""
    ops = (dataclasses.replace(op, variant="direct_ram") if isinstance(op, Conv2D) else op for op in graph.ops)
    return dataclasses.replace(graph, ops=tuple(ops))


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.integers(0, 2 ** 16), st.integers(1, 8), st.booleans())
def test_random_graphs_with_expanded_weights(model, seed, bits, by_channel):
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    q = QuantizedModel(expanded(shared(quantize(model, x).graph, bits, generator, by_channel=by_channel)))
    assert_same(q, HostModel(q, flags=FAST), x)
