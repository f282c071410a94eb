"""Summary and analysis are one count: of every file that Keras wrote, of networks that nobody chose, of layers used twice."""

import json
import os
from pathlib import Path

import pytest

from tinyvgg import nn
from tinyvgg.analyze import analyze, boards, describe_config
from tinyvgg.analyze.analysis import measure
from tinyvgg.analyze.open import describe_path
from tinyvgg.cli import main
from tinyvgg.errors import TinyVGGError
from tinyvgg.io import save_model
from tinyvgg.io.hdf5 import damage
from tinyvgg.io.keras_h5 import lacking, summary
from tinyvgg.nn import layers as L
from tinyvgg.testing import random_network

SHARED = Path(os.environ.get("TINYVGG_SHARED") or Path(__file__).resolve().parents[3] / "shared")
FILES = [p for folder in ("keras-fixtures", "cases/keras") for p in sorted((SHARED / folder).rglob("*"))
         if p.suffix in (".h5", ".keras")]


def both(path):
    """(parameters, MACC) of the summary and of the analysis; None where a file is refused."""
    found = []
    for count in (summary, lambda p: measure(describe_path(p), boards.load("stm32l4r9i-disco"), "tinyvgg", "none").as_dict()):
        try:
            counts = count(path)
            found.append((counts["parameters"], counts["macc"]))
        except TinyVGGError:
            found.append(None)
    return found


@pytest.mark.skipif(not FILES, reason="no files that Keras wrote here: set TINYVGG_SHARED")
@pytest.mark.filterwarnings("ignore")
def test_of_every_file_that_both_open():
    rows = [(path, *both(path)) for path in FILES]
    wrong = [f"{path.parent.name}/{path.name}: summary {ours}, analysis {theirs}" for path, ours, theirs in rows
             if ours and theirs and ours != theirs]
    assert not wrong, "\n".join(wrong)
    assert sum(bool(ours and theirs) for _, ours, theirs in rows) > 80
    silent = [path.name for path, ours, theirs in rows if ours and None not in ours and not theirs]
    assert not silent, f"the summary knows all costs of {silent}, the analysis opens none of them"


@pytest.mark.parametrize("seed", range(20))
def test_of_random_networks(seed):
    model = random_network(seed)
    found = analyze(model, rules="tinyvgg")
    assert (found.parameters, found.macc) == (model.count_params(), nn.count_macc(model))
    assert analyze(model).macc >= nn.count_macc(model)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_of_a_layer_that_is_used_twice(tmp_path, suffix):
    x, conv, norm = nn.Input((6, 6, 2)), L.Conv2D(2, 3, padding="same", activation="relu"), L.BatchNormalization()
    model = nn.Model(x, L.Dense(4)(L.Flatten()(norm(conv(norm(conv(x)))))))
    save_model(model, path := tmp_path / f"twice{suffix}")
    conv_macc, dense = 36 * 2 * 9 * 2, 72 * 4
    for source in (model, describe_path(path)):
        ours, st = analyze(source, rules="tinyvgg"), analyze(source)
        assert (ours.parameters, ours.macc) == (38 + 8 + dense + 4, 2 * conv_macc + dense)
        assert (st.parameters, st.macc) == (38 + 4 + dense + 4, 2 * (conv_macc + 2 + 72 + 2 * 72) + dense + 4)
        assert st.weights_bytes == 4 * st.parameters and ours.weights_bytes < 4 * ours.parameters
        assert [row.name for row in st.layers][:2] == ["conv2d/conv", "conv2d"]
        assert [row.note for row in st.layers if row.parameters == 0 and row.kind == "conv"] == ["the weights of its first use"]


# class, settings, input shape -> output shape, parameters, MACC as Keras has them.
LACKING = [
    ("LSTM", {"units": 6}, (10, 4), (6,), 264, 10 * 24 * 10),
    ("LSTM", {"units": 6, "return_sequences": True, "use_bias": False}, (10, 4), (10, 6), 240, 10 * 24 * 10),
    ("GRU", {"units": 6, "reset_after": True}, (10, 4), (6,), 216, 10 * 18 * 10),
    ("GRU", {"units": 6, "reset_after": False}, (10, 4), (6,), 198, 10 * 18 * 10),
    ("SimpleRNN", {"units": 3}, (5, 2), (3,), 18, 5 * 3 * 5),
    ("Bidirectional", {"layer": {"class_name": "LSTM", "config": {"name": "i", "units": 6}}}, (10, 4), (12,), 528, 4800),
    ("Bidirectional", {"layer": {"class_name": "GRU", "config": {"units": 6}}, "merge_mode": "sum"}, (10, 4), (6,), 396, 3600),
    ("TimeDistributed", {"layer": {"class_name": "Dense", "config": {"name": "i", "units": 3}}}, (7, 4), (7, 3), 15, 84),
    ("TimeDistributed", {"layer": {"class_name": "Conv2D", "config": {"filters": 2, "kernel_size": [3, 3]}}},
     (5, 8, 8, 1), (5, 6, 6, 2), 20, 5 * 36 * 18),
    ("TimeDistributed", {"layer": {"class_name": "SeparableConv2D", "config": {"filters": 2, "kernel_size": [3, 3]}}},
     (5, 8, 8, 3), (5, 6, 6, 2), 27 + 6 + 2, 5 * 36 * (27 + 6)),
    ("Embedding", {"input_dim": 100, "output_dim": 8}, (12,), (12, 8), 800, 0),
    ("Conv1D", {"filters": 5, "kernel_size": [3], "strides": [2], "padding": "causal"}, (9, 4), (5, 5), 65, 5 * 60),
    ("MaxPooling1D", {"pool_size": [2], "strides": None}, (9, 4), (4, 4), 0, 0),
    ("GlobalAveragePooling1D", {}, (9, 4), (4,), 0, 0),
    ("GlobalMaxPooling1D", {"keepdims": True}, (9, 4), (1, 4), 0, 0),
    ("ZeroPadding1D", {"padding": [1, 2]}, (9, 4), (12, 4), 0, 0),
    ("Dense", {"units": 3, "activation": "gelu"}, (4,), (3,), 15, 12),
]


