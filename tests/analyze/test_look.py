"""Looking inside a network: the maps are those of the layers, the numbers those of the maps, mistakes get a sentence."""
import json

import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg import nn, quant
from tinyvgg.analyze.maps import COLUMNS, look, signal_to_noise
from tinyvgg.cli import main
from tinyvgg.nn import layers as L


@pytest.fixture(scope="module")
def network():
    return small(), np.random.default_rng(0).uniform(0, 1, (32, 8, 8, 3)).astype(np.float32)


@pytest.fixture
def files(network, tmp_path):
    """(model file, --data, folder)."""
    model, x = network
    model.save(tmp_path / "small.h5")
    np.save(tmp_path / "x.npy", np.rint(x * 255).astype(np.uint8))
    np.save(tmp_path / "y.npy", model.labels(x))                # right at first, so that an attack has something to do
    return str(tmp_path / "small.h5"), ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')]), tmp_path


def test_the_integers_are_the_traces_and_the_floats_the_networks(network):
    model, x = network
    integer = quant.quantize(model, x)
    seen = look(model, x[0], x[1], integer=integer)
    trace = integer.trace(x[:1])
    for layer in seen.layers[:-1]:
        op = integer.graph[layer.name]
        assert np.allclose(layer.maps["integer_clean"], op.scale * (trace[op.name][0].astype(float) - op.zero), atol=1e-5)
        ends = np.iinfo(trace[op.name].dtype)
        assert layer.saturated == np.mean(np.isin(trace[op.name], [ends.min, ends.max]))
    assert np.allclose(seen.logits["float_clean"], model.logits(x[:1])[0], atol=1e-4)
    assert np.allclose(seen.logits["float_attacked"], model.logits(x[1:2])[0], atol=1e-4)
    assert seen.labels["integer_clean"] == integer.labels(x[:1])[0]


