"""Integers of a .tflite file: the bytes that TensorFlow Lite's reference kernels gave, in simulation and in compiled C."""
import zlib

import numpy as np
import pytest

pytest.importorskip("tflite", reason='pip install "tinyvgg[tflite]"')
pytest.importorskip("flatbuffers", reason='pip install "tinyvgg[tflite]"')

from tests.io import fixtures
from tests.io.tflite_files import ADD, CONV, DENSE, POOL, Sketch
from tests.quant.networks import randomise
from tinyvgg import io, nn
from tinyvgg.cli import main
from tinyvgg.errors import NotYet
from tinyvgg.io.tflite.read import read
from tinyvgg.nn import layers as L
from tinyvgg.quant import load_tvq, quantize
from tinyvgg.quant.straight import straight_through
from tinyvgg.testing import assert_bit_exact

LIGHT = fixtures.FOLDER / "keras2" / "light_int8.tflite"


RECORDED = {
    "int8": [[146, 24, 24, 2, 60], [140, 28, 23, 2, 63], [150, 20, 22, 2, 61], [148, 22, 24, 2, 60]],
    "uint8": [[2, 133, 0, 0, 121], [2, 127, 0, 0, 127], [2, 114, 0, 0, 139], [2, 114, 0, 0, 139]],
}


def int8_network(seed=0, dtype="int8"):
    """A file with every op of integers: convolutions, depthwise, mul and add by channel, sum, pools, mean, a function, softmax."""
    r, s = np.random.default_rng(seed), Sketch()
    centre = 0 if dtype == "int8" else 128

    def weights(name, shape, axis):
        if dtype == "uint8":
            return s.constant(name, r.integers(0, 256, shape).astype(np.uint8), scale=0.005, zero=128)
        return s.constant(name, r.integers(-127, 128, shape).astype(np.int8), scale=r.uniform(0.002, 0.01, shape[axis]),
                          zero=np.zeros(shape[axis]), axis=axis)

    def bias(name, n):
        return s.constant(name, r.integers(-500, 500, n).astype(np.int32))

    def values(name, shape, scale, zero):
        return s.tensor(name, (1, *shape), dtype, scale=scale, zero=zero + centre)

    x = values("x", (8, 8, 3), 1 / 255, -128)
    y = s.add("CONV_2D", [x, weights("w1", (6, 3, 3, 3), 0), bias("b1", 6)], values("net/conv/Relu", (8, 8, 6), 0.02, -128), **CONV)
    g = s.constant("gain", r.integers(-100, 100, 6).astype(dtype) if dtype == "int8" else r.integers(0, 255, 6).astype(dtype),
                   scale=0.01, zero=5)
    y = s.add("MUL", [y, g], values("net/bn/mul", (8, 8, 6), 0.02, -9), FusedActivationFunction=0)
    y = s.add("ADD", [y, g], values("net/bn/add", (8, 8, 6), 0.025, -7), FusedActivationFunction=0)
    d = s.add("DEPTHWISE_CONV_2D", [y, weights("w2", (1, 3, 3, 6), 3), bias("b2", 6)],
              values("net/depthwise/Relu6", (8, 8, 6), 0.03, -128), **(CONV | {"DepthMultiplier": 1, "FusedActivationFunction": 3}))
    y = s.add("ADD", [d, y], values("net/sum", (8, 8, 6), 0.04, -60), **ADD)
    y = s.add("MAX_POOL_2D", [y], values("net/pool", (4, 4, 6), 0.04, -60), **POOL)
    y = s.add("AVERAGE_POOL_2D", [y], values("net/average", (4, 4, 6), 0.04, -60),
              **(POOL | {"Padding": 0, "StrideW": 1, "StrideH": 1, "FilterWidth": 3, "FilterHeight": 3}))
    y = s.add("LEAKY_RELU", [y], values("net/leaky", (4, 4, 6), 0.05, -20), Alpha=0.2)
    y = s.add("MEAN", [y, s.constant("axes", np.array([1, 2], np.int32))], values("net/mean", (6,), 0.03, -30), KeepDims=False)
    y = s.add("FULLY_CONNECTED", [y, weights("w3", (5, 6), 0), bias("b3", 5)], values("net/logits", (5,), 0.1, 3), **DENSE)
    y = s.add("SOFTMAX", [y], values("Identity", (5,), 1 / 256, -128), Beta=1.0)
    return s.bytes(x, y)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("tflite") / "small.tflite"
    path.write_bytes(int8_network())
    return path


