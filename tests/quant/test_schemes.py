"""From network to compressed model: calibration, repairs, fine-tuning, bits within a budget, and what is refused."""

import dataclasses

import numpy as np
import pytest

from tests.quant.networks import randomise, small
from tinyvgg import models, nn
from tinyvgg.errors import BudgetError, CheckFailed, DataError, NotYet, OptionError, QuantError, ShapeError
from tinyvgg.nn import layers as L
from tinyvgg.quant.auto import knapsack
from tinyvgg.quant.calibrate import Histogram, calibrate, least_error_range, percentile_range, steady_range, survey
from tinyvgg.quant.equalize import correct_biases, equalize
from tinyvgg.quant.finetune import finetune, start_codebooks
from tinyvgg.quant.fuse import fuse
from tinyvgg.quant.lower import lower, per_channel_int8
from tinyvgg.quant.model import QuantizedModel, quantize
from tinyvgg.quant.ops.weights import SharedWeights
from tinyvgg.quant.prepare import divergence, prepare
from tinyvgg.quant.schemes import compress, constants
from tinyvgg.quant.sharing import sharer
from tinyvgg.quant.simulate import run
from tinyvgg.quant.validate import check_graph, validate


def task(n=384, seed=0):
    """Images whose class is the quarter that is brightest."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 4, n)
    x = generator.integers(0, 160, (n, 8, 8, 3))
    for image, label in zip(x, y, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 60
    return np.clip(x, 0, 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def learnt():
    """`small` trained a little, its images and labels."""
    from tinyvgg.train import fit

    model, (x, y) = small(), task()
    fit(model, x, y, epochs=12, batch_size=32, learning_rate=3e-3, quiet=True)
    return model, x, y


def accuracy(classifier, x, y):
    return float((classifier.labels(x) == y).mean())


def test_int8_is_as_good_as_float(learnt):
    model, x, y = learnt
    x_test, y_test = task(1000, seed=1)
    floats = accuracy(model, x_test.astype(np.float32) / 255, y_test)
    assert floats > 0.8
    for calibration in ("minmax", "percentile", "error", "steady", "best"):
        q = compress(model, "int8", x[:128], calibration=calibration)
        assert abs(accuracy(q, x_test, y_test) - floats) < 0.02
    assert q.graph.facts["calibration"]["images"] == 128 and len(q.graph.facts["calibration"]["images_sha256"]) == 64


def test_fewer_bits_fewer_bytes(learnt):
    model, x, _ = learnt
    sizes = [constants(compress(model, s, x[:64], calibration="minmax")) for s in ("int8", "shared4", "shared3", "shared2")]
    assert sizes == sorted(sizes, reverse=True) and sizes[1] < 0.62 * sizes[0]


@pytest.mark.parametrize("fixed", [False, True])
def test_fine_tuning_repairs_two_bits(learnt, fixed):
    model, x, y = learnt
    x_test, y_test = task(1000, seed=1)
    before = compress(model, "shared2", x, calibration="minmax")
    after = compress(model, "shared2", x, y, calibration="minmax", epochs=3, learning_rate=3e-3, fixed_indices=fixed)
    assert after.evaluate(x_test, y_test)["loss"] < before.evaluate(x_test, y_test)["loss"]
    assert accuracy(after, x_test, y_test) >= accuracy(before, x_test, y_test)
    check_graph(after.graph)
    validate(after.graph, "integer")
    assert all(isinstance(op.weights, SharedWeights) and op.weights.codebook.size <= 4 for op in after.graph.ops
               if hasattr(op, "weights"))


def test_fixed_indices_stay(learnt):
    model, x, y = learnt
    prepared = prepare(fuse(model), x[:64], calibration="minmax")
    quantise = sharer(3)
    books = start_codebooks(prepared.graph, quantise, fixed=True)
    before = {name: book.indices.copy() for name, book in books.items()}
    graph, entries = finetune(prepared.graph, prepared.ranges, x[:128], y[:128], books=books, epochs=1, learning_rate=1e-3)
    after = lower(graph, prepared.ranges, quantise=sharer(3, entries=entries))
    for name, indices in before.items():
        weights = after[name].weights.expand()
        assert all(len(np.unique(weights[indices == k])) == 1 for k in np.unique(indices)), name
    assert any((book.entries != start_codebooks(prepared.graph, quantise)[name].entries).any() for name, book in books.items())


def test_training_is_reproducible(learnt):
    model, x, y = learnt
    one, two = (compress(model, "shared3", x[:128], y[:128], calibration="minmax", epochs=1, seed=5) for _ in range(2))
    assert one.sha256 == two.sha256


def test_auto_meets_budgets(learnt):
    model, x, y = learnt
    full = constants(compress(model, "int8", x[:64], calibration="minmax"))
    sizes = []
    for budget in (full, int(0.5 * full)):
        q = compress(model, "auto", x, y, flash=budget, calibration="minmax")
        sizes.append(constants(q))
        assert sizes[-1] <= budget
        assert set(q.graph.facts["auto"]["bits"].values()) <= {8, 4, 3, 2}
    assert sizes[0] > sizes[1]
    with pytest.raises(BudgetError, match="the least is"):
        compress(model, "auto", x, y, flash=100, calibration="minmax")
    q = compress(model, "auto", x, y, max_drop=2.0, calibration="minmax")
    assert q.graph.facts["auto"]["drop_on_training_images"] <= 2.0 and constants(q) < full
    with pytest.raises(CheckFailed, match="the model loses .* points on training images"):
        compress(model, "auto", x, y, flash=int(0.5 * full), max_drop=-100, calibration="minmax")


def test_knapsack_is_exhaustive_search():
    generator = np.random.default_rng(0)
    table = {name: {b: (int(generator.integers(1, 50)), float(generator.random())) for b in (8, 4, 3, 2)} for name in "abcd"}
    front = knapsack(table)
    import itertools

    every = [(sum(o[0] for o in c), sum(o[1] for o in c)) for c in itertools.product(*(row.values() for row in table.values()))]
    for budget in range(0, 200, 7):
        best = min((e for s, e in every if s <= budget), default=None)
        found = min((e for s, e, _ in front if s <= budget), default=None)
        assert found == pytest.approx(best) if best is not None else found is None


def test_repairs_change_no_real_number():
    model = randomise(models.light(), np.random.default_rng(0))
    x = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    graph, floats = fuse(model), x.astype(np.float32) / 255
    expected = run(graph, floats)
    assert np.allclose(run(equalize(graph, x), floats), expected, atol=2e-3 * np.abs(expected).max())
    exact = correct_biases(graph, x, lambda op, floor: (op.weights, np.ones(len(op.weights))))
    assert np.allclose(run(exact, floats), expected)


def test_bias_correction_takes_back_the_mean():
    model = randomise(models.resnet8(), np.random.default_rng(0), dead=0)
    x = np.random.default_rng(1).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    graph, floats = fuse(model), x.astype(np.float32) / 255
    corrected = correct_biases(graph, x, sharer(2))
    last, rounded = graph["dense"], sharer(2)(graph["dense"], np.full(10, 1e-30))
    inputs = run(graph, floats, keep=True)[last.inputs[0]].reshape(16, -1)
    weights = rounded[0].expand() * rounded[1][:, None]
    before = (inputs @ weights.T + last.tail.bias).mean(axis=0)
    after = (inputs @ weights.T + corrected["dense"].tail.bias).mean(axis=0)
    wanted = (inputs @ last.weights.T + last.tail.bias).mean(axis=0)
    assert np.abs(after - wanted).max() < 1e-3 * np.abs(before - wanted).max()


def test_ranges_by_name():
    counts = np.zeros(2048, int)
    counts[0], counts[200:300], counts[-1] = 10**6, 10**4, 1
    h = Histogram(0.0, 100.0, counts)
    low, high = percentile_range(h)
    assert low == 0 and 14 < high < 15
    low, high = least_error_range(h)
    assert low == 0 and 14 < high < 100
    assert least_error_range(Histogram(0.0, 1.0, np.ones(2048, int))) == (0.0, 1.0)


def test_steady_ranges_do_not_follow_small_changes():
    """Ends go to the nearest half of an octave, so that other images of the same kind give the same integers."""
    counts = np.zeros(2048, int)
    counts[:1400] = 1000
    found = {steady_range(Histogram(-4.0 * grown, 4.0 * grown, counts)) for grown in (0.96, 1.0, 1.04)}
    assert found == {(-4.0, 2 ** 0.5)} and percentile_range(Histogram(-4.0, 4.0, counts))[1] == pytest.approx(1.47, abs=0.01)


def test_steady_counts_every_image(learnt):
    model, x, _ = learnt
    graph = fuse(model)
    known = survey(graph, x, counted=len(x)).by("steady")
    assert calibrate(graph, x, method="steady") == known and len(x) > 128
    steps = [2 * np.log2(abs(end)) for name in survey(graph, x).histograms for end in known[name] if end]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)


def test_divergence_is_zero_only_for_equal_answers():
    z = np.random.default_rng(0).normal(size=(5, 4))
    assert divergence(z, z + 3) == pytest.approx(0) and divergence(z, -z) > 0.1


class TestRefusals:
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)

    @pytest.mark.parametrize(
        ("x", "error", "text"),
        [
            (x[:, :4], ShapeError, "expected (N, 8, 8, 3)"),
            (x[0], ShapeError, "x[None]"),
            (x[:0], ShapeError, "N above 0"),
            (x.astype(np.float32), DataError, "floats from 0 to 1"),
            (x / np.float32(255) + np.nan, DataError, "floats from 0 to 1"),
        ],
    )
    def test_calibration_images(self, x, error, text):
        with pytest.raises(error) as caught:
            quantize(small(), x)
        assert text in str(caught.value)

    def test_nan_weights(self):
        model = small()
        model.layers[1].parameters["kernel"][0, 0, 0, 0] = np.nan
        with pytest.raises(QuantError, match="conv2d/kernel holds NaN"):
            quantize(model, self.x)

    @pytest.mark.parametrize("layer", [L.Conv2D(4, 1, groups=2), L.LayerNormalization()])
    def test_layers_that_are_not_covered(self, layer):
        model = nn.Sequential([L.InputLayer((8, 8, 3)), L.Conv2D(4, 3), layer, L.Flatten(), L.Dense(2)])
        with pytest.raises(NotYet, match="the integer model has no"):
            quantize(model, self.x)

    @pytest.mark.parametrize("layer", [L.LSTM(3), L.GRU(3), L.Bidirectional(L.GRU(2))])
    def test_recurrent_layers_are_not_there_yet(self, layer, tmp_path):
        from tinyvgg.codegen import generate
        model = nn.Sequential([L.InputLayer((8, 4)), layer, L.Dense(2)])
        with pytest.raises(NotYet, match=f"the integer model has no {type(layer).__name__} yet"):
            quantize(model, np.zeros((2, 8, 4), np.uint8))
        with pytest.raises(NotYet, match=f"C code has no {type(layer).__name__} yet"):
            generate(model, tmp_path / "c")

    @pytest.mark.parametrize("shared", ["batch-norm", "padding"])
    def test_what_two_layers_read_is_there_for_both(self, shared):
        start = nn.Input((8, 8, 3))
        if shared == "padding":
            padded = L.ZeroPadding2D(1)(start)
            joined = L.Flatten()(L.Add()([L.Conv2D(2, 3)(padded), L.Conv2D(2, 3)(padded)]))
        else:
            scaled = L.Dropout(0.5)(L.BatchNormalization()(L.Flatten()(L.MaxPooling2D(4)(start))))
            joined = L.Concatenate()([L.Dense(3)(scaled), scaled])
        model = randomise(nn.Model(start, L.Dense(2)(joined), seed=1), np.random.default_rng(1))
        x = self.x / np.float32(255)
        exact = model.logits(x)
        assert np.allclose(run(quantize(model, self.x).float_graph, x), exact, atol=1e-4 * np.abs(exact).max())

    def test_names_and_budgets(self):
        with pytest.raises(OptionError, match="no scheme 'int4'"):
            compress(small(), "int4", self.x)
        with pytest.raises(OptionError, match="only auto takes one"):
            compress(small(), "int8", self.x, flash=100)
        with pytest.raises(OptionError, match="no calibration 'best guess'"):
            compress(small(), "int8", self.x, calibration="best guess")
        with pytest.raises(DataError, match="training images and their labels|needs training images"):
            compress(small(), "auto", self.x)
        with pytest.raises(DataError, match="one label an image"):
            compress(small(), "auto", self.x, np.zeros(3))


@pytest.mark.parametrize("value", [0, 255])
def test_constant_images_and_dead_channels(value):
    """A network that sees one colour only, with channels that are dead, constant, or of gain 0: lowered, proved, simulated."""
    model = randomise(small(), np.random.default_rng(1))
    for layer in model.layers:
        if isinstance(layer, L.Conv2D):
            layer.parameters["kernel"][..., 0] = 0
            layer.parameters["bias"][...] = -1
        if isinstance(layer, L.BatchNormalization):
            layer.parameters["gamma"][1:3] = 0, 1e-12
            layer.parameters["beta"][:3] = 3, -4, 5
    x = np.full((2, 8, 8, 3), value, np.uint8)
    q = quantize(model, x)
    check_graph(q.graph)
    expected = model.logits(x.astype(np.float32) / 255)
    assert np.abs(q.logits(x) - expected).max() < 0.05 * np.abs(expected).max() + 0.05
    other = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    assert np.isfinite(q.logits(other)).all()


def test_all_dead():
    model = small()
    for layer in model.layers:
        for array in layer.parameters.values():
            array[...] = 0
    q = quantize(model, np.zeros((1, 8, 8, 3), np.uint8))
    assert (q.integer_logits(np.zeros((2, 8, 8, 3), np.uint8)) == 0).all()


def test_lowering_twice_gives_the_same_bytes(learnt):
    model, x, _ = learnt
    graph = fuse(model)
    ranges = calibrate(graph, x[:64])
    assert QuantizedModel(lower(graph, ranges)).sha256 == QuantizedModel(lower(graph, ranges, quantise=per_channel_int8)).sha256


def test_check_finds_an_overflow(learnt):
    model, x, _ = learnt
    q = quantize(model, x[:64])
    op = q.graph["conv2d"]
    wrong = dataclasses.replace(op, tail=dataclasses.replace(op.tail, shift=15))
    with pytest.raises(QuantError, match="expected to fit 32 bits"):
        check_graph(dataclasses.replace(q.graph, ops=tuple(wrong if o is op else o for o in q.graph.ops)))


def test_images_as_bytes_or_floats(learnt):
    model, x, _ = learnt
    q = quantize(model, x[:64])
    assert (q.integer_logits(x[:8]) == q.integer_logits(x[:8].astype(np.float32) / 255)).all()
    assert q.bounds == (0.0, 1.0) and q.n_classes == 4 and q.input_shape == (8, 8, 3)
    assert q.predict(x[:8]).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert np.abs(q.scores(x[:8]) / 255 - q.predict(x[:8])).max() < 1.5 / 255
    with pytest.raises(ShapeError, match="channels last"):
        q.labels(x[0])
    with pytest.raises(DataError, match="expected uint8"):
        q.labels(x[:2].astype(np.int64))
    assert q.integer_logits(x[:0]).shape == (0, 4)
