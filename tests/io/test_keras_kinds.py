"""Kinds of Keras files, built here: what their entries mean, in both layouts, without any file of Keras at hand."""
import io
import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest

import tinyvgg
from tinyvgg import nn
from tinyvgg.cli import main
from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io import keras_h5
from tinyvgg.nn import layers
from tinyvgg.quant import quantize

GENERATOR = np.random.default_rng(0)


def entry(class_name, name, module=None, registered=None, **config):
    found = {"class_name": class_name, "config": {"name": name, **config}}
    return found if module is None else {"module": module, "registered_name": registered, **found}


def chain(*entries, shape=(5, 5, 2)):
    start = entry("InputLayer", "start", batch_input_shape=[None, *shape])
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [start, *entries]}}


def conv(name="conv", filters=2, **config):
    return entry("Conv2D", name, filters=filters, kernel_size=[3, 3], **config)


def arrays(*shapes):
    return [GENERATOR.normal(0, 0.5, s).astype(np.float32) for s in shapes]


CONV = arrays((3, 3, 2, 2), (2,))


def as_h5(path, config, groups, version="2.15.0"):
    """groups: {layer: [arrays]}."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["model_config"] = version, json.dumps(config)
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = list(groups)
        for name, values in groups.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = [f"w{i}" for i in range(len(values))] or np.zeros(0)
            for i, value in enumerate(values):
                group.create_dataset(f"w{i}", data=value)
    return path


def as_keras(path, config, groups, version="3.15.1"):
    """groups: {path of a group below the root: [arrays]}."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        for name, values in groups.items():
            group = file.create_group(name)
            for i, value in enumerate(values):
                group.create_dataset(f"vars/{i}", data=value)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {"metadata.json": json.dumps({"keras_version": version}), "config.json": json.dumps(config),
                           "model.weights.h5": image.getvalue()}.items():
            archive.writestr(name, data)
    return path


def images(*shape):
    return GENERATOR.uniform(-1, 1, (3, *(shape or (5, 5, 2)))).astype(np.float32)


def linear(x):
    """The convolution CONV on x."""
    model = nn.Sequential([layers.InputLayer((5, 5, 2)), layers.Conv2D(2, 3)], input_range=(-50, 50))
    model.set_weights(CONV)
    return model.predict(x)


def leaky(slope):
    return lambda z: np.where(z > 0, z, slope * z)


ALPHA = GENERATOR.uniform(0.1, 0.9, (3, 3, 2)).astype(np.float32)
ACTIVATIONS = {         # activation in the file, version, what it computes, arrays of its own
    "hard_sigmoid of Keras 2": ("hard_sigmoid", "2.15.0", lambda z: np.clip(0.2 * z + 0.5, 0, 1), []),
    "hard_sigmoid of Keras 3": ("hard_sigmoid", "3.15.1", lambda z: np.clip(z / 6 + 0.5, 0, 1), []),
    "silu": ("silu", "3.15.1", lambda z: z / (1 + np.exp(-z)), []), "swish": ("swish", "2.15.0", lambda z: z / (1 + np.exp(-z)), []),
    "tf.nn.softmax": ({"module": "builtins", "class_name": "function", "config": "softmax_v2", "registered_name": "function"}, "3.15.1",
                      lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True), []),
    "relu6": ("relu6", "3.15.1", lambda z: np.clip(z, 0, 6), []), "leaky_relu": ("leaky_relu", "2.15.0", leaky(0.2), []),
    "LeakyReLU(0.05), Keras 2": ({"module": "keras.layers", "class_name": "LeakyReLU", "config": {"name": "l", "alpha": 0.05},
                                  "registered_name": None}, "2.15.0", leaky(0.05), []),
    "LeakyReLU(0.05), Keras 3": ({"class_name": "LeakyReLU", "config": {"name": "l", "negative_slope": 0.05}}, "3.15.1", leaky(0.05), []),
    "ReLU(1.)": ({"class_name": "ReLU", "config": {"name": "l", "max_value": 1.0}}, "3.15.1", lambda z: np.clip(z, 0, 1), []),
    "ELU(0.3)": ({"class_name": "ELU", "config": {"name": "l", "alpha": 0.3}}, "2.15.0",
                 lambda z: np.where(z > 0, z, 0.3 * np.expm1(z)), []),
    "PReLU()": ({"class_name": "PReLU", "config": {"name": "l", "shared_axes": None}}, "2.15.0",
                lambda z: np.where(z > 0, z, ALPHA * z), [ALPHA]),
}


