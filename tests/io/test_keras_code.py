"""Keras files that carry code: none of it runs here, whatever reads the file.

CVE-2024-3660 and CVE-2025-9905: a Lambda layer's marshalled function in an .h5, which Keras unpacks in spite of safe_mode;
CVE-2025-1550: a config.json that names any module and function; CVE-2025-9906: one that switches Keras' safe mode off first.
"""
import base64
import json
import marshal
import types
import zipfile

import h5py
import numpy as np
import pytest

import tinyvgg
from tests.io.test_keras_kinds import CONV, as_h5, as_keras, chain, conv, entry
from tinyvgg.analyze.open import describe_path
from tinyvgg.errors import FormatError, NotYet, TinyVGGError
from tinyvgg.io import keras_h5


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """(function that leaves a trace, its marshalled code as Keras writes it, was it sprung?); module `hostile_code` leaves one, too."""
    sprung = tmp_path / "sprung"
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "hostile_code.py").write_text(
        f"open({str(sprung)!r}, 'w').close()\nrun = open\nclass Conv2D:\n    from_config = run\n")
    monkeypatch.syspath_prepend(tmp_path / "modules")
    space = {}
    exec(f"def spring(x=None):\n    open({str(sprung)!r}, 'w').close()\n    return x\n", space)
    code = base64.b64encode(marshal.dumps(space["spring"].__code__)).decode()
    return sprung, code


def test_the_trap_works(trap):
    sprung, code = trap
    types.FunctionType(marshal.loads(base64.b64decode(code)), {"__builtins__": __builtins__})(1)
    assert sprung.exists()
    sprung.unlink()
    import hostile_code  # noqa: F401
    assert sprung.exists()


def lambda_layer(code, sprung):                         # what Keras 2 writes: [code, defaults, closure]
    return entry("Lambda", "code", function=[code, None, None], function_type="lambda", module="builtins", output_shape=None,
                 output_shape_type="raw", output_shape_module=None, arguments={})


def lambda_layer_3(code, sprung):
    function = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    return entry("Lambda", "code", "keras.layers", function=function, arguments={})


def lambda_output_shape(code, sprung):
    return {**lambda_layer(code, sprung), "config": {**lambda_layer(code, sprung)["config"], "function": "linear", "function_type": "function",
                                                     "output_shape": [code, None, None], "output_shape_type": "lambda"}}


def lambda_activation(code, sprung):
    return conv("code", activation={"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}})


def own_layer_of_another_module(code, sprung):
    return {"module": "hostile_code", "class_name": "Conv2D", "registered_name": "Conv2D", "config": {"name": "code"}}


def any_function(code, sprung):                         # CVE-2025-1550
    return {"module": "hostile_code", "class_name": "function", "config": "run", "registered_name": "function", "name": "code",
            "inbound_nodes": [{"args": [str(sprung), "w"], "kwargs": {}}]}


def any_callable_of_python(code, sprung):
    return {"module": "builtins", "class_name": "open", "registered_name": "open", "config": {"name": "code", "file": str(sprung), "mode": "w"}}


def initializer_of_another_module(code, sprung):
    return conv("code", kernel_initializer={"module": "hostile_code", "class_name": "run", "registered_name": None,
                                            "config": {"file": str(sprung), "mode": "w"}})


def safe_mode_off(code, sprung):                        # CVE-2025-9906
    return {"module": "keras.config", "class_name": "enable_unsafe_deserialization", "registered_name": None, "name": "code",
            "config": {"name": "code"}, "inbound_nodes": []}


def get_file(code, sprung):                             # Keras' own function that writes files
    return {"module": "keras.utils", "class_name": "get_file", "registered_name": "get_file", "name": "code",
            "config": {"name": "code", "fname": str(sprung), "origin": sprung.parent.as_uri(), "cache_dir": str(sprung.parent)}}


KINDS = (lambda_layer, lambda_layer_3, lambda_output_shape, lambda_activation, own_layer_of_another_module, any_function,
         any_callable_of_python, initializer_of_another_module, safe_mode_off, get_file)


def written(folder, ending, layers, training=None):
    if ending == ".keras":
        return as_keras(folder / "m.keras", chain(*layers), {"layers/conv2d": CONV})
    path = as_h5(folder / "m.h5", chain(*layers), {"conv": CONV, "code": []}, "2.15.0")
    if training:
        with h5py.File(path, "r+") as file:
            file.attrs["training_config"] = json.dumps(training)
    return path


def read_by_all(path):
    """Every way to a Keras file; what load_model raised."""
    model = tinyvgg.nn.Sequential([tinyvgg.nn.layers.InputLayer((5, 5, 2)), tinyvgg.nn.layers.Conv2D(2, 3)])
    said = {}
    for way in (keras_h5.summary, keras_h5.read, keras_h5.load_optimizer, describe_path, tinyvgg.open, tinyvgg.load_model,
                lambda p: keras_h5.convert(p, p.with_name("o.h5")), lambda p: keras_h5.convert(p, p.with_name("o.keras")), model.load_weights):
        try:
            way(path)
        except TinyVGGError as error:
            said[way] = error
    return said.get(tinyvgg.load_model)


@pytest.mark.parametrize("ending", [".h5", ".keras"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_code_of_a_layer_runs(kind, ending, trap, tmp_path):
    sprung, code = trap
    hostile = kind(code, sprung)
    for layers in ([conv(), hostile], [hostile, conv()]):
        error = read_by_all(written(tmp_path, ending, layers))
        assert not sprung.exists(), "the file's code ran"
        assert isinstance(error, NotYet | FormatError) or kind is initializer_of_another_module, error


@pytest.mark.parametrize("key", ["optimizer_config", "loss", "metrics"])
def test_no_code_of_the_training_runs(key, trap, tmp_path):
    sprung, code = trap
    hostile = {"module": "hostile_code", "class_name": "run", "registered_name": "run", "config": {"file": str(sprung), "mode": "w"}}
    training = {"optimizer_config": {"class_name": "Adam", "config": {}}, "loss": "mse", "metrics": [], key: hostile}
    error = read_by_all(written(tmp_path, ".h5", [conv()], training))
    assert not sprung.exists() and error is None        # the network is read; its training is not


def test_pickles_in_any_place_are_refused(trap, tmp_path):
    """Members and arrays of Python objects, which NumPy would unpickle."""
    sprung, code = trap

    class Bomb:
        def __reduce__(self):
            return open, (str(sprung), "w")
    path = as_keras(tmp_path / "m.keras", chain(conv()), {"layers/conv2d": CONV})
    np.save(tmp_path / "o.npy", np.array([Bomb()], object), allow_pickle=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.write(tmp_path / "o.npy", "assets/o.npy")
        archive.writestr("model.weights.npz", b"PK\3\4")
    read_by_all(path)
    with pytest.raises(TinyVGGError):
        tinyvgg.data.load(f"{tmp_path / 'o.npy'},{tmp_path / 'o.npy'}")
    assert not sprung.exists()
    np.load(tmp_path / "o.npy", allow_pickle=True)
    assert sprung.exists(), "the trap does not work"
