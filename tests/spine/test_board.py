"""Simulation == C on this machine == the ELF on the virtual board, asked over its UART."""
import json
import shutil

import numpy as np
import pytest

from tests.quant.networks import randomise
from tinyvgg import models
from tinyvgg.__main__ import main
from tinyvgg.board import Board
from tinyvgg.board.evaluator import evaluate_board, model_beside, profile_board
from tinyvgg.board.validate import metrics, validate_board
from tinyvgg.codegen import HostModel
from tinyvgg.errors import BuildError, LinkError, OptionError
from tinyvgg.firmware.network import build_network
from tinyvgg.open import opened
from tinyvgg.quant import load_tvq, quantize
from tinyvgg.quant.schemes import compress


def test_light(light, images, tmp_path):
    """The same bytes everywhere, within the budget of flash, RAM and cycles."""
    _, q = light
    built = build_network(q, tmp_path, name="light")
    assert built.image.flash_bytes <= 480_000 and built.image.ram_bytes <= 60_000
    expected = q.integer_logits(images)
    assert np.array_equal(HostModel(q).raw_logits(images), expected)
    with Board(f"virtual:{built.image.elf}") as board:
        assert board.info.sha256 == q.sha256 == load_tvq(built.tvq).sha256
        assert board.info.model == "light" and board.info.input_shape == (32, 32, 3) and board.n_classes == 10
        answers = board.infer(images[:1])
        assert np.array_equal(answers.raw, expected[:1])
        assert np.array_equal(board.logits(images[1:2]), q.logits(images[1:2]))
        assert answers.cycles.max() <= 60_000_000


def test_an_attack_may_ask_a_board_without_wait_states(mini, url, images, tmp_path, capsys):
    """The answers are the same; --out keeps them, and a transfer asks each image once."""
    mini[0].save(tmp_path / "mini.npz")
    np.save(tmp_path / "x.npy", images[:8])
    np.save(tmp_path / "y.npy", mini[1].labels(images[:8]))
    words = ["attack", "transfer", str(tmp_path / "mini.npz"), "--victims", url, "--data", f"{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}",
             "--eps", "8/255", "--steps", "2", "--out", str(tmp_path / "run"), "--json", "--quiet"]
    shown = []
    for more in ([], ["--flash-model", "calibrated", "--out", str(tmp_path / "again")]):
        assert main([*words, *more]) == 0
        shown.append(json.loads(capsys.readouterr().out)["rows"])
    assert shown[0] == shown[1] and shown[0][1]["victim"] == url
    asked = [len((tmp_path / name / "answers-0.jsonl").read_text().splitlines()) - 1 for name in ("run", "again")]
    assert asked[0] == asked[1] and 2 <= asked[0] <= 6                   # two test images, before and after
    with opened(url, None, "none") as fast, opened(url) as slow:
        assert fast.link.machine.flash_model is None and slow.link.machine.flash_model is not None
        assert np.array_equal(fast.logits(images[:2]), slow.logits(images[:2]))


@pytest.mark.parametrize("wire", ["uint8", "int8", "float32"])
def test_every_wire_gives_the_same(mini, url, images, wire):
    with Board(url, wire=wire) as board:
        x = images[:2] / np.float32(255) if wire == "float32" else images[:2]
        assert np.array_equal(board.infer(x).raw, mini[1].integer_logits(images[:2]))


def test_times_repeat_to_the_cycle(url, images):
    """An image takes the same time whatever the line and the images before it left in the flash's caches."""
    seen = []
    for before, order in ((0, [0, 1, 2]), (3, [2, 1, 0]), (1, [1, 0, 2])):
        with Board(url) as board:
            for i in range(before):
                board.echo(b"x" * (7 * i + 1))
            cycles = {i: board.infer(images[i:i + 1]).cycles[0] for i in order}
            seen.append([cycles[i] for i in range(3)])
    assert seen[0] == seen[1] == seen[2]