@pytest.mark.parametrize("name", ["hard_sigmoid", "keras2_hard_sigmoid"])
def test_a_hard_sigmoid_here_is_written_so_that_both_versions_compute_it(name, tmp_path):
    """Keras 2 and Keras 3 compute different things by that name."""
    def conv():
        return layers.Conv2D(3, 2, activation=name, input_shape=(5, 5, 2))
    start, x = nn.Input((5, 5, 2)), images()
    for model in (nn.Sequential([conv(), layers.Activation(name), layers.Flatten(), layers.Dense(2)], input_range=(-50, 50)),
                  nn.Model(start, layers.Add()([conv()(start), layers.Conv2D(3, 2)(start)]), input_range=(-50, 50))):
        for ending in (".h5", ".keras", ".weights.h5"):
            model.save(tmp_path / f"m{ending}")
        for ending in (".h5", ".keras"):
            again = tinyvgg.load_model(tmp_path / f"m{ending}")
            for found in (again, again.load_weights(tmp_path / "m.weights.h5")):
                assert np.allclose(found.predict(x), model.predict(x), atol=1e-6)
            assert "hard_sigmoid" not in str(keras_h5.read(tmp_path / f"m{ending}").description)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_activations(kind, ending, tmp_path):
    activation, version, function, own = ACTIVATIONS[kind]
    config = chain(conv(activation=activation))
    if ending == ".h5":
        path = as_h5(tmp_path / "m.h5", config, {"conv": [*CONV, *own]}, version)
    else:
        groups = {"layers/conv2d": CONV, **({"layers/conv2d/activation": own} if own else {})}
        path = as_keras(tmp_path / "m.keras", config, groups, version)
    x = images()
    expected = function(linear(x).astype(np.float64))
    assert np.allclose(tinyvgg.load_model(path).predict(x), expected, atol=1e-6)
    for target in (".h5", ".keras"):
        keras_h5.convert(path, tmp_path / f"o{target}")
        assert np.allclose(tinyvgg.load_model(tmp_path / f"o{target}").predict(x), expected, atol=1e-6)


@pytest.mark.parametrize("activation", [
    {"value": ["4wEAAAAA", None, None]}, {"class_name": "__lambda__", "config": {"value": "x"}},
    {"module": "builtins", "class_name": "function", "config": "swish", "registered_name": "function"},
    {"module": None, "class_name": "function", "config": "theirs>swish", "registered_name": "theirs>swish"},
    {"module": None, "class_name": "function", "config": "relu", "registered_name": "theirs>relu"},
    {"class_name": "relu", "config": {}, "registered_name": "theirs>relu"},
    {"module": "__main__", "class_name": "function", "config": "softmax_v2", "registered_name": "theirs>softmax_v2"},
    {"class_name": "theirs>LeakyReLU", "config": {"name": "l"}}, {"module": "__main__", "class_name": "ReLU", "config": {"name": "l"}},
    "mine", 3, ["relu"]], ids=str)
def test_what_is_not_keras_own_activation(activation, tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(conv(activation=activation)), {"conv": CONV}, "3.15.1")
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match="'conv' .Conv2D. has|activation of layer 'conv'"):
            task()
    assert not (tmp_path / "o.h5").exists()
    assert main(["summary", str(path)]) == 0


@pytest.mark.parametrize("layer", [
    {**conv(), "module": "keras.layers", "registered_name": "me2>Conv2D"}, {**conv(), "module": "__main__", "registered_name": None},
    {**conv(), "module": "keras_cv.layers"}, {**conv(), "class_name": "me2>Conv2D"},
    conv(kernel_regularizer={"module": "__main__", "class_name": "L2", "config": {"l2": 0.1}, "registered_name": "theirs>L2"}),
    {**entry("Add", "conv"), "module": "theirs.ops.sums"},
    entry("Lambda", "conv", function=["4wEAAAAA", None, None])], ids=lambda v: str(v)[:30])
