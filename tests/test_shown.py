"""What is typed in a REPL or a notebook answers in a line or two, not in arrays."""
import dataclasses

import numpy as np
import pytest

from tinyvgg import attacks, codegen, data, faults, nn, quant
from tinyvgg.analyze import analyze, look
from tinyvgg.nn import layers as L
from tinyvgg.report.shown import brief, briefly


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """{what: an object that users get}."""
    model = nn.Sequential([L.InputLayer((8, 8, 3)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(3)], seed=1)
    x, y = np.random.default_rng(0).random((20, 8, 8, 3), np.float32), np.arange(20) % 3
    q = quant.quantize(model, x)
    return {"model": model, "data": data.DataSet("mine", x, y, x, y, ("a", "b", "c")), "integer": q, "graph": q.graph,
            "attack": attacks.fgsm(model, x, y, eps=0.1), "program": codegen.generate(q, tmp_path_factory.mktemp("c")),
            "costs": analyze(model), "plan": faults.random_plan(faults.open_store(q), 3), "maps": look(model, x[0]),
            "layer": model.layers[1], "op": q.graph.ops[1]}


def test_a_repr_is_short(results):
    for what, value in results.items():
        text = repr(value)
        assert len(text) <= 240 and text.count("\n") <= 1 and type(value).__name__ in text, (what, text)


def test_notebooks_get_a_table_not_arrays(results):
    assert "conv2d" in results["model"]._repr_html_() and "<pre>" in results["model"]._repr_html_()
    assert "robust" in results["attack"]._repr_html_() and "array" not in results["attack"]._repr_html_()


def test_brief():
    assert brief(np.zeros((3, 4), np.int8)) == "int8 (3, 4)" and brief(3) == "3" and brief([1] * 9) == "9 items"
    assert len(brief("x" * 1000)) == 60 and brief({i: i for i in range(9)}) == "9 entries"

    @briefly
    @dataclasses.dataclass
    class Many:
        first: int
        second: str
        third: str
        fourth: str
    assert repr(Many(1, "b" * 50, "c" * 50, "d" * 50)).endswith(", ...)")
