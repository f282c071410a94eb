"""Empty names, and `summary` of a compressed model: an answer, or one sentence and exit code 2."""
import json

import numpy as np
import pytest

import tinyvgg
from tests.quant.networks import small
from tinyvgg.cli import main
from tinyvgg.errors import DataError, FormatError, OptionError


@pytest.mark.parametrize(("line", "words"), [
    (["data", "info", "--data", ""], "the name of the data is empty"), (["summary", ""], "the name of the model is empty"),
    (["train", "--arch", "light", "--out", ""], "--out is empty"), (["codegen", "light_cifar10", "--out="], "--out is empty"),
    (["firmware", "build", "light_cifar10", "--out", ""], "--out is empty"), (["crosscheck", ""], "REPORT is empty"),
    (["board", "evaluate", "--port", ""], "--port is empty"), (["attack", "pgd", "light_cifar10", "--eps", ""], "--eps is empty"),
    (["data", "info", "--data", "X.npy,"], "'X.npy,' has an empty name before or after a comma"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_an_empty_name_is_refused_not_replaced(line, words, capsys):
    assert main(line) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_functions_refuse_it_too():
    from tinyvgg.xcubeai import crosscheck
    with pytest.raises(FormatError, match="name of the model's file is empty"):
        tinyvgg.load_model("")
    with pytest.raises(DataError, match="name of the report is empty"):
        crosscheck("")
    with pytest.raises(OptionError, match="the name of the model is empty"):
        tinyvgg.open("")


def test_summary_of_a_compressed_model(tmp_path, capsys):
    from tinyvgg.quant.schemes import compress
    x, model = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8), small()
    compress(model, "shared4", x, calibration="minmax").save(tmp_path / "m.tvq")
    assert main(["summary", str(tmp_path / "m.tvq"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(["summary", str(tmp_path / "m.tvq")]) == 0
    assert "a compressed model" in capsys.readouterr().out
    norms = sum(a.size for layer in model.layers if "gamma" in layer.parameters for a in (*layer.parameters.values(), *layer.state.values()))
    assert found["parameters"] == sum(a.size for a in model.get_weights()) - norms
    assert found["macc"] == sum(row["macc"] for row in tinyvgg.nn.summary_rows(model))


def test_summary_goes_by_content_not_by_name(tmp_path, capsys):
    x, model = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8), small()
    model.save(tmp_path / "m.h5")
    (tmp_path / "m.network").write_bytes((tmp_path / "m.h5").read_bytes())
    tinyvgg.io.save_model(tinyvgg.quant.quantize(model, x), tmp_path / "q.tflite")
    (tmp_path / "q.h5").write_bytes((tmp_path / "q.tflite").read_bytes())
    for one, other in (("m.h5", "m.network"), ("q.tflite", "q.h5")):
        found = []
        for name in (one, other):
            assert main(["summary", str(tmp_path / name), "--json"]) == 0
            found.append({k: v for k, v in json.loads(capsys.readouterr().out).items() if k != "command"})
        assert found[0] == found[1]