def test_numbers_by_hand():
    assert signal_to_noise(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(20.0)
    assert signal_to_noise(np.zeros(2), np.zeros(2)) is None
    model = nn.Sequential([L.InputLayer((2,)), L.Dense(1, use_bias=False)])
    model.set_weights([np.array([[1.0], [2.0]], np.float32)])
    row = look(model, np.array([1.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32)).layers[-1].numbers()
    assert row["range"] == {"float_clean": [1.0, 1.0], "float_attacked": [2.0, 2.0]}
    assert row["distance_float"] == {"relative_l2": 1.0, "linf": 1.0} and row["snr_db_clean"] is None


def test_more_bits_give_less_noise(network):
    """What the numbers are for: four entries a layer are noisier than 8 bits, in every layer of weights."""
    from tinyvgg.quant.schemes import compress
    model, x = network
    eight, two = (look(model, x[0], integer=compress(model, scheme, x, calibration="minmax")) for scheme in ("int8", "shared2"))
    for fine, coarse in zip(eight.layers, two.layers, strict=True):
        if fine.kind in ("Conv2D", "Dense"):
            assert fine.numbers()["snr_db_clean"] > 6 + coarse.numbers()["snr_db_clean"]


def test_a_network_that_has_no_integers_is_shown_layer_by_layer():
    start = nn.Input((4, 4, 2))
    a, b = L.Conv2D(3, 3, padding="same", activation="tanh")(start), L.Conv2D(2, 1)(start)
    model = nn.Model(start, L.Dense(3)(L.Flatten()(L.Concatenate()([a, b]))))
    x = np.random.default_rng(0).uniform(0, 1, (4, 4, 2)).astype(np.float32)
    seen = look(model, x)
    assert [layer.kind for layer in seen.layers] == ["InputLayer", "Conv2D", "Conv2D", "Concatenate", "Flatten", "Dense"]
    assert np.allclose(seen.logits["float_clean"], model.logits(x[None])[0], atol=1e-5)


def test_each_use_of_a_layer_is_shown_and_the_same_layers_for_every_image():
    """ReLU changes the attacked image alone; the layer is there in both columns. A dropout is in neither."""
    start, relu, tanh = nn.Input((2,)), L.ReLU(), L.Activation("tanh", name="t")
    model = nn.Model(start, tanh(tanh(tanh(L.Dropout(0.5)(relu(start))))), input_range=(-1, 1))
    seen = look(model, np.array([0.5, 1.0], np.float32), np.array([0.5, -1.0], np.float32))
    assert [layer.name for layer in seen.layers] == ["input_layer", "re_lu", "t", "t_use2", "t_use3"]
    assert all(set(layer.maps) == {"float_clean", "float_attacked"} for layer in seen.layers)


def test_the_verb_draws_and_prints(files, capsys):
    model, data, folder = files
    out = folder / "look.png"
    assert main(["look", model, "--data", data, "--image", "3", "--eps", "0.2", "--channels", "2", "--out", str(out), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["image"] == 3 and set(result["answers"]) == set(COLUMNS)
    rows = {row["name"]: row for row in result["layers"]}
    assert rows["conv2d"]["snr_db_clean"] > 20 and rows["conv2d"]["distance_float"]["relative_l2"] > 0.01
    assert 0 < result["attack"]["linf"] <= 0.2 + 1e-6
    assert out.read_bytes().startswith(b"\x89PNG")
    assert main(["compress", model, "--scheme", "int8", "--data", data, "--out", str(folder / "s.tvq"), "--quiet"]) == 0
    assert main(["look", str(folder / "s.tvq"), "--data", data, "--attack", "none"]) == 0
    said = capsys.readouterr().out
    assert "SNR" in said and "attacked" not in said.split("layer ")[0]
    assert main(["look", model, "--data", data, "--against", str(folder / "s.tvq"), "--attack", "fgsm", "--json"]) == 0
    assert main(["look", model, "--data", data, "--scheme", "none", "--attack", "none", "--channels", "2", "--out", str(folder / "f.svg")]) == 0


@pytest.mark.parametrize(("extra", "words"), [
    (["--image", "32"], "test images 0 to 31"),
    (["--image", "-1"], "test images 0 to 31"),
    (["--attack", "pgdd"], "there is no attack 'pgdd'"),
    (["--eps", "eight"], "eps is 'eight'"),
    (["--scheme", "int7"], "--scheme is 'int7'"),
    (["--against", "nothing.tvq"], "no model file"),
    (["--channels", "0"], "expected 1 or more"),
    (["--out", "look.gif"], "expected .png, .svg or .pdf"),
])
def test_mistakes(files, capsys, extra, words):
    assert main(["look", files[0], "--data", files[1], "--quiet", *extra]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


@pytest.mark.parametrize("extra", [["--attack", "foo"], ["--eps", "-1"], ["--out", "x.gif"]])
def test_a_wrong_word_is_told_before_anything_is_made(files, monkeypatch, extra):
    def never(*arguments, **options):
        raise AssertionError("the model was compressed before the mistake was told")
    monkeypatch.setattr("tinyvgg.quant.schemes.compress", never)
    assert main(["look", files[0], "--data", files[1], *extra]) == 2


def test_two_integer_models_or_a_strange_one_are_refused(files, network, capsys):
    model, data, folder = files
    other = nn.Sequential([L.InputLayer((8, 8, 3)), L.Flatten(), L.Dense(4, name="other")])
    quant.quantize(other, network[1]).save(folder / "other.tvq")
    for extra, words in ((["--against", str(folder / "other.tvq")], "does not have the layers"),
                         (["--against", str(folder / "other.tvq"), "--scheme", "int8"], "expected one of them")):
        assert main(["look", model, "--data", data, "--attack", "none", *extra]) == 2
        assert words in capsys.readouterr().err
    assert main(["look", str(folder / "other.tvq"), "--data", data, "--scheme", "int8"]) == 2
    assert "compressed already" in capsys.readouterr().err