def test_whose_class_it_is_decides(layer, tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(layer), {"conv": CONV})
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match="layer 'conv'"):
            task()


@pytest.mark.parametrize("module", ["keras_core.layers", "tf_keras.layers", "keras.src.layers.convolutional.conv2d", "tensorflow.keras.layers"])
def test_every_name_of_keras_is_keras(module, tmp_path):
    path = as_h5(tmp_path / "m.h5", chain({**conv(), "module": module, "registered_name": "Conv2D"}), {"conv": CONV})
    x = images()
    assert np.array_equal(tinyvgg.load_model(path).predict(x), linear(x))


def graph(*entries, output, version=2):
    start = {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 5, 5, 2]}, "inbound_nodes": []}
    return {"class_name": "Functional", "config": {"name": "g", "layers": [start, *entries], "input_layers": [["x", 0, 0]],
                                                   "output_layers": [[output, 0, 0]]}}


def node(made, *inbound):
    return {**made, "name": made["config"]["name"], "inbound_nodes": list(inbound)}


def tensor(name):
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}}


NORM = [np.array([1.5, 0.5]), np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([2.0, 0.5])]


@pytest.mark.parametrize("training", [True, False, None])
def test_called_in_training(training, tmp_path):
    config = graph(node(entry("BatchNormalization", "n", axis=[3]), [["x", 0, 0, {"training": training}]]), output="n")
    two = as_h5(tmp_path / "m.h5", config, {"n": NORM})
    three = as_h5(tmp_path / "m3.h5", config, {"n": NORM}, "3.15.1")
    if training:
        with pytest.raises(NotYet, match="'n' .BatchNormalization. is called with training=True"):
            tinyvgg.load_model(two)
        with pytest.raises(NotYet, match="training=True"):
            keras_h5.convert(two, tmp_path / "o.h5")
    else:
        tinyvgg.load_model(two)
        changes = keras_h5.convert(two, tmp_path / "o.h5")
        assert any("training=False" in change for change in changes) == (training is False)
    tinyvgg.load_model(three)           # Keras 3 does not heed it in predict


@pytest.mark.parametrize("training", [True, 1])
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_nested_model_called_in_training(ending, training, tmp_path):
    within = {"class_name": "Sequential", "config": {"name": "within", "layers": [
        entry("InputLayer", "own", batch_input_shape=[None, 5, 5, 2]), entry("BatchNormalization", "n", axis=[3])]}}
    config = graph(node(within, [["x", 0, 0, {"training": training}]]), output="within")
    path = (as_h5(tmp_path / "m.h5", config, {"within": NORM}) if ending == ".h5" else
            as_keras(tmp_path / "m.keras", config, {"layers/sequential/layers/batch_normalization": NORM}, "2.15.0"))
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match="'within' .Sequential. is called with training=True"):
            task()


@pytest.mark.parametrize("layer", [entry("LSTM", "t", units=2, dropout=0.5),
                                   entry("TimeDistributed", "t", layer=entry("Dropout", "d", rate=0.5))], ids=str)
def test_chance_within_a_layer_called_in_training(layer, tmp_path):
    config = graph(node(layer, [["x", 0, 0, {"training": True}]]), output="t")
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 5, 2]
    path = as_h5(tmp_path / "m.h5", config, {"t": arrays((2, 8), (2, 8), (8,))} if layer["class_name"] == "LSTM" else {})
    with pytest.raises(NotYet, match="'t' .* is called with training=True"):
        keras_h5.convert(path, tmp_path / "o.h5")