TABLES = {"HARD_SWISH": 1770567084, "LEAKY_RELU": 3978606155, "LOGISTIC": 2112162847, "QUANTIZE": 1829875739, "RELU": 4267600877,
          "RELU6": 4267600877, "TANH": 984282796}      # CRC-32 of the 256 results of each


@pytest.mark.parametrize("kind", TABLES)
def test_functions_of_one_level_are_tables_of_the_reference_kernels(kind, tmp_path):
    s, path = Sketch(), tmp_path / "function.tflite"
    x = s.tensor("x", (1, 256), "int8", scale=0.05, zero=-10)
    scale, zero = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}.get(kind, (0.04, 5))
    y = s.add(kind, [x], s.tensor("y", (1, 256), "int8", scale=scale, zero=zero), **({"Alpha": 0.13} if kind == "LEAKY_RELU" else {}))
    path.write_bytes(s.bytes(x, y))
    found = io.load_model(path).integer_logits(np.arange(256, dtype=np.uint8)[None])
    assert zlib.crc32(found.astype(np.uint8).tobytes()) == TABLES[kind]


def answers(model, x):
    return model.scores(x).astype(int)


@pytest.mark.skipif(not LIGHT.exists(), reason=fixtures.REASON)
def test_a_network_that_tensorflow_quantised_gives_its_bytes():
    vectors = np.load(LIGHT.with_name("light_int8_vectors.npz"))
    model = io.load_model(LIGHT)
    images = (vectors["xq"].astype(np.int16) + 128).astype(np.uint8)
    np.testing.assert_array_equal(answers(model, images), vectors["out_reference"].astype(int).reshape(len(images), -1) + 128)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_recorded_answers(dtype, tmp_path):
    """What TensorFlow Lite 2.15.1's reference kernels gave for the files that int8_network builds (benchmarks/interop/tflite.py)."""
    path = tmp_path / "net.tflite"
    path.write_bytes(int8_network(dtype=dtype))
    x = np.random.default_rng(5).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    assert answers(io.load_model(path), x).tolist() == RECORDED[dtype]


def test_c_gives_the_bytes_of_the_simulation_and_a_tvq_holds_them(small, tmp_path):
    model = io.load_model(small)
    assert_bit_exact(model)
    model.save(tmp_path / "small.tvq")
    again = load_tvq(tmp_path / "small.tvq")
    x = np.random.default_rng(5).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    assert again.sha256 == model.sha256 and (again.scores(x) == model.scores(x)).all()


def test_the_gradient_goes_straight_through(small):
    """A step of a few levels along the gradient moves the integers' answers the way it says."""
    model = straight_through(io.load_model(small))
    x = np.random.default_rng(6).uniform(0.2, 0.8, (8, 8, 8, 3)).astype(np.float32)
    g = model.vjp(x, np.tile(np.float32([1, -1, 0, 0, 0]), (8, 1)))
    apart = [np.subtract(*model.logits(x + sign * 12 / 255 * np.sign(g))[:, :2].T).mean() for sign in (-1, 0, 1)]
    assert np.diff(apart).min() > 0.1


def test_verbs_take_it(small, tmp_path, capsys):
    assert main(["summary", str(small)]) == 0
    assert main(["analyze", str(small), "--board", "stm32l4r9i-disco"]) == 0
    assert main(["codegen", str(small), "--out", str(tmp_path / "c")]) == 0
    assert (tmp_path / "c" / "tv_lite_dense_u8.c").is_file()
    assert main(["convert", str(small), str(tmp_path / "small.h5")]) == 2
    assert "integers" in capsys.readouterr().err


