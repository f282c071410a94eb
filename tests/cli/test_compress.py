"""tinyvgg compress: what it writes, prints and refuses."""
import json

import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg import io
from tinyvgg.cli import main
from tinyvgg.cli._common import parse_size
from tinyvgg.errors import OptionError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model and a pair of arrays on disk."""
    folder = tmp_path_factory.mktemp("compress")
    small().save(folder / "model.npz")
    generator = np.random.default_rng(0)
    np.save(folder / "x.npy", generator.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
    np.save(folder / "y.npy", generator.integers(0, 4, 40))
    return folder, str(folder / "model.npz"), ",".join(2 * [str(folder / 'x.npy'), str(folder / 'y.npy')])


def call(capsys, *arguments):
    code = main(["compress", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_integer_model(files, capsys):
    folder, model, data = files
    out = folder / "small.tvq"
    code, text, _ = call(capsys, model, "--scheme", "shared4", "--data", data, "--out", out, "--json", "--quiet")
    result = json.loads(text)
    assert code == 0 and result["constants_bytes"] == sum(row["bytes"] for row in result["layers"])
    assert {row["bits"] for row in result["layers"]} == {4} and result["arena_bytes"] >= result["arena_lower_bound"]
    again = io.load_model(out)
    assert again.sha256 == result["sha256"] and again.graph.facts["calibration"]["method"] in ("minmax", "percentile", "error")
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    assert result["accuracy"] == pytest.approx((again.labels(x) == y).mean())
    assert main(["evaluate", str(out), "--data", data, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(result["accuracy"])


@pytest.mark.parametrize(("option", "value"), [("--calibration-images", 0), ("--finetune", -1), ("--calibration-images", -5)])
def test_wrong_numbers_name_their_option(files, capsys, option, value):
    folder, model, data = files
    code, _, said = call(capsys, model, "--scheme", "int8", "--data", data, "--out", folder / "no.tvq", option, value)
    assert code == 2 and option in said and str(value) in said


def test_float_levels_need_no_data(files, capsys):
    folder, model, _ = files
    code, text, _ = call(capsys, model, "--scheme", "high", "--out", folder / "high.tvq")
    assert code == 0 and "bytes of constants" in text and "accuracy" not in text
    code, text, _ = call(capsys, model, "--scheme", "none", "--out", folder / "none.tvq", "--json")
    assert json.loads(text)["constants_bytes"] == 4 * sum(a.size for _, a in io.load_model(model).weights) - 4 * 2 * (8 + 12)


@pytest.mark.parametrize("scheme", ["int8", "high"])
def test_attack_of_a_compressed_model(files, capsys, scheme):
    """Gradients pass straight through the rounding; what they find is judged by the integers."""
    folder, model, data = files
    out = folder / f"attacked_{scheme}.tvq"
    assert call(capsys, model, "--scheme", scheme, "--data", data, "--out", out, "--quiet")[0] == 0
    assert main(["attack", "pgd", str(out), "--data", data, "--eps", "0.2", "--steps", "5", "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["gradients"] > 0 and result["robust_accuracy"] < result["clean_accuracy"]


@pytest.mark.parametrize(("arguments", "text"), [
    (["--scheme", "int4", "--data", "DATA"], "there is no scheme 'int4'"),
    (["--scheme", "int8", "--data", "DATA", "--flash", "10K"], "only auto takes one"),
    (["--scheme", "auto", "--data", "DATA", "--flash", "ten"], "a size of 'ten'"),
    (["--scheme", "coded", "--data", "DATA"], "needs a budget of bytes"),
    (["--scheme", "coded", "--data", "DATA", "--flash", "100"], "the least is"),
    (["--scheme", "auto", "--data", "DATA", "--flash", "100"], "the least is"),
    (["--scheme", "int8", "--data", "DATA", "--calibration-images", "0"], "0 calibration images"),
    (["--scheme", "int8", "--data", "nowhere"], "nowhere"),
    (["--scheme", "int8"], "needs the images that the network was trained on"),
    (["--scheme", "int8", "--data", "DATA", "-n", "0"], "0 images were asked for"),
    (["--scheme", "int8", "--data", "DATA", "--codebook", "float"], "which is of integers"),
    (["--scheme", "high", "--data", "DATA", "--finetune", "1"], "only integers are fine-tuned"),
    (["--scheme", "shared4", "--data", "DATA", "--fixed-indices"], "without fine-tuning"),
    (["--scheme", "auto", "--data", "DATA", "--max-drop", "nan"], "a drop of nan points"),
])
def test_refusals(files, capsys, arguments, text):
    folder, model, data = files
    arguments = [data if a == "DATA" else a for a in arguments]
    code, out, err = call(capsys, model, *arguments, "--out", folder / "refused.tvq", "--quiet")
    assert code == 2 and text in err and err.startswith("tinyvgg: ") and "Traceback" not in err and out == ""
    assert not (folder / "refused.tvq").exists()


def test_refused_files(files, capsys):
    folder, model, data = files
    assert "does not end in .tvq" in call(capsys, model, "--scheme", "none", "--out", folder / "x.bin")[2]
    call(capsys, model, "--scheme", "none", "--out", folder / "none.tvq")
    again = call(capsys, folder / "none.tvq", "--scheme", "int8", "--data", data, "--out", folder / "y.tvq")
    assert again[0] == 2 and "compressed already" in again[2]


@pytest.mark.parametrize(("text", "size"), [("262144", 262_144), ("256K", 262_144), ("1m", 2 ** 20), ("0.5K", 512)])
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "nan", "1G", "1e30"])
def test_no_sizes(text):
    with pytest.raises(OptionError, match="expected bytes, or KiB or MiB"):
        parse_size(text)
