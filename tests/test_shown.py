"""What is typed in a REPL or a notebook answers in a line or two, not in arrays."""
import base64
import dataclasses
import io

import numpy as np
import pytest

from tinyvgg import attacks, codegen, data, faults, nn, quant, zoo
from tinyvgg.analyze import analyze, look
from tinyvgg.nn import layers as L
from tinyvgg.report.shown import brief, briefly, strip


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


def test_notebooks_get_pictures(results):
    for what in ("attack", "data"):
        assert "<img" not in results[what]._repr_html_() or "data:image/png;base64," in results[what]._repr_html_()
    assert "data:image/png;base64," in results["attack"]._repr_html_() and "<th" in results["data"]._repr_html_()
    assert strip([np.zeros((2, 5))], (0, 1)) == "" and strip([np.zeros((2, 5, 5, 2))], (0, 1)) == ""


def test_a_strip_is_a_png_of_the_images():
    image = pytest.importorskip("matplotlib.image", reason="reads the PNG back")
    x = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    data = strip([x, 255 - x], (0, 255)).split("base64,")[1].split("'")[0]
    pixels = np.rint(255 * image.imread(io.BytesIO(base64.b64decode(data)))[..., :3])
    assert pixels.shape == (12, 12, 3) and (pixels[1:5, 1:5] == x[0]).all() and (pixels[7:11, 7:11] == 255 - x[1]).all()


def test_a_card_is_a_dict_that_shows_itself():
    card = zoo.card("light_cifar10")
    assert isinstance(card, dict) and repr(card).startswith("<Card ") and len(repr(card)) < 160 and "sha256" in card._repr_html_()


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
