"""Exported C is the C of `firmware build`: one plan, the same cycles on the virtual board."""
import json

import numpy as np
import pytest

from tinyvgg.board import Board
from tinyvgg.cli import main
from tinyvgg.codegen.generate import graph_of, model_sha256
from tinyvgg.codegen.program import build_program
from tinyvgg.firmware.build import build
from tinyvgg.firmware.network import app_text
from tinyvgg.quant import load_tvq

pytest.importorskip("ziglang")
pytest.importorskip("unicorn")


@pytest.mark.slow
def test_export_and_build_take_the_same_cycles(mini, images, tmp_path, capsys):
    """By --plan of one file; the application around the exported network is that of the firmware."""
    mini[1].save(tmp_path / "mini.tvq")
    common = [str(tmp_path / "mini.tvq"), "--ram", "64K", "--json"]
    assert main(["firmware", "build", *common, "--out", str(tmp_path / "build"), "--name", "mini", "--code", "flash"]) in (0, None)
    planned = load_tvq(json.loads(capsys.readouterr().out)["model"])
    assert main(["firmware", "export", *common, "--out", str(tmp_path / "net"), "--name", "mini"]) in (0, None)
    assert json.loads(capsys.readouterr().out)["sha256"] == planned.sha256 != mini[1].sha256
    program = build_program(graph_of(planned), "mini", more_kernels=("tv_softmax_f32",))
    (tmp_path / "app.c").write_text(app_text(program, model_sha256(planned.graph), header="mini_tinyvgg.h"))
    sources = [p for p in (tmp_path / "net").glob("*.c") if p.name not in ("main.c", "mini_client.c", "ai_observer.c")]
    image = build([*sources, tmp_path / "app.c"], tmp_path / "exported", include=[tmp_path / "net"], defines=["TV_SECTIONS"])
    cycles = []
    for elf in (tmp_path / "build" / "mini.elf", image.elf):
        with Board(f"virtual:{elf}", flash_model="none") as board:
            answers = board.infer(images[:2])
            assert np.array_equal(answers.raw, mini[1].integer_logits(images[:2]))
            cycles.append(answers.cycles.mean())
    assert abs(cycles[1] / cycles[0] - 1) < 0.01