def test_functions_between_layers(tmp_path):
    two = graph(node(entry("TFOpLambda", "tf.math.truediv", function="math.truediv"), ["x", 0, 0, {"y": 2.0, "name": None}]),
                node(entry("TFOpLambda", "s", function="math.subtract"), ["_CONSTANT_VALUE", -1, 1.0, {"y": ["tf.math.truediv", 0, 0]}]),
                node(entry("TFOpLambda", "a", function="__operators__.add"), ["s", 0, 0, {"y": ["x", 0, 0], "name": None}]), output="a")
    three = graph(node(entry("TrueDivide", "d"), {"args": [tensor("x"), 2.0], "kwargs": {}}),
                  node(entry("Subtract", "s"), {"args": [1.0, tensor("d")], "kwargs": {}}),
                  node(entry("Add", "a"), {"args": [tensor("s"), tensor("x")], "kwargs": {}}), output="a")
    x = images()
    for config, version in ((two, "2.15.0"), (three, "3.15.1")):
        path = as_h5(tmp_path / "m.h5", config, {}, version)
        assert np.allclose(tinyvgg.load_model(path).predict(x), 1 - x / 2 + x, atol=1e-6)
        keras_h5.convert(path, tmp_path / "o.h5")
        assert np.allclose(tinyvgg.load_model(tmp_path / "o.h5").predict(x), 1 - x / 2 + x, atol=1e-6)
        with h5py.File(tmp_path / "o.h5") as file:
            assert "OpLambda" not in file.attrs["model_config"] and "TrueDivide" not in file.attrs["model_config"]


@pytest.mark.parametrize("function, arguments", [
    ("math.pow", {"y": 2.0}), ("math.multiply", {"y": [[1.0], [2.0]]}), ("math.maximum", {"y": 0.0}), ("math.reduce_mean", {"axis": 0}),
    ("math.truediv", {"y": 0.0}), ("__operators__.getitem", {"slice_spec": 0}), ("nn.softmax", {"axis": 1})])
def test_other_functions_are_refused(function, arguments, tmp_path):
    config = graph(node(entry("TFOpLambda", "f", function=function), ["x", 0, 0, arguments]), output="f")
    path = as_h5(tmp_path / "m.h5", config, {})
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match=f"'f' is the function '{function}'"):
            task()


def test_an_add_of_keras_3_with_a_number_is_no_add(tmp_path):
    config = graph(node(entry("Add", "a"), {"args": [tensor("x"), 1.5], "kwargs": {}}), output="a")
    x = images()
    assert np.allclose(tinyvgg.load_model(as_h5(tmp_path / "m.h5", config, {}, "3.15.1")).predict(x), x + 1.5)


def test_concatenate_of_one(tmp_path):
    config = graph(node(entry("Concatenate", "c", axis=-1), [["x", 0, 0, {}]]), node(entry("Flatten", "f"), [["c", 0, 0, {}]]), output="f")
    x = images()
    path = as_h5(tmp_path / "m.h5", config, {})
    keras_h5.convert(path, tmp_path / "o.h5")
    for name in ("m.h5", "o.h5"):
        assert np.array_equal(tinyvgg.load_model(tmp_path / name).predict(x), x.reshape(3, -1))


# --- layouts ---

@pytest.mark.parametrize("key", ["layers/{}", "layers\\{}", "_layer_checkpoint_dependencies/{}", "_layer_checkpoint_dependencies\\{}"])
def test_layouts_of_keras_archives(key, tmp_path):
    """Keras 2 on Windows writes whole paths as one name; 2.14 has another first group."""
    path = as_keras(tmp_path / "m.keras", chain(conv(), conv("again")), {key.format("conv2d"): CONV, key.format("conv2d_1"): CONV[:]},
                    "2.15.0")
    x = images()
    model = tinyvgg.load_model(path)
    assert np.allclose(model.predict(x), nn_twice(x), atol=1e-5)
    keras_h5.convert(path, tmp_path / "o.h5")           # a model that was never compiled has compile_config {} or none
    assert np.allclose(tinyvgg.load_model(tmp_path / "o.h5").predict(x), nn_twice(x), atol=1e-5)


def nn_twice(x):
    model = nn.Sequential([layers.InputLayer((5, 5, 2)), layers.Conv2D(2, 3), layers.Conv2D(2, 3)], input_range=(-50, 50))
    model.set_weights([*CONV, *CONV])
    return model.predict(x)