def test_the_rules_of_x_cube_ai_count_it(small, capsys):
    """As reports of such files count: int8 weights, biases of four bytes counted once a channel, ReLUs that are part of the kernel."""
    from tinyvgg.analyze import analyze
    found = analyze(io.load_model(small))
    rows = {row.name: (row.kind, row.parameters, row.macc, row.weights_bytes) for row in found.layers}
    assert rows["conv"] == ("conv", 168, 64 * 162 + 6, 162 + 24) and rows["conv/activation"][2] == 0
    assert rows["depthwise"] == ("conv", 60, 64 * 54 + 6, 54 + 24) and rows["mean"] == ("pool", 0, 96, 0)
    assert rows["logits"] == ("dense", 35, 35, 30 + 20) and rows["Identity"][2] == 75
    assert main(["analyze", str(small), "--rules", "xcubeai"]) == 0
    assert f"{found.weights_bytes:,} weights" in capsys.readouterr().out
    assert main(["analyze", str(small), "--rules", "xcubeai", "--compression", "high"]) == 2
    assert "its weights have 8 bits" in capsys.readouterr().err


def test_the_ends_that_are_floats_are_conversions(tmp_path):
    """As reports count them: two MACC for each value between floats and levels."""
    from tinyvgg.analyze import analyze
    s, path = Sketch(), tmp_path / "floats.tflite"
    x = s.tensor("x", (1, 12))
    q = s.add("QUANTIZE", [x], s.tensor("net/levels", (1, 12), "int8", scale=0.1, zero=3))
    w = s.constant("w", np.ones((5, 12), np.int8), scale=0.01, zero=0)
    y = s.add("FULLY_CONNECTED", [q, w, None], s.tensor("net/out", (1, 5), "int8", scale=0.1, zero=3), **DENSE)
    path.write_bytes(s.bytes(x, s.add("DEQUANTIZE", [y], s.tensor("net/real", (1, 5)))))
    found = analyze(io.load_model(path))
    assert [(row.kind, row.macc) for row in found.layers] == [("conversion", 24), ("dense", 65), ("conversion", 10)]


def test_nine_bits_are_simulated_and_refused_as_c(tmp_path):
    s, r = Sketch(), np.random.default_rng(0)
    x = s.tensor("x", (1, 12), "uint8", scale=0.1, zero=7)
    w = s.constant("w", r.integers(0, 256, (3, 12)).astype(np.uint8), scale=0.01, zero=20)
    path = tmp_path / "nine.tflite"
    path.write_bytes(s.bytes(x, s.add("FULLY_CONNECTED", [x, w, None], s.tensor("y", (1, 3), "uint8", scale=1.0, zero=0), **DENSE)))
    model = io.load_model(path)
    images = r.integers(0, 256, (2, 12), dtype=np.uint8)
    real = 0.1 * (images - 7.0) @ (0.01 * (w.data - 20.0)).T
    assert np.abs(model.integer_logits(images) - np.clip(real, 0, 255)).max() <= 0.5 + 1e-6
    with pytest.raises(NotYet, match="nine bits"):
        assert_bit_exact(model)



