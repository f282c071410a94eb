"""The contract of images: one check, one rule each way between bytes and floats, the same for every kind of classifier."""
import numpy as np
import pytest

from tinyvgg import attacks, images, kernels, models, nn
from tinyvgg.board.classifier import quantize as board_rule
from tinyvgg.codegen.host import HostModel
from tinyvgg.errors import DataError, ShapeError
from tinyvgg.nn import layers
from tinyvgg.quant.calibrate import as_float_images
from tinyvgg.quant.model import quantize
from tinyvgg.quant.schemes import compress
from tinyvgg.quant.straight import straight_through
from tinyvgg.testing import assert_bit_exact

RANGES = [(0, 1), (-1, 1), (0, 255), (-0.5, 0.5)]
SHAPE = (8, 8, 3)


def network(bounds=(0, 1), seed=0):
    """Takes images in `bounds`, which it brings to -1..1 or 0..1 itself where they are bytes."""
    start = [layers.Rescaling(1 / 255)] if bounds == (0, 255) else []
    return nn.Sequential([layers.InputLayer(SHAPE), *start, layers.Conv2D(16, 3, padding="same", activation="relu"),
                          layers.MaxPooling2D(), layers.Flatten(), layers.Dense(4, activation="softmax")], seed=seed,
                         input_range=bounds)


def some(n=6, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *SHAPE), dtype=np.uint8)


def victims(bounds):
    """{kind: a classifier} of one network: floats, compressed floats, integers, with gradients, their C."""
    model, x = network(bounds), some()
    integer = quantize(model, x)
    return {"floats": model, "float64": model.astype(np.float64), "compressed": compress(model, "none"), "integers": integer,
            "straight-through": straight_through(integer), "C of integers": HostModel(integer), "C of floats": HostModel(model)}


@pytest.fixture(scope="module", params=RANGES, ids=str)
def kinds(request):
    return request.param, victims(request.param)


def unaligned(x, offset=1):
    """The same values at an address that is a multiple of nothing."""
    found = np.frombuffer(b"x" * offset + x.tobytes(), x.dtype, offset=offset).reshape(x.shape)
    assert np.array_equal(found, x) and found.ctypes.data % 4 != 0
    return found


def packed(x):
    """The same values as a field of packed records."""
    records = np.zeros(len(x), [("label", "u1"), ("image", x.dtype, x.shape[1:])])
    records["image"] = x
    return records["image"]


@pytest.mark.parametrize("bounds", [*RANGES, (0.1, 0.9), (-3, 7)], ids=str)
def test_bytes_come_back(bounds):
    q = np.arange(256, dtype=np.uint8)
    table = images.byte_table(*bounds)
    assert np.array_equal(images.to_bytes(table, bounds), q)
    assert np.array_equal(table, (bounds[0] + (bounds[1] - bounds[0]) * np.arange(256.0) / 255).astype(np.float32))


def test_half_levels_follow_the_board():
    x = ((np.arange(255) + 0.5) / 255).astype(np.float32)
    expected = np.floor(x * (np.float32(1) / np.float32(1 / 255)) + np.float32(0.5)).astype(np.uint8)
    assert np.array_equal(images.to_bytes(x, (0, 1)), expected) and np.array_equal(board_rule(x, 1 / 255, 0), expected)
    assert np.array_equal(attacks.norms.to_grid(x, (0, 1)), expected)


def test_bytes_and_floats_are_the_same_images(kinds):
    bounds, by_kind = kinds
    q = np.concatenate([some(), np.arange(192, dtype=np.uint8).reshape(1, *SHAPE), np.arange(64, 256, dtype=np.uint8).reshape(1, *SHAPE)])
    floats = images.byte_table(*bounds)[q]
    for kind, victim in by_kind.items():
        assert np.array_equal(victim.logits(q), victim.logits(floats)), kind
        assert np.array_equal(victim.labels(q), victim.labels(floats)), kind
        if hasattr(victim, "vjp"):
            assert np.array_equal(victim.vjp(q, lambda z: z), victim.vjp(floats, lambda z: z)), kind
    assert np.array_equal(as_float_images(q, by_kind["compressed"].graph), floats)


