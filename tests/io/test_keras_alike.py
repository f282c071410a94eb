"""Layers and functions of Keras' files that are other layers here: what they compute, and what convert writes of them."""
import json
import warnings

import h5py
import numpy as np
import pytest

import tinyvgg
from tests.io.test_keras_kinds import arrays, as_h5, as_keras, chain, conv, entry, graph, images, node, tensor
from tinyvgg import kernels, nn
from tinyvgg.errors import NotYet, TinyVGGError
from tinyvgg.io import keras_h5
from tinyvgg.nn import layers


@pytest.fixture(autouse=True, scope="module")
def of_numpy():
    """The layers are the question here, not their fast stages."""
    with kernels.use("reference"):
        yield


CELL = arrays((3, 8), (2, 8), (8,))
DENSE = arrays((3, 4), (4,))


def predicted(config, groups=None, version="3.15.1", *, x, folder, convert=True):
    """What load_model answers on x; what convert writes of the file answers the same."""
    path = as_h5(folder / "m.h5", config, groups or {}, version)
    found = tinyvgg.load_model(path).predict(x)
    if convert:
        keras_h5.convert(path, folder / "o.h5")
        assert np.array_equal(tinyvgg.load_model(folder / "o.h5").predict(x), found)
    return found


def called(*arguments, **named):
    return {"args": list(arguments), "kwargs": named}


PER_CHANNEL = {"class_name": "__numpy__", "config": {"value": [1.0, 2.0], "dtype": "float32"}}
THREE = {       # the entry of Keras 3 on x, and what it computes
    "x * y": (entry("Multiply", "f"), called(tensor("x"), tensor("x")), lambda x: x * x),
    "x - y": (entry("Subtract", "f"), called(tensor("x"), tensor("x")), lambda x: x - x),
    "maximum": (entry("Maximum", "f"), called(tensor("x"), tensor("x")), lambda x: x),
    "x * array": (entry("Multiply", "f"), called(tensor("x"), PER_CHANNEL), lambda x: x * [1, 2]),
    "array - x": (entry("Subtract", "f"), called(PER_CHANNEL, tensor("x")), lambda x: [1, 2] - x),
    "x / array": (entry("TrueDivide", "f"), called(tensor("x"), PER_CHANNEL), lambda x: x / [1, 2]),
    "-x": (entry("Negative", "f"), called(tensor("x")), lambda x: -x),
    "square": (entry("Square", "f"), called(tensor("x")), lambda x: x * x),
    "silu": (entry("Silu", "f"), called(tensor("x")), lambda x: x / (1 + np.exp(-x))),
    "softplus": (entry("Softplus", "f"), called(tensor("x")), lambda x: np.log1p(np.exp(x))),
    "mean": (entry("Mean", "f", axis=[1, 2], keepdims=False), called(tensor("x")), lambda x: x.mean((1, 2))),
    "mean, kept": (entry("Mean", "f", axis=[2, 1], keepdims=True), called(tensor("x")), lambda x: x.mean((1, 2), keepdims=True)),
    "max": (entry("Max", "f", axis=[1, 2], keepdims=False, initial=None), called(tensor("x")), lambda x: x.max((1, 2))),
    "reshape": (entry("Reshape", "f", newshape=[-1, 50]), called(tensor("x")), lambda x: x.reshape(3, 50)),
    "concatenate": (entry("Concatenate", "f", axis=-1), called([tensor("x"), tensor("x")]), lambda x: np.concatenate([x, x], -1)),
}


@pytest.mark.parametrize("name", THREE)
def test_functions_of_keras_3(name, tmp_path):
    function, call, expected = THREE[name]
    x = images()
    found = predicted(graph(node(function, call), output="f"), x=x, folder=tmp_path)
    assert np.allclose(found, expected(x.astype(np.float64)), atol=1e-6)
    with h5py.File(tmp_path / "o.h5") as file:
        written = json.loads(file.attrs["model_config"])["config"]["layers"]
    assert all("trainable" in e["config"] or "dtype" in e["config"] for e in written if e["class_name"] != "InputLayer")


