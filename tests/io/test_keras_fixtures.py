"""Every file that Keras wrote: opened with the recorded answers, or refused in a sentence that names the layer."""
import contextlib
import functools
import json
import warnings

import numpy as np
import pytest

import tinyvgg
from tests.io import fixtures
from tinyvgg import kernels
from tinyvgg.cli import main
from tinyvgg.errors import NotYet
from tinyvgg.io import keras_h5
from tinyvgg.kernels.reference import softmax
from tinyvgg.report.tables import table

FILES = fixtures.files()
pytestmark = [pytest.mark.skipif(not FILES, reason=fixtures.REASON)]
# What the engine has not: half precision.
REFUSED = {"v_mixed_float16": "'conv2d' computes in mixed_float16",
           "v_mixed_bfloat16": "'conv2d' computes in mixed_bfloat16"}
TWO = "v_two_io"        # two inputs, two outputs


OUTCOMES = {}           # {path: why it was refused, or ""} of the files that were opened so far
summary_of = functools.cache(keras_h5.summary)


@functools.cache
def weights_of(path):
    return tinyvgg.load_model(path).get_weights()


def opened(path, stem, ending):
    """The model of a file; weights alone go into the model of the whole file beside it, emptied first."""
    try:
        model = _opened(path, stem, ending)
    except NotYet as error:
        OUTCOMES[path] = error.problem
        raise
    OUTCOMES[path] = ""
    return model


def _opened(path, stem, ending):
    if "weights" not in ending:
        return tinyvgg.load_model(path)
    model = tinyvgg.load_model(path.with_name(f"{stem}.h5"))
    model.set_weights([np.zeros_like(a) for a in model.get_weights()])
    return model.load_weights(path)


def distance(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("path", "stem", "ending"), [f for f in FILES if f[1] not in REFUSED and f[1] != TWO],
                         ids=lambda v: getattr(v, "name", None))
def test_answers_are_keras(path, stem, ending):
    model = opened(path, stem, ending)
    vectors = path.with_name(f"{stem}.npz")
    if not vectors.exists():
        assert stem.startswith("opt_") and all(np.isfinite(a).all() and a.any() for a in model.get_weights())
        return
    if ending != ".h5":
        whole = weights_of(path.with_name(f"{stem}.h5"))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(model.get_weights(), whole, strict=True))
    with np.load(vectors) as v, kernels.use("reference"):
        assert distance(model.predict(v["x"]), v["pred"]) < 1e-5
        assert distance(model.logits(v["x"]), v["logits"]) < 1e-5
        if ending == ".h5":
            # In float64, where no rounding decides between two equal pixels of a max-pool, as it does in one image of light.
            gradient = model.astype(np.float64).vjp(v["x"], lambda z: (softmax(z) - v["y"]) / len(v["x"]))
            assert distance(gradient, v["grad_x"]) < 1e-4


@pytest.mark.parametrize(("path", "stem", "ending"), [f for f in FILES if f[1] == TWO], ids=lambda v: getattr(v, "name", None))
def test_two_inputs_and_outputs(path, stem, ending, tmp_path):
    model = opened(path, stem, ending)
    with np.load(path.with_name(f"{stem}.npz")) as v:
        x, expected = [v["x"], v["b"]], [v["cls"], v["reg"]]
    model.save(tmp_path / "o.h5")
    for one in (model, tinyvgg.load_model(tmp_path / "o.h5")):
        assert all(distance(f, e) < 1e-5 for f, e in zip(one.predict(x), expected, strict=True))
    dx = model.vjp(x, lambda logits: [np.ones_like(z) for z in logits])
    assert [d.shape for d in dx] == [a.shape for a in x] and all(d.any() for d in dx)


@pytest.mark.parametrize(("path", "stem", "ending"), [f for f in FILES if f[1] in REFUSED],
                         ids=lambda v: getattr(v, "name", None))