def test_simulation_and_c_agree_on_half_levels(kinds):
    bounds, by_kind = kinds
    levels = (np.random.default_rng(3).integers(0, 255, (8, *SHAPE)) + 0.5) / 255
    x = (bounds[0] + (bounds[1] - bounds[0]) * levels).astype(np.float32)
    assert_bit_exact(by_kind["integers"], x)
    assert np.array_equal(by_kind["integers"].integer_logits(x), by_kind["C of integers"].raw_logits(x))


@pytest.mark.parametrize("place", [unaligned, packed, lambda x: x[::-1][::-1], lambda x: x.astype(">f4"), np.asfortranarray])
def test_an_array_at_any_address_is_right(kinds, place):
    bounds, by_kind = kinds
    x = images.byte_table(*bounds)[some()]
    g = np.ones((len(x), 4), np.float32)
    for kind, victim in by_kind.items():
        assert np.array_equal(victim.logits(place(x)), victim.logits(x)), kind
        if hasattr(victim, "vjp"):
            assert np.array_equal(victim.vjp(place(x), g), victim.vjp(x, g)), kind
    model = by_kind["floats"]
    assert np.array_equal(model.forward_logits(place(x)), model.forward_logits(x))
    assert np.array_equal(model.forward(place(x), training=True), model.forward(x, training=True))


