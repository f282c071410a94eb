"""What a .tflite file becomes, and what is refused, in one sentence with tensors' names."""
import numpy as np
import pytest

pytest.importorskip("tflite", reason='pip install "tinyvgg[tflite]"')
pytest.importorskip("flatbuffers", reason='pip install "tinyvgg[tflite]"')

import tinyvgg
from tests.io.tflite_files import CONV, DENSE, Sketch, float_network, strange
from tinyvgg import io, nn
from tinyvgg.cli import main
from tinyvgg.errors import FormatError, NotYet


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "small.tflite"
    path.write_bytes(float_network()[0])
    return path


def test_floats_become_a_network_of_layers(float_file):
    model, arrays = tinyvgg.open(float_file), float_network()[1]
    twin = nn.Sequential([nn.layers.InputLayer((8, 8, 3)), nn.layers.Conv2D(4, 3, padding="same", activation="relu"),
                          nn.layers.MaxPooling2D(), nn.layers.Flatten(), nn.layers.Dense(5), nn.layers.Softmax()])
    twin.set_weights([arrays["kernel"].transpose(1, 2, 3, 0), arrays["bias"], arrays["dense"].T, arrays["dense_bias"]])
    x = np.random.default_rng(1).random((3, 8, 8, 3), np.float32)
    np.testing.assert_allclose(model.predict(x), twin.predict(x), atol=1e-6)
    assert [layer.name for layer in model.layers] == ["serving_default_x", "conv", "pool", "flatten", "dense", "Identity"]


def test_images_of_any_range_where_the_file_tells_none(float_file):
    """As of Keras' files: nothing in a .tflite says that images are in 0..1."""
    x = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    model = tinyvgg.open(float_file)
    found = model.predict(x)
    assert np.array_equal(tinyvgg.open(float_file, input_range=(-1, 1)).predict(x), found)
    model.input_range = (0, 1)
    with pytest.raises(tinyvgg.errors.DataError, match="outside the model's bounds 0..1"):
        model.predict(x)


def test_convert_writes_a_keras_file(float_file, tmp_path, capsys):
    out = tmp_path / "small.h5"
    assert main(["convert", str(float_file), str(out)]) == 0
    x = np.random.default_rng(1).random((3, 8, 8, 3), np.float32)
    np.testing.assert_array_equal(io.load_model(out).predict(x), io.load_model(float_file).predict(x))
    assert main(["summary", str(float_file)]) == 0
    assert "437 parameters" in capsys.readouterr().out


def unknown():
    s = Sketch()
    x = s.tensor("x", (1, 4))
    y = s.add("CUMSUM", [x], s.tensor("net/sum", (1, 4)))
    z = s.add("FLOOR_MOD", [y], s.tensor("net/remainder", (1, 4)))
    return s.bytes(x, s.add("CUMSUM", [z], s.tensor("net/again", (1, 4))))


def dynamic():
    s = Sketch()
    x = s.tensor("x", (1, -1, 8, 3))
    w = s.constant("w", np.zeros((4, 3, 3, 3), np.float32))
    return s.bytes(x, s.add("CONV_2D", [x, w], s.tensor("y", (1, -1, 8, 4)), **CONV))


def sixteen_bits():
    s = Sketch()
    x = s.tensor("x", (1, 4), "int16", scale=1e-4, zero=0)
    w = s.constant("w", np.zeros((3, 4), np.int8), scale=0.1, zero=0)
    return s.bytes(x, s.add("FULLY_CONNECTED", [x, w, None], s.tensor("y", (1, 3), "int16", scale=1e-4, zero=0), **DENSE))


def hybrid():
    s = Sketch()
    x = s.tensor("x", (1, 4))
    w = s.constant("w", np.zeros((3, 4), np.int8), scale=0.1, zero=0)
    return s.bytes(x, s.add("FULLY_CONNECTED", [x, w, None], s.tensor("net/logits", (1, 3)), **DENSE))


def control():
    s = Sketch()
    x = s.tensor("x", (1, 4))
    return s.bytes(x, s.add("WHILE", [x], s.tensor("net/loop", (1, 4))))


def looped(graphs=1):
    s = Sketch()
    x = s.tensor("x", (1, 4))
    y = s.add("CUMSUM", [x], s.tensor("net/sum", (1, 4)))
    y = s.add("WHILE", [y], s.tensor("net/loop", (1, 4)))
    return strange(s, x, y, graphs)


def branches():
    """Control flow as converters write it: its bodies are subgraphs of their own."""
    return looped(3)


def several():
    s = Sketch()
    x = s.tensor("x", (1, 4))
    return strange(s, x, s.add("RELU", [x], s.tensor("y", (1, 4))), 2)


def custom():
    """A detector's last operator, after one that is not there either."""
    s = Sketch()
    x = s.tensor("x", (1, 4))
    y = s.add("FLOOR_MOD", [x], s.tensor("net/remainder", (1, 4)))
    return strange(s, x, s.add("CustomNonMaxSuppression", [y], s.tensor("net/boxes", (1, 4))))


@pytest.mark.parametrize("make, sentence", [
    (several, "it has 2 subgraphs; expected one graph"),
    (branches, r"it has 3 subgraphs and control flow: WHILE \('loop'\); expected one graph"),
    (looped, r"it has control flow: WHILE \('loop'\) and CUMSUM \('sum'\), which this library has not"),
    (custom, r"it has FLOOR_MOD \('remainder'\), the custom operator 'CustomNonMaxSuppression' \('boxes'\), which"),
    (unknown, r"it has CUMSUM \('sum', 'again'\), FLOOR_MOD \('remainder'\)"), (dynamic, "dynamic shape"),
    (sixteen_bits, "int16x8"), (hybrid, "'w' are int8 and .*dynamic range"), (control, r"control flow: WHILE \('loop'\)"),
])
def test_what_is_not_understood_is_named(make, sentence, tmp_path, capsys):
    path = tmp_path / "net.tflite"
    path.write_bytes(make())
    with pytest.raises(NotYet, match=sentence):
        io.load_model(path)
    assert main(["evaluate", str(path), "--data", "shapes"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and str(path) in error


def test_damage_is_a_sentence(tmp_path):
    """Every cut, and random bytes: a FormatError or a network, never anything else, and no table is followed out of the file."""
    data, path, r = bytearray(float_network()[0]), tmp_path / "bad.tflite", np.random.default_rng(3)
    for trial in range(300):
        bad = bytearray(data)
        if trial % 3 == 0:
            del bad[int(r.integers(8, len(bad))):]
        else:
            for at in r.integers(0, len(bad), int(r.integers(1, 4))):
                bad[at] = int(r.integers(256))
        path.write_bytes(bad)
        try:
            io.load_model(path)
        except (FormatError, NotYet, tinyvgg.errors.TinyVGGError) as error:
            assert len(str(error)) < 1500


def test_without_the_packages_the_extra_is_named(float_file, monkeypatch):
    import sys
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(tinyvgg.errors.MissingExtra, match=r"tinyvgg\[tflite\]"):
        io.load_model(float_file)
