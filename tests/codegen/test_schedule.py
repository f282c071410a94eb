"""What is chosen for a plan changes memory and time, never a byte of an answer."""
import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.codegen.test_host import FAST, assert_same
from tests.quant.networks import models
from tinyvgg.codegen import HostModel
from tinyvgg.errors import FormatError
from tinyvgg.quant import quantize
from tinyvgg.quant.model import QuantizedModel
from tinyvgg.quant.ops.conv2d import Conv2D
from tinyvgg.quant.schedule import Schedule, chains, schedule_of, with_schedule
from tinyvgg.quant.tvq import graph_sha256
from tinyvgg.testing.integer_networks import share_weights


def expanded(graph):
    """The graph with every convolution's codebook looked up once, into RAM."""
    ops = (dataclasses.replace(op, variant="direct_ram") if isinstance(op, Conv2D) else op for op in graph.ops)
    return dataclasses.replace(graph, ops=tuple(ops))


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.integers(0, 2 ** 16), st.integers(1, 8), st.booleans())
def test_random_graphs_with_expanded_weights(model, seed, bits, by_channel):
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    q = QuantizedModel(expanded(share_weights(quantize(model, x).graph, bits, generator, by_channel=by_channel)))
    assert_same(q, HostModel(q, flags=FAST), x)


def check_streams(model, seed, bits):
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (3, *model.input_shape), dtype=np.uint8)
    graph = quantize(model, x).graph
    if bits:
        graph = share_weights(graph, bits, generator, by_channel=False)
    streams = []
    for chain in chains(graph):
        first, last = sorted(generator.choice(len(chain) + 1, 2, replace=False))
        streams += [chain[first:last]] if last - first > 1 else [chain]
    q = QuantizedModel(with_schedule(graph, Schedule(tuple(streams))))
    assert_same(q, HostModel(q, flags=FAST), x)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.integers(0, 2 ** 16), st.sampled_from([0, 4]))
def test_random_graphs_row_by_row(model, seed, bits):
    check_streams(model, seed, bits)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models(), st.integers(0, 2 ** 16), st.integers(0, 8))
def test_many_random_graphs_row_by_row(model, seed, bits):
    check_streams(model, seed, bits)


def test_light_row_by_row(light, images):
    """A few rows instead of maps, and the output of the stream over its input: 16 KB instead of 43."""
    graph = with_schedule(light[1].graph, Schedule((("conv2d", "conv2d_1", "conv2d_2", "conv2d_3"),)))
    q = QuantizedModel(graph)
    host = HostModel(q, flags=FAST)
    assert_same(q, host, images)
    assert host.program.arena_bytes <= 16_000
    offsets = host.program.offsets
    assert offsets["conv2d_3"] < offsets["input_layer"] < offsets["conv2d_3"] + 8 * 8 * 64


def test_a_schedule_is_kept_in_the_file(light, tmp_path):
    """It is no part of what the hash means: the answers are the same."""
    from tinyvgg import load_model
    graph = with_schedule(light[1].graph, Schedule((("conv2d_1", "conv2d_2"),)))
    assert graph_sha256(graph) == graph_sha256(light[1].graph)
    QuantizedModel(graph).save(tmp_path / "x.tvq")
    assert schedule_of(load_model(tmp_path / "x.tvq").graph) == Schedule((("conv2d_1", "conv2d_2"),))


@pytest.mark.parametrize("streams", [("conv2d",), ("conv2d", "conv2d_2"), ("conv2d", "nobody"), ("conv2d_5", "dense"),
                                     ("conv2d",) * 2])
def test_streams_that_are_no_chains(light, streams):
    with pytest.raises(FormatError, match="is scheduled"):
        with_schedule(light[1].graph, Schedule((streams,)))


@pytest.mark.parametrize("facts", [3, {"streams": 3}, {}, {"streams": [["conv2d", "conv2d_5"]]}, {"streams": [[1, 2]]}])
def test_damaged_schedules(light, facts):
    graph = dataclasses.replace(light[1].graph, facts={"schedule": facts})
    with pytest.raises(FormatError):
        HostModel(graph, flags=FAST)