def test_layers_kernels_and_steps_take_any_address():
    rng, model = np.random.default_rng(0), models.resnet8(seed=1)
    x = rng.random((2, 8, 8, 16)).astype(np.float32)
    kernel, dy = rng.normal(size=(3, 3, 16, 16)).astype(np.float32), rng.random((2, 6, 6, 16)).astype(np.float32)
    assert np.array_equal(kernels.conv2d(unaligned(x), unaligned(kernel)), kernels.conv2d(x, kernel))
    for a, b in zip(kernels.conv2d_backward(unaligned(dy), unaligned(x), unaligned(kernel)), kernels.conv2d_backward(dy, x, kernel),
                    strict=True):
        assert np.array_equal(a, b)
    layer = layers.Conv2D(16, 3)
    layer.ensure_built((8, 8, 16), rng)
    assert np.array_equal(layer.forward(unaligned(x)), layer.forward(x))
    w, g, m, v = (rng.random(40_000).astype(np.float32) for _ in range(4))
    moved = [np.frombuffer(bytearray(b"x" + a.tobytes()), np.float32, offset=1) for a in (w, g, m, v)]
    settings = {"step_size": 0.1, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
    kernels.adam_update(w, g, m, v, **settings)
    kernels.adam_update(*moved, **settings)
    assert np.allclose(moved[0], w, rtol=1e-5, atol=1e-6)
    model.layers[1].parameters["kernel"] = unaligned(model.layers[1].parameters["kernel"])
    with pytest.raises(DataError, match="multiple of 4"):
        model.logits(np.zeros((1, 32, 32, 3), np.float32))


def test_training_takes_any_address():
    x, y = images.byte_table(0, 1)[some(32)], np.arange(32) % 4
    weights = []
    for place in (np.asarray, unaligned, packed):
        model = network()
        model.fit(place(x), y, epochs=1, batch_size=8, quiet=True)
        weights.append(model.get_weights())
    assert all(np.array_equal(a, b) for other in weights[1:] for a, b in zip(weights[0], other, strict=True))


WRONG = {
    "bytes as floats": (lambda x: x.astype(np.float32) * 300, DataError, "outside the model's bounds"),
    "a little above": (lambda x: _with(x, lambda low, high: high + 2e-5 * max(1, high)), DataError, "outside the model's bounds"),
    "a little below": (lambda x: _with(x, lambda low, high: low - 2e-5 * max(1, -low)), DataError, "outside the model's bounds"),
    "NaN": (lambda x: _with(x, lambda *_: np.nan), DataError, "in image 2"),
    "infinity": (lambda x: _with(x, lambda *_: np.inf), DataError, "in image 2"),
    "whole numbers": (lambda x: some().astype(np.int64), DataError, "x.astype(np.uint8)"),
    "signed bytes": (lambda x: some().astype(np.int8), DataError, "int8"),
    "truth values": (lambda x: x > 0, DataError, "bool"),
    "text": (lambda x: np.full(x.shape, "1"), DataError, "expected uint8"),
    "complex": (lambda x: x + 0j, DataError, "complex"),
    "a list of other lists": (lambda x: [[1, 2], [3]], DataError, "are not an array of numbers"),
    "channels first": (lambda x: x.transpose(0, 3, 1, 2), ShapeError, "transpose(0, 2, 3, 1)"),
    "one image": (lambda x: x[0], ShapeError, "x[None]"),
}
_bounds = (0, 1)


def _with(x, value):
    x = x.astype(np.float64)
    x[2, 1, 1, 0] = value(*_bounds)
    return x


@pytest.mark.parametrize("name", WRONG)
def test_every_classifier_refuses_the_same(kinds, name):
    global _bounds
    _bounds, by_kind = kinds
    make, error, words = WRONG[name]
    x, y = make(images.byte_table(*_bounds)[some()]), np.zeros(6, int)
    for victim in by_kind.values():
        for ask in (victim.logits, victim.labels, victim.predict, lambda x, v=victim: attacks.noise(v, x, y, eps=0.01)):
            with pytest.raises(error, match=__import__("re").escape(words)):
                ask(x)
        if hasattr(victim, "vjp"):
            with pytest.raises(error):
                victim.vjp(x, np.ones((6, 4), np.float32))
        if hasattr(victim, "evaluate"):
            with pytest.raises(error):
                victim.evaluate(x, y)
    with pytest.raises(error):
        by_kind["floats"].fit(x, y, quiet=True)
    with pytest.raises(error):
        quantize(by_kind["floats"], x)


def test_one_rounding_beyond_the_end_is_no_mistake(kinds):
    bounds, by_kind = kinds
    x = np.full((1, *SHAPE), bounds[1], np.float64) + 5e-7
    for kind, victim in by_kind.items():
        assert np.array_equal(victim.logits(x), victim.logits(np.full((1, *SHAPE), 255, np.uint8))), kind


def test_no_image_gives_no_answer(kinds):
    for kind, victim in kinds[1].items():
        assert victim.logits(np.zeros((0, *SHAPE), np.float32)).shape == (0, 4), kind
        assert victim.labels(np.zeros((0, *SHAPE), np.uint8)).shape == (0,), kind


def test_attacks_and_functions_take_bytes(kinds):
    bounds, by_kind = kinds
    x, y = some(), by_kind["floats"].labels(some())
    floats, eps = images.byte_table(*bounds)[x], 0.05 * (bounds[1] - bounds[0])
    for kind in ("floats", "straight-through"):
        a, b = (attacks.pgd(by_kind[kind], z, y, eps=eps, steps=3) for z in (x, floats))
        assert np.array_equal(a.x_adv, b.x_adv) and a.clean_accuracy == 1 or kind != "floats"
    strange = attacks.as_classifier(by_kind["floats"].logits, bounds=bounds, n_classes=4)
    from tinyvgg.train import evaluate
    assert evaluate(strange, x, y)["accuracy"] == 1


def test_steps_that_nothing_clips_and_transforms_may_lead_outside(kinds):
    """cleverhans' PGD without clip_min, and a defence that adds noise, ask networks for images outside their range."""
    from tinyvgg.attacks.compat.cleverhans import projected_gradient_descent
    bounds, by_kind = kinds
    x, width = some(), bounds[1] - bounds[0]
    for kind in ("floats", "straight-through"):
        adv = projected_gradient_descent(by_kind[kind], x, 0.5 * width, 0.25 * width, 3, np.inf)
        assert adv.max() > bounds[1] or adv.min() < bounds[0], kind
        with pytest.raises(DataError, match="outside"):
            by_kind[kind].logits(adv)
        noisy = attacks.defended(by_kind[kind], lambda z, g: z + width * g.standard_normal(z.shape), seed=0)
        assert np.isfinite(noisy.logits(images.byte_table(*bounds)[x])).all()
        assert np.isfinite(noisy.vjp(images.byte_table(*bounds)[x], np.ones((6, 4), np.float32))).all()
