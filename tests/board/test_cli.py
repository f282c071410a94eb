"""`tinyvgg board ...` as a user types it."""
import json
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from tests.cli.json_schema import check
from tinyvgg.board import Board
from tinyvgg.cli import main


def test_demo(tmp_path, capsys):
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    assert main(["board", "demo", "--out", str(tmp_path), "--json", "--quiet", "-n", "3"]) == 0
    result = check(json.loads(capsys.readouterr().out))
    assert result["n"] == 3 and result["clock_hz"] == 120_000_000 and result["image"]["flash_bytes"] == result["flash_bytes"]
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".bin", ".elf", ".hex", ".map"]
    assert main(["board", "demo", "--out", str(tmp_path), "--quiet", "-n", "1"]) == 0
    assert "every answer as NumPy says" in capsys.readouterr().out


def test_info(url, capsys):
    assert main(["board", "info", "--port", url, "--json"]) == 0
    assert check(json.loads(capsys.readouterr().out))["model"] == "demonstration"


def test_run(demonstration):
    """A process serves the board; another program talks to it by the URL that it prints."""
    command = [sys.executable, "-m", "tinyvgg", "board", "run", str(demonstration.elf), "--port", "socket://localhost:0",
               "--seconds", "60", "--profile", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            timer = threading.Timer(60, process.kill)
            timer.start()
            url = re.search(r"socket://\S+?:\d+", process.stderr.readline())[0]
            with Board(url) as board:
                assert board.echo(b"over a socket") == b"over a socket"
            timer.cancel()
        finally:
            process.kill()


def test_demo_says_when_another_firmware_answers(demonstration, tmp_path, capsys):
    other = tmp_path / "other.elf"
    other.write_bytes(demonstration.elf.read_bytes().replace(b"demonstration\0", b"other-network\0"))
    assert main(["board", "demo", "--port", f"virtual:{other}"]) == 2
    assert "holds 'other-network', not the demonstration" in capsys.readouterr().err


def test_run_ends_at_once(demonstration, capsys):
    run = ["board", "run", str(demonstration.elf), "--port", "socket://localhost:0", "--seconds", "0"]
    assert main(run) == 0
    assert "0 instructions" in capsys.readouterr().out
    assert main([*run, "--flash-model", "slow"]) == 2
    assert "calibrated" in capsys.readouterr().err


@pytest.mark.parametrize("arguments, words", [
    (["info", "--port", "/dev/ttyNOWHERE"], "there is no port /dev/ttyNOWHERE"),
    (["info", "--port", "virtual:nothing.elf"], "cannot be read"),
    (["run", "nothing.elf"], "cannot be read"),
    (["run", "nothing.elf", "--seconds", "nan"], "--seconds is nan; expected 0 or more"),
    (["info", "--port", "virtual:nothing.elf", "--baud", "-5"], "a rate of -5 baud"),
    (["demo", "--port", "socket://localhost:1"], "no program listens")])
def test_mistakes(arguments, words, capsys):
    assert main(["board", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_run_refuses_another_port(demonstration, capsys):
    assert main(["board", "run", str(demonstration.elf), "--port", "/dev/ttyACM0"]) == 2
    assert "expected pty or socket" in capsys.readouterr().err


@pytest.fixture
def three(demonstration, tmp_path):
    """--data of three images with the demonstration's own answers as labels."""
    from tinyvgg.board.demonstration import logits
    x = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", logits(x).argmax(axis=1))
    return ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')])


def test_a_board_is_evaluated_and_attacked_like_any_model(url, three, tmp_path, capsys):
    assert main(["evaluate", url, "--data", three, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == 1
    run = str(tmp_path / "run")
    command = ["attack", "square", url, "--data", three, "--eps", "64/255", "--queries", "3", "--quiet", "--json", "--out", run]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["clean_accuracy"] == 1 and result["queries"] > 0 and len(result["model_sha256"]) == 64
    assert main(["evaluate", url, "--data", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["robust_accuracy"] == result["robust_accuracy"]


@pytest.mark.parametrize("arguments, words", [
    (["attack", "fgsm"], "show the images to the board"), (["evaluate", "--input-range", "0,1"], "states its own input range"),
    (["attack", "pgd", "--gradients", "straight-through"], "integer models")])
def test_what_a_board_cannot(arguments, words, url, three, capsys):
    names = arguments[:1] if arguments[0] == "evaluate" else arguments[:2]
    assert main([*names, url, "--data", three, "--quiet", *arguments[len(names):]]) == 2
    assert words in capsys.readouterr().err


def test_a_verb_of_files_refuses_a_board(capsys):
    assert main(["summary", "virtual:nothing.elf"]) == 2
    assert main(["codegen", "virtual:nothing.elf", "--out", "nowhere"]) == 2
    assert "is a board; expected a model file" in capsys.readouterr().err
