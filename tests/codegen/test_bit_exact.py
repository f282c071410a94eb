"""The public check of C beside the simulation: it passes where they agree, and names the op where they do not."""
from dataclasses import replace

import numpy as np
import pytest

from tests.quant.networks import randomise, small
from tinyvgg import quant, testing


def test_agrees_and_names_what_differs(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
    model = quant.quantize(randomise(small(), np.random.default_rng(3)), images)
    testing.assert_bit_exact(model)
    graph, harmed = model.graph, model.graph["conv2d_1"]
    other = replace(harmed, tail=replace(harmed.tail, offset=harmed.tail.offset + (1 << 24)))
    ops = tuple(other if op is harmed else op for op in graph.ops)
    wrong = quant.QuantizedModel(replace(graph, ops=ops))
    monkeypatch.setattr(model, "trace", wrong.trace)            # as if the simulation had another offset than the C
    with pytest.raises(AssertionError, match=r"conv2d_1\[\d+, \d+, \d+, \d+\] is \d+ in C and \d+ in the simulation"):
        testing.assert_bit_exact(model)