INTEGERS = set(L.LAYERS) - {"LSTM", "GRU", "SimpleRNN", "Bidirectional", "Resizing"}             # that the integer model has


@pytest.mark.parametrize(("class_name", "settings", "shape", "out", "parameters", "macc"), LACKING)
def test_of_layers_that_the_engine_lacks(class_name, settings, shape, out, parameters, macc):
    config = {"name": "x", "batch_input_shape": [None, *shape], **settings}
    layer = {"class_name": class_name, "config": config}
    operations = describe_config({"class_name": "Sequential", "config": {"layers": [layer]}})
    found = analyze(operations, rules="tinyvgg")
    assert (operations[-1].output_shape, found.parameters, found.macc) == (out, parameters, macc)
    assert not any("8-bit integers" in change.what for change in analyze(operations).changes) or class_name in INTEGERS


def test_no_row_hides_a_layer_of_the_engine():
    """A layer that the engine has by now needs no row of those that it lacks."""
    assert not set(lacking.LACKING) & set(L.LAYERS)


@pytest.mark.parametrize("layer, words", [
    ({"class_name": "LSTM", "config": {"name": "r"}}, "'r' .LSTM. has settings that do not fit"),
    ({"class_name": "LSTM", "config": {"name": "r", "units": 0}}, "'r': units is 0"),
    ({"class_name": "GRU", "config": {"name": "r", "units": 3, "return_state": True}}, "'r': return_state"),
    ({"class_name": "TimeDistributed", "config": {"name": "r", "layer": 3}}, "'r' .TimeDistributed. do not fit"),
    ({"class_name": "TimeDistributed", "config": {"name": "r", "layer": {"class_name": "Sequential", "config": {"name": "m"}}}},
     "'r' .TimeDistributed. holds a 'Sequential'"),
    ({"class_name": "Bidirectional", "config": {"name": "r", "layer": {"class_name": "Dense", "config": {"units": 2}}}},
     "'r' .Bidirectional.: merge_mode 'concat' of Dense"),
    ({"class_name": "Conv1D", "config": {"name": "r", "filters": 2, "kernel_size": [3, 3]}}, "'r': kernel_size"),
    ({"class_name": "LSTM", "config": {"name": "r", "units": 3, "batch_input_shape": [None, 4]}}, "expected series"),
])
def test_settings_of_those_that_do_not_fit(layer, words):
    layer["config"].setdefault("batch_input_shape", [None, 10, 4])
    with pytest.raises(TinyVGGError, match=words), damage("the model"):
        describe_config({"class_name": "Sequential", "config": {"layers": [layer]}})


@pytest.mark.skipif(not (SHARED / "cases").is_dir(), reason="no files of known mistakes here: set TINYVGG_SHARED")
def test_a_file_on_which_hdf5_does_not_come_back_is_refused(capsys):
    assert main(["analyze", str(SHARED / "cases/faults/analyze_hangs.h5")]) == 2
    assert "analyze_hangs.h5" in capsys.readouterr().err


def test_a_recurrent_network_by_the_command(tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    layers = [{"class_name": "GRU", "config": {"name": "g", "units": 6, "batch_input_shape": [None, 10, 4], "reset_after": True}},
              {"class_name": "Dense", "config": {"name": "d", "units": 3}}]
    def write(layers):
        with h5py.File(path := tmp_path / "gru.h5", "w") as file:
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
            file.create_group("model_weights").attrs["layer_names"] = []
        return str(path)

    assert main(["analyze", path := write(layers), "--rules", "tinyvgg", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["parameters"], found["macc"]) == (216 + 21, 1800 + 18)
    layers[1]["class_name"] = "ConvLSTM2D"
    assert main(["analyze", write(layers)]) == 2
    said = capsys.readouterr().err
    assert said.count(path) == 1 and "'d' (ConvLSTM2D)" in said and "the model_config" not in said
