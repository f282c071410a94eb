"""The fused plan against the layers one by one in float64, mode by mode."""
import copy
import threading

import numpy as np
import pytest

from tinyvgg import kernels, models
from tinyvgg.errors import DataError, ShapeError
from tinyvgg.kernels.fast import images, winograd
from tinyvgg.kernels.fast.program import Program
from tinyvgg.nn import Input, Model, Sequential, layers
from tinyvgg.nn.fused.lowering import LOWER
from tinyvgg.nn.layers.one_row import OneRow

F4 = 1e-4           # what Winograd F(4x4,3x3) may lose, relative to the largest value
THROUGH = 1e-3      # and what a whole network makes of it: normalisation of few values amplifies, near ties fall either way


def relative(a, b, floor=0.0):
    """Largest difference over the largest value, or over `floor` where all values are near 0."""
    assert np.isfinite(a).all()
    return np.abs(a - b).max() / max(np.abs(b).max(), floor)


def stir(model, seed=0):
    """Give every weight a value that matters: normalisation of either sign, biases, moving statistics."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for holder in (layer.parameters, layer.state):
            for name in holder:
                if name != "kernel":
                    holder[name] += rng.uniform(0, 0.3, holder[name].shape).astype(np.float32)
                if name == "gamma":
                    holder[name] *= rng.choice([-1, 1], holder[name].shape)
    return model


def seed_dropout(model):
    for index, layer in enumerate(model.layers):
        layer.rng = np.random.default_rng(index)


def conv_net(**settings):
    return Sequential([layers.InputLayer((9, 7, 3)), layers.Conv2D(16, 3, padding="same", activation="relu"),
                       layers.Conv2D(32, 3, **settings), layers.BatchNormalization(), layers.ReLU(),
                       layers.Conv2D(16, 3, strides=2),
                       layers.ReLU(), layers.Flatten(), layers.Dense(24), layers.ReLU(), layers.Dropout(0.2), layers.Dense(5)])


def pool_net():
    return Sequential([layers.InputLayer((13, 11, 16)), layers.Conv2D(16, 3, use_bias=False), layers.ReLU(),
                       layers.SpatialDropout2D(0.3),
                       layers.BatchNormalization(scale=False), layers.MaxPooling2D(), layers.Conv2D(32, 3, padding="same"),
                       layers.ReLU(),
                       layers.MaxPooling2D(), layers.Flatten(), layers.Dense(10, use_bias=False, activation="softmax")])


def two_paths():
    """Branches that join twice, one value read three times."""
    start = Input((8, 12, 16))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(start)))
    y = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(x))
    z = layers.Conv2D(16, 1)(x)
    total = layers.Add()([layers.Activation("relu")(layers.Add()([x, y])), z])
    return Model(start, layers.Dense(7)(layers.GlobalAveragePooling2D()(total)))


NETS = {"light": lambda: models.light(), "notebook": models.notebook, "resnet8": models.resnet8, "two paths": two_paths,
        "ragged": lambda: conv_net(padding="same"), "valid": lambda: conv_net(),
        "no bias": lambda: conv_net(use_bias=False), "odd pools": pool_net}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("training", [False, True])
def test_plan_is_the_layers(name, training):
    model = stir(NETS[name]())
    assert model.plan() is not None
    exact = model.astype(np.float64)
    rng = np.random.default_rng(1)
    x = rng.random((5, *model.input_shape), dtype=np.float32)
    g = rng.standard_normal((5, *model.output_shape)).astype(np.float32)
    seed_dropout(model)
    seed_dropout(exact)
    with kernels.use("reference"):
        want = exact.forward_logits(x.astype(np.float64), training=training)
        want_dx = exact.backward_logits(g.astype(np.float64))
    assert relative(model.forward_logits(x, training=training), want) < F4
    assert relative(model.backward_logits(g), want_dx) < THROUGH
    for layer, other in zip(model.layers, exact.layers, strict=True):
        for key in layer.parameters:
            assert relative(layer.gradients[key], other.gradients[key], floor=0.01) < THROUGH, (layer.name, key)
        for key in layer.state:
            assert relative(layer.state[key], other.state[key]) < 1e-6, (layer.name, key)


@pytest.mark.parametrize("name", NETS)
def test_inference_is_the_layers(name):
    model = stir(NETS[name]())
    x = np.random.default_rng(2).random((67, *model.input_shape), dtype=np.float32)
    with kernels.use("reference"):
        want = model.astype(np.float64).logits(x[:9].astype(np.float64))
    got = model.logits(x)
    assert got.shape == (67, *model.output_shape)
    assert relative(got[:9], want) < F4
    assert relative(model.logits(x[3:4]), want[3:4]) < F4


@pytest.mark.parametrize("size", [1, 7, 11, 16, 21, 40])
@pytest.mark.parametrize("count", [1, 2, 5, 70])
def test_rows_that_are_no_whole_vectors(size, count):
    """The caller's rows lie one right after the other, and what follows the last is nobody's business."""
    model = Sequential([layers.InputLayer((size,)), layers.Dense(9, activation="relu"), layers.Dense(3)], input_range=(-1, 1))
    assert model.plan() is not None
    block = np.full(count * size + 64, np.nan, np.float32)
    x = block[:count * size].reshape(count, size)
    x[:] = np.random.default_rng(0).uniform(-1, 1, x.shape)
    dlogits = np.random.default_rng(1).standard_normal((count, 3)).astype(np.float32)
    one, two = (model.layers[i].parameters for i in (-2, -1))
    hidden = x @ one["kernel"] + one["bias"]
    expected = np.maximum(hidden, 0) @ two["kernel"] + two["bias"]
    np.testing.assert_allclose(model.logits(x), expected, rtol=1e-4, atol=1e-5)
    dx = (dlogits @ two["kernel"].T * (hidden > 0)) @ one["kernel"].T
    np.testing.assert_allclose(model.vjp(x, dlogits), dx, rtol=1e-4, atol=1e-5)
    model.forward_logits(x, training=True)
    model.backward_logits(dlogits)
    np.testing.assert_allclose(model.layers[-2].gradients["kernel"], x.T @ (dlogits @ two["kernel"].T * (hidden > 0)), rtol=1e-4,
                               atol=1e-5)


@pytest.mark.parametrize("units", [3, 16, 40, 136])
def test_one_image_has_the_bytes_of_many(units):
    """Its dense layers read the weights as they are: changed in place, too, before or after others were packed."""
    model = Sequential([layers.InputLayer((45,)), layers.Dense(units, activation="relu"), layers.Dense(3)], input_range=(0, 1))
    x = np.random.default_rng(0).random((3, 45), dtype=np.float32)
    for _ in range(2):
        one = model.logits(x[:1])
        assert one.tobytes() == model.logits(x)[:1].tobytes()
        model.layers[1].parameters["kernel"] *= -1
        assert not np.array_equal(model.logits(x[:1]), one)


def test_weights_are_looked_at_again():
    """Replaced or changed in place: the next prediction sees it."""
    model = models.light()
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    before = model.logits(x)
    model.layers[-1].parameters["bias"] += 1
    assert np.allclose(model.logits(x), before + 1, atol=1e-5)
    model.layers[-1].set_weight("bias", np.full(10, 2.0))
    assert np.allclose(model.logits(x), before + 2, atol=1e-5)


def test_gradients_are_the_callers():
    """Gradients that the caller keeps are not overwritten by the next step."""
    model, rng = models.light(), np.random.default_rng(0)
    x, g = rng.random((2, 32, 32, 3), dtype=np.float32), rng.standard_normal((2, 10)).astype(np.float32)
    model.forward_logits(x)
    model.backward_logits(g)
    kept = model.layers[1].gradients["kernel"]
    copied = kept.copy()
    model.forward_logits(x * 0.5)
    model.backward_logits(g)
    assert np.array_equal(kept, copied)
    assert not np.array_equal(model.layers[1].gradients["kernel"], copied)


def test_same_bytes_again():
    """Two runs of the same steps end in the same bits."""
    def run():
        model = models.light(seed=3)
        seed_dropout(model)
        rng = np.random.default_rng(0)
        for _ in range(2):
            model.forward_logits(rng.random((7, 32, 32, 3), dtype=np.float32), training=True)
            model.backward_logits(rng.standard_normal((7, 10)).astype(np.float32), inputs=False)
            for layer in model.layers:
                for name, w in layer.parameters.items():
                    w -= np.float32(0.01) * layer.gradients[name]
        return model.get_weights()
    for a, b in zip(run(), run(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("shape", [(6, 2, 3), (4, 4, 5)])
def test_no_thread_writes_into_the_images_of_another(shape):
    """The gradient of a first convolution by 1x1, whose pixels are no whole vectors: again and again, for the threads must meet."""
    model = Sequential([layers.InputLayer(shape), layers.Conv2D(3, 1, activation="relu6"), layers.GlobalAveragePooling2D(), layers.Dense(3)],
                       seed=1)
    generator = np.random.default_rng(0)
    x, g = generator.random((4, *shape), dtype=np.float32), generator.standard_normal((4, 3)).astype(np.float32)
    with kernels.use("reference"):
        expected = model.vjp(x, g)
    assert all(np.abs(model.vjp(x, g) - expected).max() < 1e-5 for _ in range(60))


def test_threads_of_the_caller():
    """Several Python threads use one model at once."""
    model = models.light()
    x = np.random.default_rng(0).random((4, 3, 32, 32, 3), dtype=np.float32)
    want, got = [model.logits(part) for part in x], [None] * 4

    def work(i):
        for _ in range(5):
            got[i] = model.logits(x[i])
    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for a, b in zip(got, want, strict=True):
        assert np.array_equal(a, b)


def test_nan_and_infinity_stay_visible():
    model = models.light()
    x = np.zeros((3, 32, 32, 3), np.float32)
    x[1, 5, 5, 0] = np.nan
    x[2, 31, 31, 2] = np.inf
    with np.errstate(all="ignore"):
        logits = model.forward_logits(x)
    assert np.isfinite(logits[0]).all() and not np.isfinite(logits[1:]).any()


def test_wrong_shapes_are_refused():
    model = models.light()
    with pytest.raises(ShapeError):
        model.forward_logits(np.zeros((2, 32, 31, 3), np.float32))
    model.forward_logits(np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(ShapeError):
        model.backward_logits(np.zeros((3, 10), np.float32))


def test_a_layer_without_a_stage_runs_by_itself():
    """Between the steps, and the description says why it is slow."""
    class Doubled(layers.Flatten):
        def forward(self, x, *, training=False):
            return 2 * super().forward(x, training=training)

        def backward(self, dy, *, parameters=True):
            return 2 * super().backward(dy, parameters=parameters)
    model = Sequential([layers.InputLayer((8, 8, 3)), layers.Conv2D(6, 3, activation="elu"), layers.PReLU(), Doubled(),
                        layers.Dense(3)])
    text = model.plan().describe()
    assert "p_re_lu: PReLU by itself, slow (no fast stage)" in text and "Doubled by itself" in text and "elu" in text
    exact, rng = model.astype(np.float64), np.random.default_rng(0)
    assert "slow: float64" in exact.plan().describe()
    x, g = rng.random((3, 8, 8, 3), dtype=np.float32), rng.standard_normal((3, 3)).astype(np.float32)
    assert relative(model.logits(x), exact.logits(x)) < 1e-6
    assert relative(model.vjp(x, g), exact.vjp(x, g)) < 1e-6


def test_every_layer_has_a_stage_but_these():
    """What runs by itself is named here and in docs/fast-kernels.md; pixels repeated, forward and back."""
    slow = {name for name, kind in layers.LAYERS.items() if kind not in LOWER}
    slow -= {name for name in slow if issubclass(layers.LAYERS[name], OneRow) and name.replace("1D", "2D") not in slow}
    assert slow <= {"PReLU", "Softmax", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Normalization", "LayerNormalization", "LSTM",
                    "GRU", "SimpleRNN", "Bidirectional", "Multiply", "Average", "Maximum", "Subtract", "Permute", "Cropping2D", "Cropping1D",
                    "Resizing"}
    model = Sequential([layers.InputLayer((5, 4, 3)), layers.Conv2D(6, 3, padding="same"), layers.UpSampling2D((2, 3)),
                        layers.ZeroPadding2D(1), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)])
    exact, x = model.astype(np.float64), np.random.default_rng(0).random((3, 5, 4, 3), dtype=np.float32)
    g = np.ones((3, 3), np.float32)
    assert relative(model.logits(x), exact.logits(x)) < 1e-5
    assert relative(model.vjp(x, g), exact.vjp(x, g)) < 1e-5


def test_a_mean_first():
    """The gradient of images that no convolution reads does not grow from call to call."""
    model = Sequential([layers.InputLayer((28, 28, 1)), layers.GlobalAveragePooling2D(), layers.Dense(10)])
    x, g = np.zeros((2, 28, 28, 1), np.float32), np.ones((2, 10), np.float32)
    exact = model.astype(np.float64).vjp(x, g)
    for _ in range(3):
        assert relative(model.vjp(x, g), exact) < 1e-6


def test_a_step_gives_every_field_that_its_kernel_reads():
    """A field that is left out would be 0, an address of nothing."""
    program = Program()
    with pytest.raises(TypeError, match="images.mask_images reads x of its step"):
        program.add(images.mask_images, "dropout", y=0)
    assert {"x", "y", "packed", "tail", "scratch", "block", "sums", "mask_image"} <= winograd.forward.fields


def test_options_may_change():
    """An activation's slope is looked at again."""
    model = Sequential([layers.InputLayer((4,)), layers.LeakyReLU(0.5)], input_range=(-1, 1))
    x = np.full((1, 4), -1.0, np.float32)
    assert np.allclose(model.logits(x), -0.5)
    model.layers[1].negative_slope = 0.25
    assert np.allclose(model.logits(x), -0.25)


