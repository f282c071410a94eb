"""Options that would have been ignored, or ended in a traceback: one sentence, exit code 2."""
from types import SimpleNamespace

import numpy as np
import pytest

from tests.quant.networks import small
from tinyvgg.cli import main
from tinyvgg.errors import OptionError
from tinyvgg.quant import quantize


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """m.h5, m.tvq, x.npy, y.npy, and a file called m.elf that none of these mistakes opens."""
    folder, generator = tmp_path_factory.mktemp("wrong"), np.random.default_rng(0)
    x = generator.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", generator.integers(0, 4, 40))
    small().save(folder / "m.h5")
    quantize(small(), x).save(folder / "m.tvq")
    (folder / "m.elf").write_bytes(b"\x7fELF")
    return folder


@pytest.mark.parametrize(("line", "words"), [
    ("bitflip random m.elf --tvq m.h5 --flips 1", "m.h5 is a trained network; expected the model as the image computes it"),
    ("bitflip random m.tvq --elf m.elf --flips 1", "--elf is of an .elf or a port"),
    ("bitflip random m.tvq --keep --flips 1", "--keep is of an .elf or a port"),
    ("bitflip search m.tvq --flips 1,2", "--flips of a search is 1,2; expected one whole number"),
    ("bitflip search m.tvq --flips 0", "--flips of a search is 0"), ("bitflip search m.tvq --trials 0", "--trials of a search is 0"),
    ("bitflip search m.tvq --target 1", "the goal any has no target"), ("bitflip search m.tvq --images 0", "--images is 0"),
    ("bitflip search m.tvq --goal pair --source 1 --target 1", "source and target are both class 1"),
    ("bitflip random m.tvq --flips 1 -n 0", "-n is 0"), ("bitflip random m.tvq --flips 1 --board-images -1", "--board-images is -1"),
    ("look m.h5 --attack deepfool --eps 8/255", "deepfool looks for the nearest image that fools and has no eps"),
    ("board info --port virtual:", "a port is 'virtual:'"),
])
def test_wrong_inputs(line, words, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    data = [] if line.startswith("board") else ["--data", "x.npy,y.npy"]
    assert main([*line.split(), *data]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said


def test_functions_refuse_them_too(place):
    from tinyvgg import load_model
    from tinyvgg.board.validate import validate_board
    from tinyvgg.firmware.network import build_network
    integer = load_model(place / "m.tvq")
    board = SimpleNamespace(protocol="tinyvgg", info=SimpleNamespace(model="m", sha256=""))
    with pytest.raises(OptionError, match="is a compressed model; expected the network that it was made of"):
        validate_board(board, np.zeros((1, 8, 8, 3)), reference=integer)
    with pytest.raises(OptionError, match="2.31 - 1"):
        build_network(integer, place / "out", defence="crc", check_every=1 << 32)