def test_what_is_lacking_is_named(path, stem, ending):
    with pytest.raises(NotYet) as caught:
        opened(path, stem, ending)
    assert REFUSED[stem] in caught.value.problem and ". " not in caught.value.problem


@pytest.mark.parametrize(("path", "stem", "ending"), FILES, ids=lambda v: getattr(v, "name", None))
def test_summary_of_every_file(path, stem, ending, capsys):
    assert main(["summary", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    whole = summary_of(path.with_name(f"{stem}.h5"))
    assert list(result) == ["command", "parameters", "macc", "layers"] and result["parameters"] == whole["parameters"] > 0
    assert all(list(r) == ["name", "type", "output_shape", "parameters", "macc"] for r in result["layers"])
    if stem not in REFUSED and "weights" not in ending:
        rows = tinyvgg.nn.summary_rows(tinyvgg.load_model(path))
        assert sorted(map(str, result["layers"])) == sorted(map(str, rows))


def test_list_of_files(capsys):
    """Prints what is opened and what is refused, and why."""
    rows = []
    for path, stem, ending in FILES:
        if path not in OUTCOMES:
            with contextlib.suppress(NotYet):
                opened(path, stem, ending)
        rows.append([fixtures.name(path), "refused" if OUTCOMES[path] else "loaded", OUTCOMES[path]])
    with capsys.disabled():
        print("\n" + table(["file", "", "why"], rows))
    assert {r[0].split("/")[1].split(".")[0].removesuffix("_weights") for r in rows if r[1] == "refused"} == set(REFUSED)


@pytest.mark.parametrize(("path", "stem", "ending"), [f for f in FILES if "weights" not in f[2]],
                         ids=lambda v: getattr(v, "name", None))
@pytest.mark.parametrize("target", ["out.h5", pytest.param("out.keras", marks=pytest.mark.slow)])
def test_converted_files_hold_the_same(path, stem, ending, target, tmp_path):
    before = keras_h5.read(path)
    keras_h5.convert(path, tmp_path / target)
    after = keras_h5.read(tmp_path / target)
    assert sum(a.size for v in before.arrays.values() for a in v) == sum(a.size for v in after.arrays.values() for a in v)
    if before.state is not None and before.state.slots and not before.state.problem:
        assert after.state.iterations == before.state.iterations and not after.state.problem
        for kind, arrays in before.state.slots.items():
            assert {k: a.tobytes() for k, a in arrays.items()} == {k: a.tobytes() for k, a in after.state.slots[kind].items()}
    if stem in REFUSED:
        return
    one, two = tinyvgg.load_model(path), tinyvgg.load_model(tmp_path / target)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one.get_weights(), two.get_weights(), strict=True))
    unbiased = [[getattr(layer, "unbiased_moving_variance", 0) for layer in model.layers] for model in (one, two)]
    assert unbiased[0] == unbiased[1]


@pytest.mark.parametrize("version", ["keras2", "keras3"])
@pytest.mark.parametrize("stem", ["v_mixed_float16", "v_mixed_bfloat16"])
def test_half_precision_as_float32(version, stem, tmp_path):
    path = fixtures.FOLDER / version / f"{stem}.h5"
    assert main(["convert", str(path), str(tmp_path / "o.h5"), "--float32", "--quiet"]) == 0
    with np.load(path.with_suffix(".npz")) as v:
        assert distance(tinyvgg.load_model(tmp_path / "o.h5").predict(v["x"]), v["pred"]) < 2e-2


def test_regularizers_are_said_to_be_left_out(tmp_path):
    path = tmp_path / "m.h5"
    tinyvgg.models.light().save(path)
    import h5py
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["config"]["kernel_regularizer"] = {"class_name": "L2", "config": {"l2": 0.01}}
        file.attrs["model_config"] = json.dumps(config)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tinyvgg.load_model(path)
    assert ["conv2d" in str(w.message) and "kernel_regularizer" in str(w.message) for w in said] == [True]