def test_nested_on_windows(tmp_path):
    inner = entry("Sequential", "inner", layers=[conv(), entry("Flatten", "flat")])
    path = as_keras(tmp_path / "m.keras", chain(inner), {"layers\\sequential\\layers\\conv2d": CONV}, "2.15.0")
    x = images()
    assert np.allclose(tinyvgg.load_model(path).predict(x), linear(x).reshape(3, -1), atol=1e-6)


@pytest.mark.parametrize("extra", ["layers/conv2d/adapter", "layers/conv2d_1", "layers/dense"])
def test_arrays_that_belong_to_nothing_are_not_passed_over(extra, tmp_path):
    path = as_keras(tmp_path / "m.keras", chain(conv()), {"layers/conv2d": CONV, extra: CONV[:1]})
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match="belong to no known layer"):
            task()


def test_states_of_generators_are_no_weights(tmp_path):
    seed = [np.zeros(2, np.uint32)]
    path = as_keras(tmp_path / "m.keras", chain(entry("RandomFlip", "r", mode="vertical"), entry("Dropout", "d", rate=0.1), conv()),
                    {"layers/conv2d": CONV, "layers/random_flip/generator": seed, "layers/dropout/seed_generator": seed,
                     "optimizer": [np.zeros((), np.int64)]})
    x = images()
    assert np.allclose(tinyvgg.load_model(path).predict(x), linear(x), atol=1e-6)


# --- layers within layers keep their arrays ---

LSTM = entry("LSTM", "r", units=2)
CELL = [np.float32(GENERATOR.normal(size=s)) for s in ((3, 8), (2, 8), (8,))]
SERIES = {
    "lstm": (LSTM, {"layers/lstm/cell": CELL}),
    "bidirectional": (entry("Bidirectional", "b", layer=LSTM), {"layers/bidirectional/forward_layer/cell": CELL,
                                                                "layers/bidirectional/backward_layer/cell": CELL[::-1][::-1]}),
    "time distributed": (entry("TimeDistributed", "t", layer=entry("BatchNormalization", "n", axis=-1)),
                         {"layers/time_distributed/layer": [np.ones(3, np.float32) * i for i in range(4)]}),
    "rnn of cells": (entry("RNN", "r", cell=entry("StackedRNNCells", "s", cells=[entry("LSTMCell", "a", units=2),
                                                                                  entry("GRUCell", "g", units=1)])),
                     {"layers/rnn/cell/cells/lstm_cell": CELL,
                      "layers/rnn/cell/cells/gru_cell": [np.float32(GENERATOR.normal(size=s)) for s in ((2, 3), (1, 3), (2, 3))]}),
}


@pytest.mark.parametrize("kind", SERIES)
@pytest.mark.parametrize("ending", [".h5", ".keras", ".weights.h5"])
def test_recurrent_arrays_are_kept(kind, ending, tmp_path):
    layer, groups = SERIES[kind]
    path = as_keras(tmp_path / "m.keras", chain(layer, shape=(4, 3)), groups)
    keras_h5.convert(path, tmp_path / f"o{ending}")
    if ending == ".h5":
        with h5py.File(tmp_path / "o.h5") as file:
            group = file["model_weights"][layer["config"]["name"]]
            held = [group[n][()] for n in group.attrs["weight_names"]]
        assert [a.tobytes() for a in held] == [a.tobytes() for values in groups.values() for a in values]
        keras_h5.convert(tmp_path / "o.h5", tmp_path / "back.keras")        # and back to the same groups
        with zipfile.ZipFile(tmp_path / "back.keras") as archive:
            image = archive.read("model.weights.h5")
    elif ending == ".keras":
        with zipfile.ZipFile(tmp_path / "o.keras") as archive:
            image = archive.read("model.weights.h5")
    else:
        image = (tmp_path / "o.weights.h5").read_bytes()
    with h5py.File(io.BytesIO(image)) as file:
        for name, values in groups.items():
            assert [file[f"{name}/vars/{i}"][()].tobytes() for i in range(len(values))] == [a.tobytes() for a in values]