def test_settings_may_change():
    """A frozen normalisation or a dropout switched off after the first step."""
    model = models.light()
    x = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    model.forward_logits(x, training=True)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    before = copy.deepcopy(model.layers[3].state)
    assert np.allclose(model.forward_logits(x, training=True), model.logits(x), atol=1e-5)
    assert all(np.array_equal(model.layers[3].state[key], before[key]) for key in before)


def test_precise_is_closer():
    """TINYVGG_PRECISE=1 keeps to direct convolutions, and the plan says so."""
    model = stir(models.light())
    x = np.random.default_rng(2).random((4, 32, 32, 3), dtype=np.float32)
    with kernels.use("reference"):
        want = model.astype(np.float64).logits(x.astype(np.float64))
    fast = relative(model.logits(x), want)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYVGG_PRECISE", "1")
        assert "Winograd" not in model.plan().describe()
        assert relative(model.logits(x), want) < 1e-6
    assert "Winograd" in model.plan().describe()
    assert fast < 1e-5


def test_sign_flips_are_seen():
    """Two flipped sign bits, which a plain sum would not notice, change the prediction."""
    model = models.light()
    x = np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32)
    before = model.logits(x)
    kernel = model.layers[1].parameters["kernel"]           # (3, 3, 3, 32)
    for pair in ([0, 64], [3, 131], [5, 70]):               # the same lane of the same chain of the hash
        kernel.reshape(-1)[pair] *= -1
        fresh = models.light()
        fresh.set_weights(model.get_weights())
        after = model.logits(x)
        assert np.array_equal(after, fresh.logits(x)) and not np.array_equal(after, before)
        before = after


