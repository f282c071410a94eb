"""The arena: valid on random graphs, at its lower bound on the project's networks."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from tests.quant.networks import models
from tinyvgg import models as zoo
from tinyvgg.errors import CheckFailed
from tinyvgg.quant import quantize
from tinyvgg.quant.memory import check_plan, plan_memory


def integer(model):
    return quantize(model, np.random.default_rng(0).integers(0, 256, (2, *model.input_shape), dtype=np.uint8)).graph


def test_light_fits_45_kilobytes():
    plan = plan_memory(integer(zoo.light()))
    assert plan.size == plan.lower_bound == 32 * 32 * 32 + 16 * 16 * 32 <= 45_000


def test_resnet8_adds_in_place():
    plan = plan_memory(integer(zoo.resnet8()))
    assert plan.size == plan.lower_bound == 3 * 32 * 32 * 16
    offsets = plan.offsets
    assert offsets["add"] in (offsets["conv2d"], offsets["conv2d_2"])


@settings(max_examples=40, deadline=None)
@given(models())
def test_random_graphs_run_in_their_arena(model):
    """Run the graph in one array of bytes: every op reads its inputs there and writes its result there."""
    from tinyvgg.quant.simulate import run

    graph = integer(model)
    x = np.random.default_rng(1).integers(0, 256, (1, *model.input_shape), dtype=np.uint8)
    expected = run(graph, x)
    plan = plan_memory(graph, align=4, scratch={graph.ops[1].name: 37})
    arena, offsets, last = np.zeros(plan.size, np.uint8), plan.offsets, None
    for op in graph.ops:
        inputs = [
            arena[offsets[i] : offsets[i] + graph[i].nbytes].copy().view(graph[i].dtype).reshape(1, *graph[i].shape)
            for i in op.inputs
        ]
        y = op.simulate(*(inputs or [x]))
        arena[offsets[op.name] : offsets[op.name] + op.nbytes] = np.ascontiguousarray(y).view(np.uint8).reshape(-1)
        last = y if op is graph.logits else last
    assert (last == expected).all() and plan.size >= plan.lower_bound
    assert all(b.offset % 4 == 0 for b in plan.buffers)


def test_overlap_is_found():
    plan = plan_memory(integer(zoo.light()))
    moved = tuple(dataclasses.replace(b, offset=0) for b in plan.buffers)
    with pytest.raises(CheckFailed, match="overlap"):
        check_plan(dataclasses.replace(plan, buffers=moved))