@pytest.mark.parametrize(("version", "slope"), [("2.15.0", 0.2), ("2.2.4", 0.2), ("3.15.1", 1 / 6)])
def test_recurrent_hard_sigmoid_means_what_its_version_computes(version, slope, tmp_path):
    """The recurrent activation of every LSTM before Keras 2.3 unless its owner said otherwise."""
    layer = entry("LSTM", "r", units=2, activation="tanh", recurrent_activation="hard_sigmoid")
    model = tinyvgg.load_model(as_keras(tmp_path / "m.keras", chain(layer, shape=(4, 3)), {"layers/lstm/cell": CELL}, version))
    x = np.random.default_rng(5).random((2, 4, 3), dtype=np.float32)
    h = c = np.zeros((2, 2))
    for t in range(4):
        z = x[:, t] @ CELL[0] + h @ CELL[1] + CELL[2]
        i, f, o = (np.clip(slope * z[:, k:k + 2] + 0.5, 0, 1) for k in (0, 2, 6))
        c = f * c + i * np.tanh(z[:, 4:6])
        h = o * np.tanh(c)
    assert np.abs(model.predict(x) - h).max() < 1e-6
    model.save(tmp_path / "m.npz")
    assert np.array_equal(tinyvgg.load_model(tmp_path / "m.npz").predict(x), model.predict(x))
    for lost in (model, nn.Sequential([layers.InputLayer((4, 3)), layers.LSTM(2, activation="hard_sigmoid", name="r")])):
        with pytest.raises(NotYet, match="'r' .LSTM."):
            lost.save(tmp_path / "again.h5")
        assert not (tmp_path / "again.h5").exists()


def test_recurrent_hard_sigmoid_is_not_converted(tmp_path):
    layer = entry("LSTM", "r", units=2, recurrent_activation="hard_sigmoid")
    path = as_keras(tmp_path / "m.keras", chain(layer, shape=(4, 3)), {"layers/lstm/cell": CELL}, "2.15.0")
    with pytest.raises(NotYet, match="'r' .LSTM. has the activation 'hard_sigmoid', which Keras 2 and Keras 3"):
        keras_h5.convert(path, tmp_path / "o.h5")
    assert main(["analyze", str(path), "--json"]) == 0          # what it costs does not depend on it


def test_dropout_with_a_noise_shape_is_the_identity_at_inference(tmp_path):
    """Dropout(0.2, 2) of a public file."""
    path = as_h5(tmp_path / "m.h5", chain(conv(), entry("Dropout", "d", rate=0.2, noise_shape=2)), {"conv": CONV})
    x = images()
    assert np.allclose(tinyvgg.load_model(path).predict(x), linear(x), atol=1e-6)
    assert any("noise_shape=2" in change for change in keras_h5.convert(path, tmp_path / "o.h5"))


def test_a_class_of_another_library_is_named_first(tmp_path):
    clip = {"class_name": "Clip", "config": {"min_value": -1}}
    path = as_h5(tmp_path / "m.h5", chain(entry("QDense", "q", units=2, kernel_constraint=clip)), {"q": CONV})
    with pytest.raises(NotYet, match="'q' .QDense. cannot be computed here"):
        tinyvgg.load_model(path)
    with pytest.raises(NotYet, match="'q' is a 'QDense'"):
        keras_h5.convert(path, tmp_path / "o.h5")