def test_a_list_that_is_changed_in_place_is_noticed():
    scale = [1.0, 2.0, 3.0]
    model = Sequential([layers.InputLayer((4, 4, 3)), layers.Rescaling(scale), layers.Flatten(), layers.Dense(2)], input_range=(0, 1))
    x = np.full((1, 4, 4, 3), 0.5, np.float32)
    before = model.logits(x)
    scale[0] = model.layers[1].scale[0] = 9.0
    with kernels.use("reference"):
        exact = model.logits(x)
    np.testing.assert_allclose(model.logits(x), exact, atol=1e-5)
    assert np.abs(exact - before).max() > 1e-3


@pytest.mark.parametrize("change", [lambda a: a.update(kernel=a["kernel"] * 2), lambda a: a.__setitem__("kernel", a["kernel"] * 2),
                                    lambda a: a.__ior__({"kernel": a["kernel"] * 2}), lambda a: a.setdefault("kernel", a.pop("kernel") * 2)])
def test_each_way_to_replace_an_array_is_noticed(change):
    model = Sequential([layers.InputLayer((6,)), layers.Dense(3, use_bias=False)], input_range=(0, 1))
    x = np.random.default_rng(0).random((2, 6), dtype=np.float32)
    for count in (1, 2):
        before = model.logits(x[:count])
        assert np.array_equal(model.logits(x[:count]), before)
        change(model.layers[1].parameters)
        np.testing.assert_allclose(model.logits(x[:count]), 2 * before, rtol=1e-6)


def test_images_beyond_the_range_are_refused_or_taken_to_its_end():
    """By each way in: bytes in one piece, others, beyond by a rounding, beyond, NaN, of the wrong shape."""
    model = Sequential([layers.InputLayer((6,)), layers.Dense(3)], input_range=(0, 1))
    x = np.random.default_rng(0).random((4, 6), dtype=np.float32)
    x[0] = (1, 0, -0.0, 1, 0, 0.5)
    want = model.logits(x)
    assert np.array_equal(model.logits(np.repeat(x, 2, axis=1)[:, ::2]), want)
    assert np.array_equal(model.logits(x + np.float32(5e-7) * (x == 1)), want)
    for wrong in (1.001, -0.001, np.nan, np.inf, -np.inf):
        bad = x.copy()
        bad[3, 5] = wrong
        with pytest.raises(DataError):
            model.logits(bad)
    with pytest.raises(ShapeError):
        model.logits(x[:, :5].copy())
    frozen = x.copy()
    frozen.flags.writeable = False
    assert np.array_equal(model.logits(frozen), want)