TWO = {
    "x * y": ("math.multiply", ["x", 0, 0, {"y": ["x", 0, 0], "name": None}], lambda x: x * x),
    "x - y": ("math.subtract", ["x", 0, 0, {"y": ["x", 0, 0], "name": None}], lambda x: x - x),
    "x * array": ("math.multiply", ["x", 0, 0, {"y": [1.0, 2.0]}], lambda x: x * [1, 2]),
    "x + array of an image": ("__operators__.add", ["x", 0, 0, {"y": [[[[1.0, 2.0]]]]}], lambda x: x + [1, 2]),
    "mean": ("math.reduce_mean", ["x", 0, 0, {"axis": [1, 2]}], lambda x: x.mean((1, 2))),
    "reshape": ("reshape", ["x", 0, 0, {"shape": [-1, 50]}], lambda x: x.reshape(3, 50)),
    "concat": ("concat", [["x", 0, 0, {"axis": -1}], ["x", 0, 0, {"axis": -1}]], lambda x: np.concatenate([x, x], -1)),
    "gelu": ("nn.softsign", ["x", 0, 0, {}], lambda x: x / (1 + abs(x))),
}


@pytest.mark.parametrize("name", TWO)
def test_functions_of_keras_2(name, tmp_path):
    function, call, expected = TWO[name]
    x = images()
    config = graph(node(entry("TFOpLambda", "f", function=function), call), output="f")
    assert np.allclose(predicted(config, version="2.15.0", x=x, folder=tmp_path), expected(x.astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("function, call", [
    (entry("Average", "f", axis=None, weights=None), called(tensor("x"))), (entry("Mean", "f", axis=None, keepdims=False), called(tensor("x"))),
    (entry("Mean", "f", axis=[1, 3], keepdims=False), called(tensor("x"))), (entry("Gelu", "f", approximate=True), called(tensor("x"))),
    (entry("Multiply", "f"), called(tensor("x"), [[1.0, 2.0], [3.0, 4.0]])), (entry("Multiply", "f"), called(tensor("x"), [[1.0], [2.0, 3.0]])),
    (entry("Maximum", "f"), called(tensor("x"), 0.0)), (entry("Reshape", "f", newshape=[3, -1]), called(tensor("x"))),
    (entry("Concatenate", "f", axis=0), called([tensor("x"), tensor("x")])), (entry("TrueDivide", "f"), called(tensor("x"), [1.0, 0.0])),
    (entry("Dot", "f"), called(tensor("x"), tensor("x"))), (entry("Clip", "f", x_min=0, x_max=1), called(tensor("x")))], ids=str)
def test_functions_that_are_no_layers(function, call, tmp_path):
    """Keras' functions share names with its layers: the mean over everything is no Average of one input."""
    path = as_h5(tmp_path / "m.h5", graph(node(function, call), output="f"), {}, "3.15.1")
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match=f"'f' is the function {function['class_name']!r}"):
            task()


def test_a_mask_says_that_it_is_one(tmp_path):
    config = graph(node(entry("NotEqual", "not_equal"), called(tensor("x"), 0.0)), output="not_equal")
    with pytest.raises(NotYet, match="'not_equal' is the mask of a Masking"):
        tinyvgg.load_model(as_h5(tmp_path / "m.h5", config, {}, "3.15.1"))


def test_a_model_of_two_inputs_called_with_masks_of_none(tmp_path):
    """As Keras 3 writes every call of a nested model with several inputs."""
    inner = {"class_name": "Functional", "name": "two", "config": {"name": "two", "trainable": True, "layers": [
        {"class_name": "InputLayer", "name": n, "config": {"name": n, "batch_shape": [None, 5, 5, 2]}, "inbound_nodes": []} for n in "ab"] + [
        node(entry("Subtract", "s", trainable=True), called([tensor("a"), tensor("b")]))],
        "input_layers": [["b", 0, 0], ["a", 0, 0]], "output_layers": ["s", 0, 0]}}
    double = node(entry("Rescaling", "double", scale=2.0, trainable=True), called(tensor("x")))
    x = images()
    for mask, ok in (([None, None], True), (None, True), ([None, tensor("x")], False)):
        config = graph(double, {**inner, "inbound_nodes": [called([tensor("double"), tensor("x")], mask=mask)]}, output="two")
        if ok:
            assert np.allclose(predicted(config, x=x, folder=tmp_path), -x, atol=1e-6)
        else:
            with pytest.raises(NotYet, match="'two'"):
                tinyvgg.load_model(as_h5(tmp_path / "m.h5", config, {}, "3.15.1"))


@pytest.mark.parametrize("inner, own, function", [
    (entry("Dense", "d", units=4, activation="relu"), DENSE, lambda x: np.maximum(x @ DENSE[0] + DENSE[1], 0)),
    (entry("LeakyReLU", "d", negative_slope=0.1), [], lambda x: np.where(x > 0, x, 0.1 * x)),
    (entry("Activation", "d", activation="tanh"), [], np.tanh)], ids=["Dense", "LeakyReLU", "Activation"])
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_each_step_by_itself(inner, own, function, ending, tmp_path):
    config = chain(entry("TimeDistributed", "t", layer=inner), shape=(4, 3))
    path = (as_h5(tmp_path / "m.h5", config, {"t": own} if own else {}, "3.15.1") if ending == ".h5" else
            as_keras(tmp_path / "m.keras", config, {"layers/time_distributed/layer": own}))
    x = images(4, 3)
    model = tinyvgg.load_model(path)
    assert np.allclose(model.predict(x), function(x.astype(np.float64)), atol=1e-6)
    model.save(tmp_path / "again.h5")
    assert np.array_equal(tinyvgg.load_model(tmp_path / "again.h5").predict(x), model.predict(x))
    if own:
        keras_h5.convert(path, tmp_path / "o.h5")           # which keeps the TimeDistributed
        assert np.array_equal(tinyvgg.load_model(tmp_path / "o.h5").predict(x), model.predict(x))


def test_layers_that_compute_no_step_by_itself_are_refused(tmp_path):
    for inner in (entry("Softmax", "d", axis=1), entry("Flatten", "d"), entry("BatchNormalization", "d")):
        own = arrays(*[(3,)] * 4) if inner["class_name"] == "BatchNormalization" else []
        config = chain(entry("TimeDistributed", "t", layer=inner), shape=(4, 3))
        with pytest.raises(NotYet, match="'t' .TimeDistributed. cannot be computed here"):
            tinyvgg.load_model(as_h5(tmp_path / "m.h5", config, {"t": own} if own else {}))


def test_a_cell_run_over_a_series_is_its_layer(tmp_path):
    cell = entry("LSTMCell", "c", units=2, recurrent_activation="sigmoid")
    config = chain(entry("RNN", "r", cell=cell, return_sequences=True, go_backwards=True), shape=(4, 3))
    x = images(4, 3)
    twin = nn.Sequential([layers.InputLayer((4, 3)), layers.LSTM(2, return_sequences=True, go_backwards=True)], input_range=(-9, 9))
    twin.set_weights(CELL)
    for path in (as_h5(tmp_path / "m.h5", config, {"r": CELL}, "2.15.0"), as_keras(tmp_path / "m.keras", config, {"layers/rnn/cell": CELL})):
        assert np.array_equal(tinyvgg.load_model(path).predict(x), twin.predict(x))
    two = chain(entry("RNN", "r", cell=entry("StackedRNNCells", "s", cells=[cell])), shape=(4, 3))
    with pytest.raises(NotYet, match="'r' .RNN. cannot be computed here"):
        tinyvgg.load_model(as_h5(tmp_path / "m.h5", two, {"r": CELL}))


# --- images of another size ---

def in_float64(x, height, width):
    """Bilinear by its definition, pixel by pixel."""
    found = np.zeros((len(x), height, width, x.shape[3]))
    for i, j in np.ndindex(height, width):
        at = [min(max((k + 0.5) * n / m - 0.5, 0), n - 1) for k, n, m in ((i, x.shape[1], height), (j, x.shape[2], width))]
        low = [int(a) for a in at]
        high = [min(a + 1, n - 1) for a, n in zip(low, x.shape[1:3], strict=True)]
        (p, q), top, bottom = [a - b for a, b in zip(at, low, strict=True)], low[0], high[0]
        rows = [(1 - q) * x[:, r, low[1]] + q * x[:, r, high[1]] for r in (top, bottom)]
        found[:, i, j] = (1 - p) * rows[0] + p * rows[1]
    return found


@pytest.mark.parametrize("size", [(3, 4), (5, 5), (11, 2), (1, 7)])
def test_resizing(size, tmp_path):
    x = images()
    found = predicted(chain(entry("Resizing", "r", height=size[0], width=size[1], interpolation="bilinear")), x=x, folder=tmp_path)
    assert np.allclose(found, in_float64(x.astype(np.float64), *size), atol=1e-6)
    found = predicted(chain(entry("Resizing", "r", height=size[0], width=size[1], interpolation="nearest")), x=x, folder=tmp_path)
    rows, columns = (np.floor((np.arange(m) + 0.5) * 5 / m).astype(int) for m in size)
    assert np.array_equal(found, x[:, rows][:, :, columns])


def test_bilinear_up_sampling(tmp_path):
    x = images()
    found = predicted(chain(entry("UpSampling2D", "u", size=[2, 3], interpolation="bilinear")), x=x, folder=tmp_path)
    assert np.allclose(found, in_float64(x.astype(np.float64), 10, 15), atol=1e-6)
    model = tinyvgg.load_model(tmp_path / "m.h5")
    model.input_range = (-1, 1)
    with pytest.raises(NotYet, match="no UpSampling2D with interpolation 'bilinear'"):
        tinyvgg.quant.quantize(model, x)


def test_center_crop_is_a_cropping(tmp_path):
    x = images()
    found = predicted(chain(entry("CenterCrop", "c", height=2, width=3)), x=x, folder=tmp_path)
    assert np.array_equal(found, x[:, 1:3, 1:4])
    for name in ("CenterCrop", "RandomCrop", "Resizing"):           # of the size that the images have, nothing
        convert = name != "RandomCrop"
        assert np.array_equal(predicted(chain(entry(name, "c", height=5, width=5)), x=x, folder=tmp_path, convert=convert), x)
    with pytest.raises(NotYet, match="'c' .CenterCrop. makes images of another size"):
        tinyvgg.load_model(as_h5(tmp_path / "m.h5", chain(entry("CenterCrop", "c", height=9, width=3)), {}))


@pytest.mark.parametrize("more", [{"crop_to_aspect_ratio": True}, {"antialias": True}, {"pad_to_aspect_ratio": True}, {"interpolation": "area"}])
def test_other_resizing_is_refused(more, tmp_path):
    with pytest.raises(TinyVGGError, match="'r'"):
        tinyvgg.load_model(as_h5(tmp_path / "m.h5", chain(entry("Resizing", "r", height=3, width=4, **more)), {}, "3.15.1"))


# --- settings and activations ---

def test_arrays_among_the_settings_of_keras_3(tmp_path):
    x = images()
    offset = {"class_name": "__numpy__", "config": {"value": [0.5, -1.0], "dtype": "float32"}}
    found = predicted(chain(entry("Rescaling", "r", scale=PER_CHANNEL, offset=offset)), x=x, folder=tmp_path)
    assert np.allclose(found, x * [1, 2] + [0.5, -1], atol=1e-6)


@pytest.mark.parametrize("axis, shape, both", [([-1], (2,), True), ([1, 2, 3], (5, 5, 2), True), ([-2, -1], (5, 2), True),
                                               ([1, 2], (5, 5), False), ([1], (5,), False), (None, (), True)])
def test_statistics_of_both_versions_have_one_shape(axis, shape, both, tmp_path):
    """Keras 2 broadcasts them against the axes alone, Keras 3 against the image: only along the last axes is that the same."""
    mean, variance = (np.random.default_rng(i).uniform(0.5, 2, shape).astype(np.float32) for i in (3, 4))
    config = chain(entry("Normalization", "n", axis=axis, mean=None, variance=None))
    path = as_keras(tmp_path / "m.keras", config, {"layers/normalization": [mean, variance, np.zeros((), np.int64)]})
    x, model = images(), tinyvgg.load_model(path)
    wide = [n if axis is not None and (i in axis or i - 4 in axis) else 1 for i, n in enumerate((1, 5, 5, 2))]
    assert np.allclose(model.predict(x), (x - mean.reshape(wide)) / np.sqrt(variance.reshape(wide)), atol=1e-6)
    for task in (lambda: keras_h5.convert(path, tmp_path / "o.h5"), lambda: model.save(tmp_path / "o.h5")):
        if not both:
            with pytest.raises(NotYet, match="'n' .Normalization. has statistics along axis"):
                task()
            continue
        task()
        assert np.array_equal(tinyvgg.load_model(tmp_path / "o.h5").predict(x), model.predict(x))
        with h5py.File(tmp_path / "o.h5") as file:
            written = json.loads(file.attrs["model_config"])["config"]["layers"][1]["config"]
        assert np.shape(written["mean"]) == shape


@pytest.mark.parametrize("name", ["hard_silu", "hard_swish"])
def test_hard_silu(name, tmp_path):
    weights, x = arrays((3, 3, 2, 2), (2,)), images()
    path = as_h5(tmp_path / "m.h5", chain(conv(activation=name), entry("Activation", "a", activation=name)), {"conv": weights}, "3.15.1")
    plain = tinyvgg.load_model(as_h5(tmp_path / "l.h5", chain(conv()), {"conv": weights}, "3.15.1")).predict(x).astype(np.float64)
    model = tinyvgg.load_model(path)
    once = plain * np.clip(plain / 6 + 0.5, 0, 1)
    assert np.allclose(model.predict(x), once * np.clip(once / 6 + 0.5, 0, 1), atol=1e-6)
    for ending in (".h5", ".keras"):                # written in layers of both versions, since Keras 2 has no such function
        model.save(tmp_path / f"o{ending}")
        again = tinyvgg.load_model(tmp_path / f"o{ending}")
        assert np.allclose(again.predict(x), model.predict(x), atol=1e-6)
        assert "hard_s" not in str([leaf.config.get("activation") for leaf in keras_h5.read(tmp_path / f"o{ending}").description.leaves])
    with pytest.raises(NotYet, match=f"'conv' .Conv2D. has the activation {name!r}, which"):
        keras_h5.convert(path, tmp_path / "c.h5")
    first = nn.Sequential([layers.Conv2D(2, 3, activation=name, input_shape=(5, 5, 2))], input_range=(-50, 50))       # without an InputLayer
    first.save(tmp_path / "first.h5")
    assert np.allclose(tinyvgg.load_model(tmp_path / "first.h5").predict(x), first.predict(x), atol=1e-6)


def test_a_layer_that_is_not_known_is_the_reason_not_its_arrays(tmp_path):
    config = chain(entry("SpectralNormalization", "s", layer=conv()))
    path = as_keras(tmp_path / "m.keras", config, {"layers/spectral_normalization/layer": arrays((3, 3, 2, 2), (2,))})
    with pytest.raises(NotYet, match="'s' .SpectralNormalization. cannot be computed here"):
        tinyvgg.load_model(path)


def test_axes_are_refused_with_the_name_of_their_layer(tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(entry("BatchNormalization", "n", axis=[1])), {"n": arrays(*[(5,)] * 4)})
    with pytest.raises(TinyVGGError, match="BatchNormalization n has axis 1 on inputs of shape .5, 5, 2."):
        tinyvgg.load_model(path)


def test_a_range_in_place_of_a_files_own_is_told(tmp_path):
    path = as_h5(tmp_path / "m.h5", chain(entry("Rescaling", "r", scale=1 / 255), entry("Flatten", "f")), {})
    with pytest.warns(UserWarning, match="takes images from 0 to 255; 0 to 1 were given"):
        assert tinyvgg.open(path, input_range=(0, 1)).bounds == (0, 1)
    plain = as_h5(tmp_path / "p.h5", chain(entry("Flatten", "f")), {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tinyvgg.open(path, input_range="0,255").bounds == (0, 255)
        assert tinyvgg.open(plain, input_range=(-3, 3)).bounds == (-3, 3)


def test_identity(tmp_path):
    x = images()
    assert np.array_equal(predicted(chain(entry("Identity", "i")), x=x, folder=tmp_path), x)


def test_states_beside_a_result_are_refused_as_such(tmp_path):
    three = [["r", 0, i, {}] for i in range(3)]
    config = graph(node(entry("LSTM", "r", units=2, return_state=True), [["x", 0, 0, {}]]), node(entry("Concatenate", "c", axis=-1), three),
                   output="c")
    config["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 4, 3]
    path = as_h5(tmp_path / "m.h5", config, {"r": CELL})
    for task in (lambda: tinyvgg.load_model(path), lambda: keras_h5.convert(path, tmp_path / "o.h5")):
        with pytest.raises(NotYet, match="'r': return_state is True"):
            task()
    assert keras_h5.summary(path)["parameters"] == sum(a.size for a in CELL)


def test_lora_says_how_its_kernels_are_merged(tmp_path):
    path = as_keras(tmp_path / "m.keras", chain(entry("Dense", "d", units=4, lora_rank=2), shape=(3,)), {"layers/dense": DENSE})
    with pytest.raises(NotYet, match="'d' .Dense. has the setting lora_rank=2.*\n.*without enable_lora"):
        tinyvgg.load_model(path)


def test_bytes_for_a_range_that_no_file_tells_are_not_taken_without_a_word(tmp_path):
    """Keras would take them as 0..255; networks on 0..1 are as common."""
    path = as_h5(tmp_path / "m.h5", chain(entry("Flatten", "f")), {})
    x = np.arange(150, dtype=np.uint8).reshape(3, 5, 5, 2)
    with pytest.warns(UserWarning, match="does not say what range its images have: bytes 0..255 are taken as 0..1"):
        found = tinyvgg.load_model(path).predict(x)
    assert np.allclose(found, x.reshape(3, -1) / 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(tinyvgg.load_model(path, input_range=(0, 255)).predict(x), x.reshape(3, -1))
        assert np.array_equal(tinyvgg.load_model(path).predict(x.astype(np.float32)), x.reshape(3, -1))


def test_joined_along_any_axis_and_sums_of_one_pixel_with_all(tmp_path):
    x = images()
    pooled = node(entry("GlobalAveragePooling2D", "p", keepdims=True), [["x", 0, 0, {}]])
    added = graph(pooled, node(entry("Add", "a"), [["x", 0, 0, {}], ["p", 0, 0, {}]]), output="a")
    assert np.allclose(predicted(added, version="2.15.0", x=x, folder=tmp_path), x + x.mean((1, 2), keepdims=True), atol=1e-6)
    for axis in (1, 2, -2, -3, 3):
        joined = graph(node(entry("Concatenate", "c", axis=axis), [["x", 0, 0, {}], ["x", 0, 0, {}]]), output="c")
        assert np.array_equal(predicted(joined, version="2.15.0", x=x, folder=tmp_path), np.concatenate([x, x], axis))
        if axis != 3:
            with kernels.use("fast"):
                model = tinyvgg.load_model(tmp_path / "m.h5")
                model.input_range = (-1, 1)
                assert np.array_equal(model.predict(x), np.concatenate([x, x], axis))
            with pytest.raises(NotYet, match="no Concatenate along axis"):
                tinyvgg.quant.quantize(model, x)
    for wrong in (0, 4, -4):
        path = as_h5(tmp_path / "w.h5", graph(node(entry("Concatenate", "c", axis=wrong), [["x", 0, 0, {}]] * 2), output="c"), {})
        with pytest.raises(TinyVGGError, match="c"):
            tinyvgg.load_model(path)
