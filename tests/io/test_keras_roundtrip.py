"""What this library writes it reads back unchanged, and writes alike twice."""
import h5py
import numpy as np
import pytest

import tinyvgg
from tests.cases import CASES
from tinyvgg import models, nn, rng
from tinyvgg.errors import NotYet, TinyVGGError
from tinyvgg.nn import layers
from tinyvgg.train import optimizers


def shaken(model, seed=0):
    """Give every array values that no default explains."""
    generator = rng.generator(seed, "shaken")
    model.set_weights([(0.1 * generator.standard_normal(a.shape) + (a > 0.5)).astype(a.dtype) for a in model.get_weights()])
    for layer in model.layers:
        for name in layer.state:
            layer.state[name] = np.abs(layer.state[name])
    return model


def same(a, b):
    return all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", list(models.MODELS))
@pytest.mark.parametrize("ending", [".h5", ".keras", ".weights.h5"])
def test_models_come_back_byte_for_byte(tmp_path, name, ending):
    model, path = shaken(models.build(name)), tmp_path / f"m{ending}"
    model.save(path)
    first = path.read_bytes()
    model.save(path)
    assert path.read_bytes() == first
    if ending == ".weights.h5":
        back = models.build(name, seed=5).load_weights(path)
    else:
        back = tinyvgg.load_model(path)
        assert back.get_config() == model.get_config()
    assert same(model.get_weights(), back.get_weights())


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_every_layer_comes_back(tmp_path, case, ending):
    shapes = case.input_shape if isinstance(case.input_shape, list) else [case.input_shape]
    start = nn.Input(shapes[0][1:])
    if len(shapes) > 1:
        model = nn.Model(start, case.make()([start, *[layers.Activation("tanh")(start) for _ in shapes[1:]]]))
    elif isinstance(case.make(), layers.InputLayer):
        model = nn.Sequential([case.make(), layers.Flatten()])
    else:
        model = nn.Sequential([layers.InputLayer(shapes[0][1:]), case.make()])
    if "hard sigmoid of Keras 2" in case.name:
        with pytest.raises(NotYet, match="another function in Keras 2 than in Keras 3"):
            model.save(tmp_path / f"m{ending}")
        return
    shaken(model).save(tmp_path / f"m{ending}")
    back = tinyvgg.load_model(tmp_path / f"m{ending}")
    x = rng.generator(0, "x").uniform(0, 1, (2, *model.input_shape)).astype(np.float32)
    assert same(model.get_weights(), back.get_weights())
    assert np.array_equal(model.predict(x), back.predict(x))


def test_settings_of_ours_come_back(tmp_path):
    model = nn.Sequential([layers.BatchNormalization(unbiased_moving_variance=True, input_shape=(4, 4, 2)), layers.Flatten()],
                          input_range=(-1, 1), name="n")
    model.save(tmp_path / "m.h5", card={"accuracy": 0.5})
    back = tinyvgg.load_model(tmp_path / "m.h5")
    assert back.input_range == (-1, 1) and back.layers[1].unbiased_moving_variance
    assert tinyvgg.load_model(tmp_path / "m.h5", input_range=(0, 2)).input_range == (0, 2)


def test_float64_comes_back(tmp_path):
    model = shaken(models.light()).astype(np.float64)
    model.save(tmp_path / "m.h5")
    assert same(model.get_weights(), tinyvgg.load_model(tmp_path / "m.h5").get_weights())


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "rmsprop"])
def test_slots_come_back_byte_for_byte(tmp_path, name, ending):
    from tinyvgg.io.keras_h5 import load_optimizer
    model, optimizer = shaken(models.resnet8()), optimizers.get(name, learning_rate=0.01)
    generator = rng.generator(0, "g")
    for _ in range(2):
        for layer in model.layers:
            layer.gradients = {k: generator.standard_normal(v.shape).astype(np.float32) for k, v in layer.parameters.items()}
        optimizer.step(model)
    path = tmp_path / f"m{ending}"
    model.save(path, optimizer=optimizer)
    state = load_optimizer(path)
    assert (state.class_name, state.iterations, state.problem) == (type(optimizer).__name__, 2, "")
    expected, found = optimizer.state(), state.arrays()
    assert set(expected) <= set(found)
    assert same(expected.values(), [found[k] for k in expected])
    assert not any(found[k].any() for k in set(found) - set(expected))          # plain SGD: Keras 2 has slots of zeros


def test_names_over_64_kilobytes(tmp_path):
    chain = [layers.InputLayer((4,))] + [layers.Dense(2, name=f"dense_{'x' * 1500}_{i}") for i in range(60)]
    model = nn.Sequential(chain)
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert "layer_names0" in file["model_weights"].attrs
    assert same(model.get_weights(), tinyvgg.load_model(tmp_path / "m.h5").get_weights())


def test_wrong_names_and_shapes_are_said(tmp_path):
    model = models.light()
    with pytest.raises(TinyVGGError, match="ending"):
        model.save(tmp_path / "m.txt")
    with pytest.raises(TinyVGGError, match="no model file"):
        tinyvgg.load_model(tmp_path / "missing.h5")
    model.save(tmp_path / "m.weights.h5")
    with pytest.raises(TinyVGGError, match="without a description"):
        tinyvgg.load_model(tmp_path / "m.weights.h5")
    with pytest.raises(TinyVGGError, match="architecture|shape|arrays"):
        models.base().load_weights(tmp_path / "m.weights.h5")
    (tmp_path / "x.h5").write_bytes(b"not a model")
    with pytest.raises(TinyVGGError, match="neither HDF5"):
        tinyvgg.load_model(tmp_path / "x.h5")