def test_an_integer_model_is_written_and_read_again(tmp_path, capsys):
    """Ours as .tflite: our reader gives TensorFlow Lite's integers for it, which lie by its rounding alone from ours."""
    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3), dtype=np.uint8)
    nodes = inner = nn.Input((8, 8, 3))
    inner = L.BatchNormalization()(L.Conv2D(6, 3, padding="same", activation="relu")(inner))
    inner = L.MaxPooling2D()(L.BatchNormalization()(L.Conv2D(6, 3, padding="same", activation="relu6")(inner)))
    inner = L.Add()([inner, L.DepthwiseConv2D(3, padding="same", activation="leaky_relu")(inner)])
    inner = L.Dense(4)(L.Flatten()(L.AveragePooling2D(2)(inner)))
    model = nn.Model(nodes, inner, name="small")
    r = np.random.default_rng(1)
    model.set_weights([r.normal(0.1, 0.5, a.shape) if "variance" not in name else r.uniform(0.5, 2, a.shape) for name, a in model.weights])
    compressed = quantize(model, x)
    compressed.save(tmp_path / "small.tvq")
    assert main(["convert", str(tmp_path / "small.tvq"), str(tmp_path / "small.tflite"), "--logits", "8"]) == 0
    again = io.load_model(tmp_path / "small.tflite")
    ours, theirs = compressed.trace(x), again.trace(x)
    for name in ("conv2d", "depthwise_conv2d", "add", "average_pooling2d"):
        apart = np.abs(ours[name].astype(int) - theirs[name].reshape(ours[name].shape))
        assert apart.max() <= (1 if name == "conv2d" else 3), name
        assert name != "conv2d" or (apart > 0).mean() < 0.01, "a batch-norm after a ReLU is rounded once"
    assert (compressed.labels(x) == again.labels(x)).mean() > 0.9
    assert main(["convert", str(tmp_path / "small.tflite"), str(tmp_path / "other.tflite")]) == 2
    assert "stays that file" in capsys.readouterr().err
    assert main(["convert", str(tmp_path / "small.tvq"), str(tmp_path / "wide.tflite")]) == 0
    capsys.readouterr()
    assert main(["convert", str(tmp_path / "small.tvq"), str(tmp_path / "small.h5")]) == 2
    assert "which no Keras file holds" in capsys.readouterr().err
    last, = read(tmp_path / "wide.tflite").outputs
    assert last.dtype == "int16" and last.zero == 0 and last.scale == pytest.approx(compressed.graph.logits.scale)
    wide = io.load_model(tmp_path / "wide.tflite")
    before, dense = wide.graph[wide.graph.logits.inputs[0]], wide.graph.logits
    sums = (wide.trace(x)[before.name].reshape(len(x), -1).astype(int) - before.zero) @ dense.weights.T.astype(int)
    factor = dense.tail.multiplier.astype(int) / 2**32
    sums = (sums << dense.tail.shift) + dense.tail.offset
    np.testing.assert_array_equal(wide.integer_logits(x), np.floor(sums * factor + 0.5))
    assert np.abs(wide.logits(x) - again.logits(x)).max() <= again.graph.logits.scale      # the same body
    assert_bit_exact(wide)
    for more in ([], ["--compression", "high"]):
        assert main(["analyze", str(tmp_path / "wide.tflite"), "--rules", "xcubeai", *more]) == (2 if more else 0)


def test_a_softmax_behind_logits_of_16_bits_is_one_of_floats(tmp_path, capsys):
    x, path = np.random.default_rng(0).integers(0, 256, (16, 6, 6, 2), dtype=np.uint8), tmp_path / "net.tflite"
    model = nn.Sequential([L.InputLayer((6, 6, 2)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(3, activation="softmax")])
    compressed = quantize(randomise(model, np.random.default_rng(0)), x)
    io.save_model(compressed, path)
    given, = read(path).outputs
    again = io.load_model(path)
    assert given.dtype == "float32" and again.graph.softmax.kind == "float" and again.graph.facts["floats"] == ["output"]
    logits = again.logits(x)
    np.testing.assert_allclose(again.scores(x), np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), rtol=1e-5)
    assert_bit_exact(again)
    from tinyvgg.analyze import Operation
    from tinyvgg.analyze.lite import describe_graph
    kinds = [(row.kind, row.settings.get("function")) for row in describe_graph(again.graph, Operation)]
    assert kinds[-3:] == [("dense", None), ("conversion", None), ("activation", "softmax")]
    assert main(["analyze", str(path), "--rules", "xcubeai"]) == 0
    assert "softmax" in capsys.readouterr().out


def test_sixteen_bits_elsewhere_are_refused(tmp_path):
    """What looks like such a last layer, and is none: other scales, biases of 32 bits, more layers of 16 bits."""
    s, path = Sketch(), tmp_path / "other.tflite"
    x = s.tensor("x", (1, 1, 1, 4), "int8", scale=0.1, zero=3)
    floats = s.add("DEQUANTIZE", [x], s.tensor("net/floats", (1, 1, 1, 4), "float32"))
    for scale, bias, words in ((0.2, np.int64, "int16x8"), (0.1, np.int32, "biases of int64")):
        wide = s.add("QUANTIZE", [floats], s.tensor("net/wide", (1, 1, 1, 4), "int16", scale=scale, zero=0))
        w = s.constant("w", np.ones((2, 1, 1, 4), np.int8), scale=[0.01, 0.02], zero=[0, 0])
        b = s.constant("b", np.zeros(2, bias), scale=[0.001, 0.002], zero=[0, 0])
        path.write_bytes(s.bytes(x, s.add("CONV_2D", [wide, w, b], s.tensor("net/y", (1, 1, 1, 2), "int16", scale=0.01, zero=0), **CONV)))
        with pytest.raises(NotYet, match=words):
            io.load_model(path)
        s.operators, s.tensors = s.operators[:1], s.tensors[:2]


