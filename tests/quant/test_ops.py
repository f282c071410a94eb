"""Every op is whole, one that is not is named with what it lacks, and files from before the ops had one class still give the same."""
import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg.errors import FormatError, NotYet
from tinyvgg.quant import load_tvq, quantize
from tinyvgg.quant.graph import Graph
from tinyvgg.quant.lower import dequantize, lower
from tinyvgg.quant.ops import OPS
from tinyvgg.quant.ops.base import Op
from tinyvgg.quant.simulate import pull, run
from tinyvgg.quant.tvq import graph_sha256, save_tvq
from tinyvgg.quant.validate import check_graph, validate

METHODS = ("output_shape", "forward", "backward", "lower", "simulate", "check", "dequantize", "counts")
OLD = Path(__file__).resolve().parent.parent / "golden" / "tvq"


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_op_has_all_that_an_op_is(op):
    assert not [name for name in METHODS if getattr(op, name) is getattr(Op, name)]
    assert not op.by_rows or hasattr(op, "rows_read")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Mirror(Op):
    """An op of somebody else: data alone."""


def strange(graph, **fields):
    """The graph with a Mirror behind its image."""
    image, first, *rest = graph.ops
    mirror = Mirror(name="turned", inputs=(image.name,), shape=image.shape, **fields)
    return dataclasses.replace(graph, ops=(image, mirror, dataclasses.replace(first, inputs=("turned",)), *rest))


@pytest.fixture(scope="module")
def graphs():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    q = quantize(small(), images)
    return {"images": images, "integer": strange(q.graph, scale=q.graph.ops[0].scale), "float": strange(q.float_graph)}


@pytest.mark.parametrize(("what", "method", "use"), [
    ("simulation", "simulate", lambda g: run(g["integer"], g["images"])),
    ("float simulation", "forward", lambda g: run(g["float"], np.zeros((1, 8, 8, 3), np.float32))),
    ("lowering", "lower", lambda g: lower(g["float"], {})),
    ("float op", "dequantize", lambda g: dequantize(g["integer"])),
    ("proof that it fits 32 bits", "check", lambda g: check_graph(g["integer"])),
    ("gradient", "backward", lambda g: pull(Graph(name="", ops=g["float"].ops[:2]), {"": None, "input_layer": None}, 0)),
    ("cost", "counts", lambda g: g["integer"].ops[1].counts()),
    ("shape", "output_shape", lambda g: g["integer"].ops[1].output_shape(g["integer"].ops[0])),
])
def test_what_an_op_lacks_is_named(graphs, what, method, use):
    with pytest.raises(NotYet, match=rf"no {what} for Mirror \('turned'\): add the method {method} in \S*tests/quant/test_ops\.py"):
        use(graphs)


def test_files_take_known_ops_alone(graphs):
    with pytest.raises(FormatError, match=r"op 'turned' \(Mirror\) is unknown"):
        validate(graphs["integer"], "integer")


@pytest.mark.parametrize("name", ["int8", "shared", "floats"])
def test_files_from_before_give_the_same(name, tmp_path):
    """Written when an op of floats was a class of its own: read, answered and written again as then."""
    told, model = json.loads((OLD / "answers.json").read_text())[name], load_tvq(OLD / f"{name}.tvq")
    assert model.sha256 == told["sha256"]
    assert [("" if op.integer else "Float") + type(op).__name__ for op in model.graph.ops] == told["ops"]
    save_tvq(model, tmp_path / "again.tvq")
    again, images = load_tvq(tmp_path / "again.tvq"), np.load(OLD / "images.npy")
    assert again.sha256 == model.sha256 and again.graph.facts == model.graph.facts
    if name == "floats":
        assert np.allclose(again.logits(images[:3]), told["answers"], atol=2e-4)
        return
    traced = again.trace(images)
    assert {k: hashlib.sha256(np.ascontiguousarray(traced[k]).tobytes()).hexdigest() for k in told["answers"]} == told["answers"]
    if name == "int8":
        assert graph_sha256(again.float_graph) == graph_sha256(model.float_graph) and not again.float_graph.integer