def test_evaluation_resumes(mini, url, images, tmp_path):
    y = mini[1].labels(images)
    y[0] = (y[0] + 1) % 10
    out = tmp_path / "answers.jsonl"
    with Board(url) as board:
        first = evaluate_board(board, images, y, model=model_beside(url), out=out, limit=5)
    with open(out, "a") as f:
        f.write('{"i": 5, "raw": [1,')                          # a stop in the middle of a line
    with Board(url) as board:
        whole = evaluate_board(board, images, y, model=model_beside(url), out=out)
    assert (first["n"], whole["n"], whole["resumed"]) == (5, 12, 5)
    assert whole["accuracy"] == 11 / 12 and whole["agreement"] == 1.0 and whole["confusion"][y[0]][(y[0] - 1) % 10] >= 1
    assert 0.1e6 < whole["instructions_per_image"] < whole["cycles_per_image"] <= 2e6
    assert whole["cycles_per_image"] / 120e3 < whole["ms_per_image"] < 2 * whole["cycles_per_image"] / 120e3
    assert (whole["ms_error"], whole["flash_model"]) == (3, "calibrated") and whole["wire_ms_per_image"] > 0
    assert len([json.loads(line) for line in out.read_text().split("\n") if line.endswith("}")]) == 13
    with Board(url) as board, pytest.raises(OptionError, match="another set of images"):
        evaluate_board(board, images[:4], y[:4], out=out)
    assert whole["bank"] == "dual"
    with Board(url, two_banks=False) as board, pytest.raises(OptionError, match="answers of another bank"):
        evaluate_board(board, images, y, out=out)               # its times are others


def test_an_evaluation_grows(mini, url, images, tmp_path):
    """Four images, then eight: the first four are not asked again; and not the other way, for nothing says they are the same."""
    y, out = mini[1].labels(images), tmp_path / "answers.jsonl"
    with Board(url) as board:
        evaluate_board(board, images[:4], y[:4], out=out)
        kept = out.read_text().split("\n")[1:5]
        grown = evaluate_board(board, images[:8], y[:8], model=mini[1], out=out)
        assert (grown["n"], grown["resumed"], grown["agreement"]) == (8, 4, 1.0) and out.read_text().split("\n")[1:5] == kept
        assert evaluate_board(board, images[:8], y[:8], out=out)["resumed"] == 8
        with pytest.raises(OptionError, match="another set of images"):
            evaluate_board(board, np.concatenate([images[1:2], images[1:9]]), np.zeros(9), out=out)


def test_the_model_without_its_plan_is_the_same_model(mini, images, tmp_path):
    """What the image was built from, what it runs, and another plan of it: each is the board's; another network is not."""
    from tinyvgg.codegen.variants import with_variants
    from tinyvgg.quant.model import QuantizedModel
    planned, other = (QuantizedModel(with_variants(mini[1].graph, {"conv2d_1": v})) for v in ("direct16", "winograd2"))
    assert len({m.sha256 for m in (mini[1], planned, other)}) == 3
    built = build_network(planned, tmp_path, name="planned")
    for protocol, known in (("auto", (mini[1], planned, other)), ("stm", (mini[1], planned))):
        with Board(f"virtual:{built.image.elf}", protocol) as board:
            for model in known:
                result = evaluate_board(board, images[:2], [0, 0], model=model)
                assert result["agreement"] == 1.0 and result["sha256"] == planned.sha256
    with Board(f"virtual:{built.image.elf}") as board, pytest.raises(LinkError, match="the one it was built from"):
        evaluate_board(board, images[:2], [0, 0], model=quantize(mini[0], images[:3]))


def test_sts_protocol(mini, url, images):
    """The model's probabilities, compared with the simulation's and the original model's; a wrong weight is seen."""
    with Board(url, "stm") as board:
        assert np.abs(board.scores(images[:3]) - mini[1].predict(images[:3])).max() < 1e-6
        assert board.info.sha256 == mini[1].sha256
        checked = validate_board(board, images[:3], reference=mini[1], simulation=model_beside(url))
        assert checked["passed"] and checked["agreement"] == 1.0 and checked["metrics"]["acc"] == 1.0
        assert [row["layer"] for row in checked["layers"]][:2] == ["image", "conv2d"] and checked["ms_per_image"] > 0
        at = board.link.machine.elf.symbols["mini_conv2d_1_weights"].address
        for i in range(0, 9 * 56, 8):
            board.link.machine.write(at + i, bytes([board.link.machine.read(at + i, 1)[0] ^ 0x40]))
        checked = validate_board(board, images[:1], simulation=model_beside(url))
    assert not checked["passed"] and checked["first_different"]["layer"] == "output"


