"""The verbs from outside: build, evaluate, profile, validate, export; mistakes in a sentence."""
import json

import numpy as np
import pytest

from tests.cli.json_schema import check
from tinyvgg.cli import main


def call(capsys, *words):
    """Exit code, standard output, standard error."""
    code = main([str(w) for w in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def data(mini, images, tmp_path):
    np.save(tmp_path / "x.npy", images)
    np.save(tmp_path / "y.npy", mini[1].labels(images))
    return ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')])


def test_build_evaluate_profile_validate(mini, data, tmp_path, capsys):
    mini[1].save(tmp_path / "mini.tvq")
    mini[0].save(tmp_path / "mini.npz")
    code, out, _ = call(capsys, "firmware", "build", tmp_path / "mini.tvq", "--plan", "direct", "--out", tmp_path / "build",
                        "--json", "--quiet")
    built = check(json.loads(out))
    assert code == 0 and built["sha256"] == mini[1].sha256 and {"flash_bytes", "ram_bytes", "elf"} <= set(built)
    port = f"virtual:{built['elf']}"
    words = ("board", "evaluate", "--port", port, "--data", data, "-n", 12, "--out", tmp_path / "run", "--json", "--quiet")
    code, out, err = call(capsys, *words)
    result = check(json.loads(out))
    assert code == 0 and err == "" and result["accuracy"] == result["agreement"] == 1.0 and result["n"] == 12
    assert {"instructions_per_image", "cycles_per_image", "ms_per_image", "wire_ms_per_image"} <= set(result)
    again = json.loads(call(capsys, *words)[1])
    assert again["resumed"] == 12 and again["cycles_per_image"] == result["cycles_per_image"]
    code, out, _ = call(capsys, "board", "profile", "--port", port, "--data", data, "-n", 1)
    assert code == 0 and "conv2d_1" in out and "modelled" in out
    beside = ("board", "profile", "--port", port, "--data", data, "-n", 1, "--beside", built["elf"])
    result = check(json.loads(call(capsys, *beside, "--json")[1]))
    calibrated, zero = (result["models"][name] for name in ("calibrated", "none"))
    assert zero["cycles_per_image"] == calibrated["cycles_per_image"] == result["cycles_per_image"]
    assert zero["ms_per_image"] < calibrated["ms_per_image"] == result["ms_per_image"] and calibrated["ms_error"] == 3
    assert "board / model" in call(capsys, *beside)[1]
    code, out, _ = call(capsys, "board", "validate", "--port", port, "--data", data, "-n", 2, "--reference",
                        tmp_path / "mini.npz", "--json")
    assert code == 0 and check(json.loads(out))["passed"] and json.loads(out)["metrics"]["cos"] > 0.9


def test_evaluate_builds_what_firmware_build_builds(mini, data, tmp_path, capsys):
    """--build: the same plan, so the same cycles."""
    mini[1].save(tmp_path / "mini.tvq")
    built = json.loads(call(capsys, "firmware", "build", tmp_path / "mini.tvq", "--out", tmp_path / "build", "--json",
                            "--quiet")[1])
    one = ("board", "evaluate", "--data", data, "-n", 1, "--json", "--quiet")
    here = json.loads(call(capsys, *one, "--build", tmp_path / "mini.tvq", "--out", tmp_path / "run")[1])
    there = json.loads(call(capsys, *one, "--port", f"virtual:{built['elf']}")[1])
    assert here["cycles_per_image"] == there["cycles_per_image"] and here["agreement"] == 1.0
    direct = json.loads(call(capsys, "firmware", "build", tmp_path / "mini.tvq", "--plan", "direct", "--out", tmp_path / "d",
                             "--json")[1])
    assert json.loads(call(capsys, *one, "--port", f"virtual:{direct['elf']}")[1])["cycles_per_image"] > here["cycles_per_image"]


def test_codegen_and_export(mini, tmp_path, capsys):
    mini[1].save(tmp_path / "mini.tvq")
    code, out, _ = call(capsys, "codegen", tmp_path / "mini.tvq", "--out", tmp_path / "c", "--name", "net", "--json")
    assert code == 0 and set(check(json.loads(out))["files"]) == {p.name for p in (tmp_path / "c").iterdir()}
    code, out, _ = call(capsys, "firmware", "export", tmp_path / "mini.tvq", "--name", "cifar10", "--out", tmp_path / "e",
                        "--json")
    assert code == 0 and "cifar10_tinyvgg.h" in check(json.loads(out))["files"]


def test_mistakes(mini, url, data, tmp_path, capsys):
    mini[1].save(tmp_path / "mini.tvq")
    model = tmp_path / "mini.tvq"
    for words, sentence in [
            (("codegen", model, "--out", tmp_path / "c", "--name", "cifar-10"), "not possible as a C identifier"),
            (("firmware", "export", model, "--out", tmp_path / "e", "--name", "int"), "not possible as a C identifier"),
            (("firmware", "build", model, "--flash", "12Q"), "a size of '12Q'"),
            (("firmware", "build", model, "--plan", "direct", "--out", tmp_path / "b", "--flash", "8K"), "are missing"),
            (("firmware", "build", model, "--out", tmp_path / "b", "--flash", "8K"), "holds it back"),
            (("board", "evaluate", "--port", url, "--data", data, "--model", "light.h5"), "is not a .tvq"),
            (("board", "validate", "--port", "virtual:nowhere.elf", "--data", data), "nothing to compare")]:
        code, out, err = call(capsys, *words)
        assert code == 2 and sentence in err and "Traceback" not in err and out == "", words


def test_a_board_with_another_model(mini, url, data, images, tmp_path, capsys):
    from tinyvgg.quant import quantize
    quantize(mini[0], images[:3]).save(tmp_path / "other.tvq")
    for action in ("evaluate", "validate"):
        code, _, err = call(capsys, "board", action, "--port", url, "--data", data, "-n", 2, "--model", tmp_path / "other.tvq")
        assert code == 2 and "SHA-256" in err