def test_a_limit_of_each_channel_is_a_table(tmp_path):
    s, path = Sketch(), tmp_path / "limit.tflite"
    x = s.tensor("x", (1, 4), "int8", scale=0.1, zero=3)
    low = s.constant("low", np.array([[-128, 0, 50, 127]], np.int8), scale=0.1, zero=3)
    y = s.add("MAXIMUM", [x, low], s.tensor("net/larger", (1, 4), "int8", scale=0.1, zero=3))
    high = s.constant("high", np.array([90], np.int8), scale=0.1, zero=3)
    path.write_bytes(s.bytes(x, s.add("MINIMUM", [high, y], s.tensor("net/both", (1, 4), "int8", scale=0.1, zero=3))))
    images = np.random.default_rng(0).integers(0, 256, (50, 4), dtype=np.uint8)
    expected = np.minimum(np.maximum(images, [0, 128, 178, 255]), 218)
    np.testing.assert_array_equal(io.load_model(path).integer_logits(images), expected)
    s.add("MAXIMUM", [x, y], s.tensor("net/two", (1, 4), "int8", scale=0.1, zero=3))
    path.write_bytes(s.bytes(x, s.operators[-1].outputs[0]))
    with pytest.raises(NotYet, match=r"'two' \(MAXIMUM\): it has two results"):
        io.load_model(path)


def test_a_border_that_no_convolution_takes_in(tmp_path):
    s, path = Sketch(), tmp_path / "border.tflite"
    x = s.tensor("x", (1, 3, 4, 2), "int8", scale=0.1, zero=3)
    amounts = s.constant("amounts", np.array([[0, 0], [1, 0], [0, 2], [0, 0]], np.int32))
    y = s.add("PAD", [x, amounts], s.tensor("net/border", (1, 4, 6, 2), "int8", scale=0.1, zero=3))
    y = s.add("MAX_POOL_2D", [y], s.tensor("net/pool", (1, 2, 3, 2), "int8", scale=0.1, zero=3), **POOL)
    path.write_bytes(s.bytes(x, s.add("RESHAPE", [y, None], s.tensor("net/flat", (1, 12), "int8", scale=0.1, zero=3))))
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 2), dtype=np.uint8)
    padded = np.pad(images, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=131)
    model = io.load_model(path)
    expected = padded.reshape(5, 2, 2, 3, 2, 2).max(axis=(2, 4)).reshape(5, 12)
    np.testing.assert_array_equal(model.integer_logits(images), expected)
    assert [type(op).__name__ for op in model.graph.ops][:2] == ["Image", "Pad2D"]


def test_maps_side_by_side(tmp_path):
    s, r = Sketch(), np.random.default_rng(0)
    x = s.tensor("x", (1, 5, 4, 3), "int8", scale=0.1, zero=3)
    w = s.constant("w", r.integers(-127, 128, (2, 1, 1, 3)).astype(np.int8), scale=[0.01, 0.02], zero=[0, 0])
    y = s.add("CONV_2D", [x, w, None], s.tensor("net/conv", (1, 5, 4, 2), "int8", scale=0.1, zero=3), **CONV)
    y = s.add("CONCATENATION", [y, x], s.tensor("net/both", (1, 5, 4, 5), "int8", scale=0.1, zero=3), Axis=3, FusedActivationFunction=0)
    v = s.constant("v", r.integers(-127, 128, (3, 100)).astype(np.int8), scale=0.01, zero=0)
    y = s.add("FULLY_CONNECTED", [y, v, None], s.tensor("net/out", (1, 3), "int8", scale=1.0, zero=0), **DENSE)
    path = tmp_path / "both.tflite"
    path.write_bytes(s.bytes(x, y))
    model = io.load_model(path)
    trace = model.trace(r.integers(0, 256, (2, 5, 4, 3), dtype=np.uint8))
    assert (trace["both"] == np.concatenate([trace["conv"], trace["x"]], axis=-1)).all()
    assert_bit_exact(model)
    straight_through(model).vjp(r.random((2, 5, 4, 3), np.float32) * 25 - 13, np.ones((2, 3), np.float32))