def test_another_model_is_refused(mini, url, images):
    other = quantize(mini[0], images[:3])
    with Board(url) as board, pytest.raises(LinkError, match="SHA-256"):
        evaluate_board(board, images[:1], [0], model=other)


def test_a_wrong_weight_is_seen(url, images):
    """A bit of a weight flips on the board: the agreement falls, and validate names the layer."""
    model = model_beside(url)
    with Board(url) as board:
        machine = board.link.machine
        at = machine.elf.symbols["mini_conv2d_1_weights"].address
        for i in range(0, 9 * 56, 8):
            machine.write(at + i, bytes([machine.read(at + i, 1)[0] ^ 0x40]))
        result = evaluate_board(board, images[:3], [0, 0, 0], model=model)
        checked = validate_board(board, images[:3], simulation=model)
    assert result["agreement"] < 1 and result["different"]
    assert checked["first_different"]["layer"] == "conv2d_1" and not checked["passed"]
    assert checked["layers"][0]["same"] == 3 and checked["layers"][1]["same"] < 3


def test_student_protocol(mini, url, images):
    expected = np.floor(255 * mini[1].predict(images[:3]))
    with Board(url, "student") as board:
        assert np.abs(board.infer(images[:3]).raw - expected).max() <= 1
        result = evaluate_board(board, images[:3], mini[1].labels(images[:3]), model=model_beside(url))
    assert result["agreement"] == 1.0 and result["accuracy"] == 1.0 and result["ms_per_image"] is None


def test_student_host_script(mini, url, images):
    """The student's script, as it talks: repeat 0xAB until 0xCD, read one byte more, floats out, ten bytes in."""
    from tinyvgg.board.link import open_link
    link = open_link(url, 115200)
    try:
        answer = b""
        while answer[:1] != b"\xcd":
            link.write(b"\xab")
            answer = link.read(0.05)
        for image in images[:3]:
            link.write((image / np.float32(255)).astype(np.float32).tobytes())
            scores = b""
            while len(scores) < 10:
                scores += link.read(20.0)
            assert np.argmax(np.frombuffer(scores, np.uint8)) == mini[1].labels(image[None])[0]
    finally:
        link.close()


def test_profile_and_validate(mini, url, images):
    with Board(url) as board:
        profile = profile_board(board, images[:2])
        checked = validate_board(board, images[:3], reference=mini[0], simulation=model_beside(url))
    names = [row["layer"] for row in profile["layers"]]
    assert names == ["image", "conv2d", "conv2d_1", "dense", "dense_1", "dense_1_softmax"]
    assert sum(row["cycles"] for row in profile["layers"]) == pytest.approx(profile["cycles_per_image"], rel=1e-3)
    assert 0 < profile["usage"]["stack_used"] < profile["usage"]["stack_bytes"] and profile["modelled"]
    assert checked["passed"] and checked["metrics"]["cos"] > 0.95 and len(checked["layers"]) == 5


def test_metrics_as_the_reference_states_them():
    m, c = np.array([[0.1, 0.9], [0.7, 0.3]]), np.array([[0.2, 0.8], [0.4, 0.6]])
    found, d = metrics(m, c), m - c
    assert found["l2r"] == pytest.approx(np.sqrt((d ** 2).sum()) / np.sqrt((c ** 2).sum()), rel=1e-6)
    assert found["std"] == pytest.approx(d.std(ddof=1)) and found["acc"] == 0.5
    same = metrics(m, m)
    assert (same["rmse"], same["acc"]) == (0, 1) and same["cos"] == pytest.approx(1)


def test_float_network(mini, images, tmp_path):
    model, x = mini[0], images[:2] / np.float32(255)
    built = build_network(model, tmp_path, name="mini_float")
    with Board(f"virtual:{built.image.elf}") as board:
        got = board.logits(x)
        result = evaluate_board(board, images[:2], [0, 0], model=model_beside(f"virtual:{built.image.elf}"))
    expected = model.logits(x)
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.array_equal(got, HostModel(model).logits(x)) and result["agreement"] == 1.0


