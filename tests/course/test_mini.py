"""docs/course/mini.py: each figure that it prints is counted again here, by the library or by plain loops."""
import ctypes
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyvgg.data import shapes
from tinyvgg.kernels import reference

PATH = Path(__file__).resolve().parents[2] / "docs" / "course" / "mini.py"
LINE = re.compile(r"""((?:epoch \d+: [\d.]+ % right while training\n)+)float: ([\d.]+) % of (\d+) test images right
PGD: ([\d.]+) % of the first (\d+) right at 8/255
int8: ([\d.]+) % of (\d+) right; ([\d.]+) % of the (\d+) attacked ones
C: (\d+) of (\d+) answers equal the integers' byte for byte
time: ([\d.]+) s
""")
SHORT = {"n_train": 1500, "n_test": 60, "epochs": 5, "n_attacked": 30}


def load():
    spec = importlib.util.spec_from_file_location("mini", PATH)
    mini = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mini)
    return mini


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """mini, what a short run made, what it printed (floats), its folder."""
    import contextlib
    import io
    mini, said, folder = load(), io.StringIO(), tmp_path_factory.mktemp("mini")
    with contextlib.redirect_stdout(said):
        made = mini.main(folder, **SHORT)
    found = LINE.fullmatch(said.getvalue())
    assert found, said.getvalue()
    return mini, made, [float(v) for v in found.groups()[1:]], folder


def test_has_at_most_250_lines():
    assert PATH.read_text(encoding="utf-8").count("\n") <= 250


def padded(x, border, value=0):
    return np.pad(x, ((0, 0), (border, border), (border, border), (0, 0)), constant_values=value)


def float_labels(mini, folded, q):
    """By the library's definition of a convolution."""
    x = (q.astype(np.float64) - 128) / 128
    for i, ((weights, bias), (k, s, p, c, f)) in enumerate(zip(folded, mini.LAYERS, strict=True)):
        x = reference.conv2d(padded(x, p), weights.reshape(k, k, c, f).astype(np.float64), bias, strides=(s, s))
        x = np.maximum(x, 0) if i < 3 else x
    return x.reshape(len(x), 10).argmax(axis=1)


def integer_logits(mini, integer, q):
    """In Python's and NumPy's 64-bit integers, the border filled with the zero point instead of taking it away first."""
    x = q.astype(np.int64)
    for layer, (k, s, p, c, f) in zip(integer, mini.LAYERS, strict=True):
        zero, weights = int(layer["zero"]), layer["weights"].reshape(k, k, c, f).astype(np.int64)
        x, oh = padded(x, p, zero), (x.shape[1] + 2 * p - k) // s + 1
        total = np.zeros((len(x), oh, oh, f), np.int64) + layer["bias"] - zero * weights.sum(axis=(0, 1, 2))
        for i, j in np.ndindex(k, k):
            total += x[:, i:i + s * oh:s, j:j + s * oh:s] @ weights[i, j]
        x = np.minimum(np.maximum((total * layer["multiplier"].astype(np.int64) + (1 << 31)) >> 32, layer["low"]), layer["high"])
    return x.reshape(len(x), 10)


def right(labels, y):
    return round(100 * float(np.mean(labels == y)), 1)


def test_each_figure_is_what_was_made(short):
    mini, made, (clean, n, robust, attacked, eight, n8, robust8, attacked8, same, n_c, seconds), _ = short
    data = shapes.load(SHORT["n_train"], SHORT["n_test"])
    x, y = data.x_test, data.y_test
    assert n == n8 == n_c == len(x) == 60 and attacked == attacked8 == len(made["attacked"]) == 30 and seconds > 0
    assert clean == right(float_labels(mini, made["folded"], x), y)
    assert robust == right(float_labels(mini, made["folded"], made["attacked"]), y[:30])
    whole = integer_logits(mini, made["integer"], x)
    assert np.array_equal(whole, made["answers"]) and np.abs(whole).max() > 1000
    assert eight == right(whole.argmax(axis=1), y)
    assert robust8 == right(integer_logits(mini, made["integer"], made["attacked"]).argmax(axis=1), y[:30])
    assert same == np.sum((made["in_c"] == whole).all(axis=1)) == 60


def test_it_learns_is_fooled_and_stays_in_the_ball(short):
    _, made, (clean, _, robust, _, eight, *_), _ = short
    x = shapes.load(SHORT["n_train"], SHORT["n_test"]).x_test[:30]
    moved = made["attacked"].astype(int) - x
    assert np.abs(moved).max() == 8 and made["attacked"].dtype == np.uint8
    assert clean > 30 and robust <= clean / 3 and abs(eight - clean) < 7


def test_the_c_answers_for_itself(short):
    """The library that was left in the folder, asked again: a white image, which nobody had asked."""
    mini, made, _, folder = short
    network, answer = ctypes.CDLL(str(folder / "network.so")).network, np.zeros(10, np.int16)
    image = np.full((32, 32, 3), 255, np.uint8)
    network(image.ctypes.data_as(ctypes.c_void_p), answer.ctypes.data_as(ctypes.c_void_p))
    assert np.array_equal(answer, integer_logits(mini, made["integer"], image[None])[0])


def test_gradients_against_finite_differences():
    """Of weights, gains and shifts in training, of the image in use; float64, one random direction each."""
    mini, random = load(), np.random.default_rng(3)
    x, y = random.uniform(-1, 1, (3, 32, 32, 3)), np.array([1, 4, 9])
    net = [{name: value.astype(np.float64) for name, value in layer.items()} for layer in mini.new_network(random)]

    def loss(z):
        z = z - z.max(axis=1, keepdims=True)
        return float((np.log(np.exp(z).sum(axis=1)) - z[np.arange(3), y]).sum())

    z, tape = mini.forward(net, x)
    gradients = mini.backward(net, tape, mini.softmax_minus_onehot(z, y))
    for i, name in ((0, "weights"), (1, "weights"), (2, "gain"), (1, "shift"), (3, "weights"), (3, "gain")):
        v, kept, values = random.standard_normal(net[i][name].shape), net[i][name], []
        for sign in (1, -1):
            net[i][name] = kept + sign * 1e-6 * v
            values.append(loss(mini.forward(net, x)[0]))
        net[i][name] = kept
        assert np.isclose((values[0] - values[1]) / 2e-6, np.vdot(gradients[i][name], v), rtol=1e-4, atol=1e-6), (i, name)
    folded, v = mini.fold(net), random.standard_normal(x.shape)
    up, down = (loss(mini.maps(folded, x + sign * 1e-6 * v)[-1].reshape(3, 10)) for sign in (1, -1))
    assert np.isclose((up - down) / 2e-6, np.vdot(mini.input_gradient(folded, x, y), v), rtol=1e-4)


@pytest.mark.slow
def test_the_promises_hold(tmp_path):
    """Over 90 % on the test images, under 20 % after PGD at 8/255, int8 within a point, C equal, under a minute."""
    done = subprocess.run([sys.executable, PATH, tmp_path], capture_output=True, text=True, check=True)
    clean, n, robust, _, eight, _, _, _, same, n_c, seconds = (float(v) for v in LINE.fullmatch(done.stdout).groups()[1:])
    assert clean > 90 and robust < 20 and abs(eight - clean) <= 1 and n == same == n_c == 2000 and seconds < 60
    assert (tmp_path / "network.c").is_file()
