"""Firmware that speaks MLPerf Tiny's commands: what its runner sends and expects, on the virtual board."""
import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ziglang")
pytest.importorskip("unicorn")
pytest.importorskip("capstone")
from tinyvgg import nn  # noqa: E402
from tinyvgg.board.virtual.machine import Machine  # noqa: E402
from tinyvgg.errors import BuildError, OptionError  # noqa: E402
from tinyvgg.firmware.build import HERE, build  # noqa: E402
from tinyvgg.firmware.network import MLPERF_INPUT, build_network  # noqa: E402
from tinyvgg.nn import layers as L  # noqa: E402
from tinyvgg.quant.fuse import fuse  # noqa: E402
from tinyvgg.quant.schemes import compress  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(the integer model, a Machine with its firmware)."""
    x = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
    net = nn.Sequential([L.InputLayer((32, 32, 3)), L.Conv2D(16, 3, padding="same", activation="relu"),
                         L.Conv2D(16, 3, padding="same", activation="relu"), L.MaxPooling2D(4), L.Flatten(), L.Dense(10, activation="softmax")])
    model = compress(net, "int8", x.astype(np.float32) / 255, calibration="minmax")
    network = build_network(model, tmp_path_factory.mktemp("mlperf"), name="small", protocol="mlperf", board="nucleo-l4r5zi")
    machine = Machine(network.image.elf)
    machine.run(0.1)
    started = machine.receive().decode("ascii")
    assert re.fullmatch(r"m-timestamp-mode-performance\r\nm-lap-us-\d+\r\nm-init-done\r\nm-ready\r\n", started)
    return model, machine


def ask(machine, command, seconds=10):
    machine.send(command.encode())
    machine.run(seconds)
    answer = machine.receive().decode("ascii")
    assert machine.fault is None and answer.endswith("m-ready\r\n"), (answer, machine.fault)
    return answer.removesuffix("m-ready\r\n").split("\r\n")[:-1]


def test_a_session_of_the_runner(built):
    """The lines that mlcommons/tiny's device_under_test.py matches; the class is the simulation's, the time the board's."""
    model, machine = built
    assert re.match(r"^m-(name)-dut-\[([^]]+)]$", ask(machine, "name%")[0]).group(2) == "tinyvgg"
    profile = [re.match(r"^m-(model|profile)-\[([^]]+)]$", line).groups() for line in ask(machine, "profile%")]
    assert profile[1] == ("model", "ic01") and profile[0][0] == "profile"
    image = np.random.default_rng(5).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert ask(machine, "db load 3072%") == ["m-[Expecting 3072 bytes]"]
    data = image.tobytes()
    for i in range(0, 3072, 31):
        answer = ask(machine, f"db {data[i:i + 31].hex()}%")
    assert answer == ["m-load-done"]
    assert ask(machine, "db print%")[0] == "m-buffer-" + "-".join(f"{b:02x}" for b in data[:8])
    lines = ask(machine, "infer 2 1%")
    assert [line for line in lines if "lap" not in line][:4] == ["m-warmup-start-1", "m-warmup-done", "m-infer-start-2", "m-infer-done"]
    scores = [float(x) for x in re.fullmatch(r"m-results-\[(.*)\]", lines[-1]).group(1).split(",")]
    assert np.argmax(scores) == model.labels(image[None])[0] and abs(sum(scores) - 1) < 0.02
    assert ask(machine, "results%") == lines[-1:]
    first, last = (int(re.fullmatch(r"m-lap-us-(\d+)", line).group(1)) for line in lines if "lap" in line)
    assert 20_000 < (last - first) / 2 < 400_000


@pytest.mark.parametrize("command, words", [
    ("nothing%", "Unknown command: nothing"), ("db%", "requires a subcommand"), ("db load 0%", "1 to 32768 bytes"),
    ("db load 40000%", "1 to 32768"), ("db 123%", "number of hex digits"), ("db zz%", "Invalid hex"), ("db 010203%",
                                                                                                       "More bytes"), ("infer 0%", "must be >0"),
    ("infer 1 x%", "must be >=0"), ("n" * 500 + "%", "too long")])
def test_mistakes_are_told(built, command, words):
    ask(built[1], "db load 2%")
    assert words in ask(built[1], command)[-1]


def test_protocols_that_are_not_there(tmp_path):
    with pytest.raises(OptionError, match="expected tinyvgg or mlperf"):
        build([], tmp_path / "x", protocol="morse")


def test_networks_that_its_commands_cannot_feed(tmp_path):
    """An image larger than the buffer for it, and floats that no byte stands for."""
    wide = fuse(nn.Sequential([L.InputLayer((128, 128, 3)), L.GlobalAveragePooling2D(), L.Dense(2, activation="softmax")]))
    assert f"#define INPUT_BYTES {MLPERF_INPUT}u" in (HERE / "mlperf" / "tv_mlperf.c").read_text(encoding="utf-8")
    below = replace(fuse(nn.Sequential([L.InputLayer((8, 8, 3)), L.Flatten(), L.Dense(2)])), input_range=(-1.0, 1.0))
    for graph, words in ((wide, "at most 32,768 bytes an image; .* takes 49,152"), (below, "takes floats, starting at -1")):
        with pytest.raises(BuildError, match=words):
            build_network(graph, tmp_path, name="net", protocol="mlperf")