def test_convert_refuses_what_one_version_has(tmp_path):
    for layer in (entry("RandomShear", "r", x_factor=0.1), entry("RMSNormalization", "r")):
        path = as_h5(tmp_path / "m.h5", chain(layer), {}, "3.15.1")
        with pytest.raises(NotYet, match="'r' is a"):
            keras_h5.convert(path, tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()


def test_nothing_is_left_when_the_written_file_differs(tmp_path, monkeypatch):
    """The comparison after writing is real: arrays that come out different leave no file."""
    from tinyvgg.io.keras_h5 import writer
    path = as_h5(tmp_path / "m.h5", chain(conv()), {"conv": CONV})
    (tmp_path / "o.h5").write_bytes(b"as it was")
    monkeypatch.setattr(writer, "_write_arrays", lambda group, names, values, write=writer._write_arrays:
                        write(group, names, [v * 2 for v in values]))
    with pytest.raises(TinyVGGError, match="'conv' came out different"):
        keras_h5.convert(path, tmp_path / "o.h5")
    assert (tmp_path / "o.h5").read_bytes() == b"as it was" and {p.name for p in tmp_path.iterdir()} == {"m.h5", "o.h5"}


# --- preprocessing and training-only layers ---

@pytest.mark.parametrize("axis, size, invert", [(-1, (2,), False), ([3], (2,), True), (None, (), False), ([1, 3], (5, 2), False)])
def test_normalization(axis, size, invert, tmp_path):
    mean, variance = GENERATOR.normal(size=size).astype(np.float32), GENERATOR.uniform(0.5, 2, size).astype(np.float32)
    config = chain(entry("Normalization", "n", axis=axis, invert=invert, mean=None, variance=None), conv())
    shape = {(2,): (1, 1, 1, 2), (): (1, 1, 1, 1), (5, 2): (1, 5, 1, 2)}[size]
    x, m, s = images(), mean.reshape(shape), np.sqrt(variance).reshape(shape)
    expected = linear(m + x * s if invert else (x - m) / s)
    held = [mean, variance, np.zeros((), np.int64)]
    for path in (as_h5(tmp_path / "m.h5", config, {"n": held, "conv": CONV}),
                 as_keras(tmp_path / "m.keras", config, {"layers/normalization": held, "layers/conv2d": CONV})):
        assert np.allclose(tinyvgg.load_model(path).predict(x), expected, atol=1e-5)
        if axis == [1, 3]:                  # no shape of these statistics opens in both versions
            with pytest.raises(NotYet, match="'n' .Normalization. has statistics along axis"):
                keras_h5.convert(path, tmp_path / "o.h5")
            continue
        keras_h5.convert(path, tmp_path / "o.h5")
        assert np.allclose(tinyvgg.load_model(tmp_path / "o.h5").predict(x), expected, atol=1e-5)


def test_layers_that_act_in_training(tmp_path):
    names = {"RandomFlip": {"mode": "vertical"}, "RandomRotation": {"factor": 0.1, "fill_mode": "nearest"}, "RandomZoom": {"height_factor": 0.2},
             "ActivityRegularization": {"l1": 0.1}, "GaussianNoise": {"stddev": 0.3}, "GaussianDropout": {"rate": 0.2},
             "AlphaDropout": {"rate": 0.2}}
    config = chain(*(entry(k, k.lower(), **v) for k, v in names.items()), conv(), entry("Flatten", "f"), entry("Dense", "d", units=2))
    dense = arrays((18, 2), (2,))
    path = as_h5(tmp_path / "m.h5", config, {"conv": CONV, "d": dense})
    model, x = tinyvgg.load_model(path), images()
    assert np.allclose(model.predict(x), linear(x).reshape(3, -1) @ dense[0] + dense[1], atol=1e-5)
    model.save(tmp_path / "o.h5")
    keras_h5.convert(path, tmp_path / "c.h5")
    for name in ("o.h5", "c.h5"):
        with h5py.File(tmp_path / name) as file:
            written = {e["class_name"]: e["config"] for e in json.loads(file.attrs["model_config"])["config"]["layers"]}
        assert all(written[k].items() >= v.items() for k, v in names.items())
    with pytest.warns(UserWarning, match="randomflip .RandomFlip., .* will not be applied in training"):
        model.fit(np.abs(images()), np.array([0, 1, 0]), epochs=1, batch_size=3)


def test_a_random_crop_within_a_network_is_refused_in_a_sentence(tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(entry("RandomCrop", "r", height=3, width=4)), {}, "3.15.1")
    with pytest.raises(NotYet, match="'r' .RandomCrop. makes images of another size"):
        tinyvgg.load_model(path)


def test_vectors_of_rescaling(tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(entry("Rescaling", "r", scale=[2.0, 3.0], offset=[0.0, 1.0])), {})
    x = images()
    assert np.allclose(tinyvgg.load_model(path).predict(x), x * [2, 3] + [0, 1], atol=1e-6)
    for scale in ([1.0, 2.0, 3.0], "x", None, [[1.0]]):
        with pytest.raises(TinyVGGError, match="'r'|Rescaling r"):
            tinyvgg.load_model(as_h5(tmp_path / "m.h5", chain(entry("Rescaling", "r", scale=scale)), {}))


def test_images_without_a_channel_axis(tmp_path):
    """The first example of TensorFlow's own pages."""
    dense = arrays((784, 3), (3,))
    path = as_h5(tmp_path / "m.h5", chain(entry("Flatten", "f"), entry("Dense", "d", units=3), shape=(28, 28)), {"d": dense})
    x = images(28, 28)
    model = tinyvgg.load_model(path)
    assert np.allclose(model.predict(x), x.reshape(3, -1) @ dense[0] + dense[1], atol=1e-5)
    assert model.vjp(x, np.ones((3, 3))).shape == x.shape
    levels = np.random.default_rng(1).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    integer = quantize(model, levels)
    assert np.array_equal(integer.integer_logits(levels), integer.trace(levels)[integer.graph.logits.name].reshape(6, 3))


# --- what is said ---

@pytest.mark.parametrize("theirs", [{"optimizer_config": {"module": "theirs", "class_name": "Adam", "config": {}}, "loss": "mse"},
                                    {"optimizer_config": {"class_name": "Adam", "registered_name": "theirs.x>Adam", "config": {}}, "loss": "mse"},
                                    {"optimizer_config": {"class_name": "Adam", "config": {}},
                                     "loss": {"module": "theirs", "class_name": "MeanSquaredError", "config": {}}}],
                                     ids=["optimizer", "registered", "loss"])
def test_training_by_the_owners_code_is_left_out_in_a_sentence(theirs, tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(conv()), {"conv": CONV})
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = json.dumps(theirs)
    assert any("theirs." in change for change in keras_h5.convert(path, tmp_path / "o.h5"))
    with h5py.File(tmp_path / "o.h5") as file:
        assert "training_config" not in file.attrs


def test_slots_that_are_not_understood_are_left_out_in_a_sentence(tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(conv()), {"conv": CONV})
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = json.dumps({"optimizer_config": {"class_name": "Adam", "config": {}}, "loss": "mse"})
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = ["i", "a", "b"]
        for name in "iab":
            group[name] = np.ones(2)
    assert any("slots are left out" in change for change in keras_h5.convert(path, tmp_path / "o.h5"))


def test_one_line_for_all_regularizers(tmp_path):
    l2 = {"class_name": "L2", "config": {"l2": 0.01}}
    path = as_h5(tmp_path / "m.h5", chain(*(conv(f"c{i}", padding="same", kernel_regularizer=l2, bias_regularizer=l2) for i in range(6))),
                 {f"c{i}": CONV for i in range(6)})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tinyvgg.load_model(path)
    assert [str(w.message) for w in said] == ["bias_regularizer, kernel_regularizer of c0, c1, c2 and 3 more will not be applied in training; "
                                              "answers do not depend on them"]


def test_weights_of_another_shape_are_refused(tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(conv()), {"conv": CONV})
    model = nn.Sequential([layers.InputLayer((5, 5, 2)), layers.Conv2D(3, 3, name="conv")])
    with pytest.raises(FormatError, match="conv/kernel has shape"):
        model.load_weights(path)


def test_c_of_floats_does_not_speak_of_integers(tmp_path):
    from tinyvgg.codegen import generate
    model = nn.Sequential([layers.InputLayer((4,)), layers.Dense(2), layers.Reshape((1, 2)), layers.LSTM(2, name="last")])
    with pytest.raises(NotYet, match="C code has no LSTM yet .'last'.") as caught:
        generate(model, tmp_path / "c")
    assert "integer" not in str(caught.value)
