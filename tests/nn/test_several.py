"""Networks with several inputs and outputs: answers, gradients by the inputs, files, and what they are not for."""
import copy

import numpy as np
import pytest

import tinyvgg
from tinyvgg import nn
from tinyvgg.errors import DataError, NotYet, ShapeError
from tinyvgg.nn import layers


def network():
    """Two inputs; three outputs: a softmax that another output reads too, a softmax layer, and plain values."""
    a, b = nn.Input((5, 5, 2), name="a"), nn.Input((3,), name="b")
    joined = layers.Concatenate()([layers.Flatten()(layers.Conv2D(2, 3, activation="tanh")(a)), layers.Dense(4)(b)])
    classes = layers.Dense(3, activation="softmax", name="classes")(joined)
    more = layers.Softmax(name="more")(layers.Dense(2)(classes))
    return nn.MultiModel([a, b], [classes, more, layers.Dense(1, name="value")(joined)], seed=3)


@pytest.fixture
def x():
    generator = np.random.default_rng(0)
    return [generator.uniform(0, 1, (6, 5, 5, 2)).astype(np.float32), generator.normal(size=(6, 3)).astype(np.float32)]


def test_answers(x):
    model = network()
    classes, more, value = model.predict(x)
    assert (classes.shape, more.shape, value.shape) == ((6, 3), (6, 2), (6, 1))
    assert np.allclose(classes.sum(-1), 1, atol=1e-6) and np.allclose(more.sum(-1), 1, atol=1e-6)
    assert all(np.array_equal(p, q) for p, q in zip(model.predict({"b": x[1], "a": x[0]}, batch_size=4), (classes, more, value), strict=True))
    assert np.array_equal(model.labels(x)[0], classes.argmax(-1)) and "5x5x2 and 3" in nn.summary_text(model)
    assert [p.shape for p in model.predict([a[:0] for a in x])] == [(0, 3), (0, 2), (0, 1)]


def test_gradient_by_differences(x):
    model = network().astype(np.float64)
    x = [a.astype(np.float64) for a in x]
    generator = np.random.default_rng(1)
    g = [generator.normal(size=z.shape) for z in model.logits(x)]
    dx = model.vjp(x, g, batch_size=4)
    assert all(np.allclose(p, q) for p, q in zip(dx, model.vjp(x, lambda logits: g), strict=True))

    def total(x):
        return sum((a * b).sum() for a, b in zip(g, model.logits(x), strict=True))

    for i in (0, 1):
        step = [1e-6 * generator.normal(size=a.shape) if k == i else np.zeros_like(a) for k, a in enumerate(x)]
        numeric = total([a + s for a, s in zip(x, step, strict=True)]) - total([a - s for a, s in zip(x, step, strict=True)])
        assert np.isclose(numeric / 2, (dx[i] * step[i]).sum(), rtol=1e-5)


@pytest.mark.parametrize("ending", [".h5", ".keras", ".npz"])
def test_files(ending, x, tmp_path):
    model = network()
    model.save(tmp_path / f"m{ending}")
    back = tinyvgg.load_model(tmp_path / f"m{ending}")
    for one in (back, copy.deepcopy(model)):
        assert all(np.array_equal(p, q) for p, q in zip(one.predict(x), model.predict(x), strict=True))


def test_one_output_is_no_list(x):
    a, b = nn.Input((3,)), nn.Input((3,))
    model = nn.MultiModel([a, b], layers.Dense(2)(layers.Add()([a, b])))
    assert model.predict([x[1], x[1]]).shape == (6, 2)
    assert [d.shape for d in model.vjp([x[1], x[1]], np.ones((6, 2)))] == [(6, 3), (6, 3)]


def test_what_it_is_not_for(x):
    model = network()
    for task in (lambda: model.fit(x, [0]), lambda: model.evaluate(x, [0]), lambda: model.bounds, lambda: model.check_images(x[0]),
                 lambda: model.n_classes):
        with pytest.raises(NotYet, match="2 inputs .a, b. and 3 outputs .classes, more, value."):
            task()
    with pytest.raises(DataError, match="2 inputs"):
        model.predict(x[0])
    with pytest.raises(DataError, match="'a', 'b'"):
        model.predict({"a": x[0]})
    for wrong in ([x[0], x[0]], [x[0], x[1][:2]], [x[0], x[1].astype(str)]):
        with pytest.raises(ShapeError, match="input 'b'"):
            model.predict(wrong)
    with pytest.raises(ShapeError, match="one for each output"):
        model.vjp(x, [np.ones((6, 3))])
    with pytest.raises(ShapeError, match="all inputs"):
        nn.MultiModel(model.inputs[:1], model.outputs)