@pytest.mark.slow
def test_residual_network(images, tmp_path):
    model = randomise(models.resnet8(), np.random.default_rng(1), dead=0)
    q = quantize(model, images)
    built = build_network(q, tmp_path, name="r8")
    with Board(f"virtual:{built.image.elf}") as board:
        assert np.array_equal(board.infer(images[:3]).raw, q.integer_logits(images[:3]))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc")
def test_gcc_gives_the_same_bytes(light, images, tmp_path):
    built = build_network(light[1], tmp_path, name="light", compiler="gcc")
    with Board(f"virtual:{built.image.elf}") as board:
        answers = board.infer(images[:2])
    assert np.array_equal(answers.raw, light[1].integer_logits(images[:2])) and answers.cycles.max() <= 60_000_000


def test_too_large_is_refused_with_the_missing_bytes(mini, tmp_path):
    with pytest.raises(BuildError, match=r"8,000: [\d,]+ are missing; the largest layer is 'dense'"):
        build_network(mini[1], tmp_path, name="mini", flash=8_000)
    with pytest.raises(BuildError, match=r"10,000: [\d,]+ are missing; the largest layer is 'conv2d'"):
        build_network(mini[1], tmp_path, name="mini", ram=10_000)
    assert not list(tmp_path.glob("*.elf"))


def test_base_does_not_fit(tmp_path):
    with pytest.raises(BuildError, match=r"2,228,904 bytes in 2,097,152 bytes of flash: 131,752 bytes are missing, and room"):
        build_network(compress(models.base(), "low"), tmp_path, name="base")


def test_instructions_of_a_call_by_an_independent_count(url, images):
    """A hook on every instruction counts the same, but for those that an IT block skips, which it does not see."""
    from tinyvgg.board.virtual.inferences import Inferences
    with Board(url) as board:
        board.infer(images[:1])
        machine, seen, inside = board.link.machine, [0], [False]
        counter = Inferences(machine)
        start = machine.elf.symbols["tv_app_infer"].address
        back = []

        def on_code(engine, address, size, _):
            if address == start:
                import unicorn
                inside[0] = True
                back.append(engine.reg_read(unicorn.arm_const.UC_ARM_REG_LR) & ~1)
            elif back and address == back[-1]:
                inside[0] = False
            seen[0] += inside[0]

        import unicorn
        machine.engine.hook_add(unicorn.UC_HOOK_CODE, on_code)
        machine.engine.ctl_flush_tb()
        board.infer(images[:1])
    assert len(counter.instructions) == 1
    assert seen[0] <= counter.instructions[0] <= 1.03 * seen[0]
    assert sum(counter.layers) <= counter.instructions[0] < sum(counter.layers) + 200


class PipeLink:
    """A link to a process: its standard input and output are the wire."""

    def __init__(self, command):
        import subprocess
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url, self.baud = "pipe", 115200

    def read(self, timeout):
        import os
        import select
        ready, _, _ = select.select([self.process.stdout], [], [], max(timeout, 0))
        return os.read(self.process.stdout.fileno(), 4096) if ready else b""

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def set_baud(self, baud):
        self.baud = baud

    def now(self):
        import time
        return time.monotonic()

    def reopen(self):
        raise LinkError("the process has ended")

    def close(self):
        self.process.kill()
        self.process.wait()


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here")
def test_evaluating_a_students_firmware(mini, images, tmp_path):
    """An application as students write it (tests/spine/client_app.c) answers our evaluator in their protocol."""
    from tests.spine.test_export import HERE, compiled
    from tinyvgg.firmware.export import export
    folder, app = tmp_path / "net", tmp_path / "app.c"
    export(mini[1], folder, name="cifar")
    app.write_text((HERE / "client_app.c").read_text().replace("NAME", "cifar").replace("UPPER", "CIFAR"))
    program = compiled(folder, tmp_path / "app", [app, HERE / "client_main.c"])
    with Board(link=PipeLink([str(program)]), protocol="student") as board:
        result = evaluate_board(board, images, mini[1].labels(images), model=mini[1], out=tmp_path / "answers.jsonl")
    assert (result["n"], result["accuracy"], result["agreement"], result["protocol"]) == (12, 1.0, 1.0, "student")
