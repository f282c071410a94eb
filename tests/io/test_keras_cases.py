"""Files after public bug reports: each opens with Keras' own answer or is refused in a sentence; what convert writes holds the same."""
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import tinyvgg
from tinyvgg.cli import main
from tinyvgg.errors import NotYet
from tinyvgg.io import keras_h5

FOLDER = Path(os.environ.get("TINYVGG_SHARED") or Path(__file__).resolve().parents[3] / "shared") / "cases" / "keras"
REASON = "no files of bug reports here: set TINYVGG_SHARED to a folder that holds cases/keras/"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=REASON)
# Refused by load_model, and by convert where the second entry is True: words of the sentence.
REFUSED = {
    "k2_lambda_activation.h5": ("'conv2d_10' .Conv2D. has a lambda as its activation", True),
    "k2_bn_called_training_true.h5": ("'batch_normalization' .BatchNormalization. is called with training=True", True),
    "k3_registered_subclass_named_conv2d.keras": ("'conv2d_4' .Conv2D. is the registered class 'me2>Conv2D'", True),
    "k3_custom_function_named_swish.h5": ("'conv2d_2' .Conv2D. has the owner's own function 'swish'", True),
    "k3_quantized_int8.keras": ("'dense_87' .Dense. was quantised by Keras .int8.", True),
}
FILES = sorted(p.name for p in FOLDER.glob("*") if p.suffix in (".h5", ".keras") and not p.name.startswith("wk2"))


def answers(name):
    """(images, Keras' answers) of a file, or None where there are none."""
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        return None
    with np.load(path) as v:
        return v["x"], v["y"]


def distance(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", [f for f in FILES if f not in REFUSED])
def test_answers_are_keras(name, tmp_path):
    """The file itself, and what convert makes of it."""
    model, recorded = tinyvgg.load_model(FOLDER / name), answers(name)
    x = recorded[0] if recorded else np.random.default_rng(0).uniform(0, 1, (4, *model.input_shape)).astype(np.float32)
    y = recorded[1] if recorded else model.predict(x)
    assert distance(model.predict(x), y) < 1e-5
    for ending in (".h5", ".keras"):
        keras_h5.convert(FOLDER / name, tmp_path / f"o{ending}")
        assert distance(tinyvgg.load_model(tmp_path / f"o{ending}").predict(x), y) < 1e-5


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(name, tmp_path, capsys):
    words, convert_too = REFUSED[name]
    with pytest.raises(NotYet, match=words) as caught:
        tinyvgg.load_model(FOLDER / name)
    assert "tinyvgg/nn/layers" not in str(caught.value) and ". " not in caught.value.problem
    if convert_too:
        assert main(["convert", str(FOLDER / name), str(tmp_path / "o.h5")]) == 2
        assert not list(tmp_path.iterdir()) and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["k3_lstm.keras", "k3_bidirectional_gru.keras"])
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_convert_writes_every_array(name, ending, tmp_path):
    before = keras_h5.read(FOLDER / name)
    keras_h5.convert(FOLDER / name, tmp_path / f"o{ending}")
    after = keras_h5.read(tmp_path / f"o{ending}")
    held = [[a.tobytes() for arrays in contents.arrays.values() for a in arrays] for contents in (before, after)]
    assert held[0] == held[1] and len(held[0]) >= 5


@pytest.mark.parametrize("name", FILES)
def test_summary(name, capsys):
    """Every file can be looked at, also one that is not understood."""
    assert main(["summary", str(FOLDER / name), "--json"]) == 0
    assert '"parameters"' in capsys.readouterr().out


def test_weights_go_by_order_as_in_keras():
    """The two files have layers of the same names in another order; Keras 2.15 gives A the answers of B, and B those of A."""
    one, two = FOLDER / "wk2_A.h5", FOLDER / "wk2_Bfull.h5"
    with np.load(FOLDER / "wk2_pred.npz") as v:
        x, y = v["x"], v["wk2_Bfull.h5"]
    first = tinyvgg.load_model(one).predict(x)
    assert distance(first, y) > 0.1
    with pytest.warns(UserWarning, match="by their order"):
        assert distance(tinyvgg.load_model(one).load_weights(two).predict(x), y) < 1e-5
        assert distance(tinyvgg.load_model(two).load_weights(one).predict(x), first) < 1e-5


@pytest.mark.parametrize("name", ["k3_uncompiled.keras", "k2_activation_is_leakyrelu_layer.h5", "quickstart_flatten28x28.h5",
                                  "k2_written_on_windows.keras", "k3_tf_nn_softmax.h5", "k2_teachable_nested.h5",
                                  "k2_hard_sigmoid.h5", "k3_binary_sigmoid.h5"])
def test_as_c(name, tmp_path):
    """Float C on the host."""
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    from tinyvgg.codegen.host import HostModel
    model = tinyvgg.load_model(FOLDER / name)
    x = np.random.default_rng(0).uniform(0, 1, (4, *model.input_shape)).astype(np.float32)
    assert distance(HostModel(model).logits(x), model.logits(x)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("form", ["float", "int8"])
@pytest.mark.parametrize("name", [f for f in FILES if f not in REFUSED])
def test_on_the_board(name, form, tmp_path):
    """The firmware of each on the virtual board: int8 gives the simulation's bytes, floats the network's answers."""
    for extra in ("unicorn", "ziglang"):
        pytest.importorskip(extra)
    from tinyvgg.board import Board
    from tinyvgg.errors import BuildError
    from tinyvgg.firmware.network import build_network
    from tinyvgg.quant import quantize
    model = tinyvgg.load_model(FOLDER / name)
    x = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape), dtype=np.uint8)
    low, high = model.input_range
    floats = (x * np.float32((high - low) / 255) + np.float32(low)).clip(low, high)
    try:
        deployed = quantize(model, x) if form == "int8" else model
        network = build_network(deployed, tmp_path, name="net")
    except (NotYet, BuildError) as error:
        pytest.skip(f"refused in a sentence: {error.problem}")
    with Board(f"virtual:{network.image.elf}") as board:
        if form == "int8":
            assert np.array_equal(board.infer(x[:2]).raw, deployed.integer_logits(x[:2]))
        else:
            assert distance(board.logits(floats[:2]), model.logits(floats[:2])) < 1e-5
