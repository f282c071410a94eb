"""The same plan in simulation and on the virtual board, after patching the ELF, image by image."""
import re

import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.faults.elf import bases, patch_board, patch_elf
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import FlipPlan, Step, flips_of
from tinyvgg.faults.search import progressive_search
from tinyvgg.nn import layers as L
from tinyvgg.quant import quantize


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    pytest.importorskip("elftools")
    from tests.quant.networks import randomise
    from tinyvgg.firmware.network import build_network
    x = np.random.default_rng(7).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    model = nn.Sequential([L.InputLayer((16, 16, 3)), L.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
                           L.BatchNormalization(), L.Conv2D(9, 3, padding="same", activation="relu"), L.MaxPooling2D(),
                           L.Flatten(),
                           L.Dense(10, activation="softmax")], name="mini")
    q = quantize(randomise(model, np.random.default_rng(3), dead=0), x)
    return q, x, build_network(q, tmp_path_factory.mktemp("firmware"), name="mini", memory_access=True)


def same_in_all_three(q, x, plan, elf, out):
    """Patch the ELF; assert that simulation, host C and virtual board give every image the same logits, and return them."""
    from tests.faults.host import compiled
    from tinyvgg.board import Board
    store = open_store(q)
    assert patch_elf(plan, store, elf, out) == plan.hamming
    plan.apply(store)
    expected, host = store.logits(x), store.real(compiled(store, x))
    plan.revert(store)
    with Board(f"virtual:{out}", flash_model="none") as board:
        answers = board.logits(x)
    assert np.array_equal(host, expected) and np.array_equal(answers, expected)
    return expected


def test_the_same_plan_in_simulation_host_c_and_patched_elf(built, tmp_path):
    q, x, network = built
    plan = progressive_search(q, x, q.labels(x), flips=4, tensors="weights,bias,requantisation", only_bits=range(32))
    plan.steps = [s for s in plan.steps if not any(f.tensor.endswith("tail_shift") for f in s.flips)]
    assert (same_in_all_three(q, x, plan, network.image.elf, tmp_path / "b.elf") != q.logits(x)).any()


def test_a_patched_elf_answers_as_the_simulation(built, tmp_path):
    """Shifts too, which lie in the layers' structs."""
    from tinyvgg.board import Board
    q, x, network = built
    store = open_store(q)
    shift = next(key for key in store.arrays if key.endswith("/tail_shift"))
    plan = FlipPlan(store.name, store.sha256, "image", "sram",
                    [Step(tuple(flips_of(store, [(shift, 0, 1), ("dense/offset", 2, 9)])))])
    with pytest.raises(FormatError):
        patch_elf(plan, open_store(quantize_other(q)), network.image.elf, tmp_path / "b.elf")
    assert patch_elf(plan, store, network.image.elf, tmp_path / "b.elf") == plan.hamming
    plan.apply(store)
    expected = store.logits(x)
    assert (expected != q.logits(x)).any()
    with Board(f"virtual:{tmp_path / 'b.elf'}", flash_model="none") as board:
        assert np.array_equal(board.logits(x), expected)
    plan.revert(store)
    with pytest.raises(FormatError, match="patched already"):
        patch_elf(plan, store, tmp_path / "b.elf", tmp_path / "c.elf")
    assert not (tmp_path / "c.elf").exists()


class Wire:
    """A virtual board's link that hides the machine: what is left is the protocol, as of a serial port."""

    def __init__(self, link):
        self._link, self.url = link, "/dev/ttyACM0"

    def __getattr__(self, name):
        if name == "machine":
            raise AttributeError(name)
        return getattr(self._link, name)


def test_a_board_that_runs_is_patched_and_put_back(built):
    """The virtual board's flash, from outside."""
    from tinyvgg.board import Board
    q, x, network = built
    plan = progressive_search(q, x, q.labels(x), flips=3, tensors="all")
    store = open_store(q)
    base = bases(store, network.image.elf)
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        before = board.logits(x)
        assert patch_board(plan, store, board, base) == plan.hamming
        with pytest.raises(FormatError, match="the board holds"):
            patch_board(plan, store, board, base)
        plan.apply(store)
        assert np.array_equal(board.logits(x), store.logits(x)) and not np.array_equal(store.logits(x), before)
        plan.revert(store)
        patch_board(plan, store, board, base, back=True)
        assert np.array_equal(board.logits(x), before)


def test_over_the_protocol_ram_is_written_and_flash_is_refused(built, tmp_path):
    from tinyvgg.board import Board, open_link
    from tinyvgg.firmware.network import build_network
    q, x, network = built
    in_ram = build_network(q, tmp_path, name="mini", memory_access=True, weights="ram")
    plan = progressive_search(q, x, q.labels(x), flips=3)
    store = open_store(q)
    plan.apply(store)
    expected = store.logits(x)
    plan.revert(store)
    with Board(link=Wire(open_link(f"virtual:{in_ram.image.elf}", flash_model="none"))) as board:
        base = bases(store, in_ram.image.elf)
        assert min(base[f.tensor] for f in plan.flips) >= 0x20000000
        assert patch_board(plan, store, board, base) == plan.hamming
        assert np.array_equal(board.logits(x), expected)
        patch_board(plan, store, board, base, back=True)
        assert np.array_equal(board.logits(x), q.logits(x))
    with Board(link=Wire(open_link(f"virtual:{network.image.elf}", flash_model="none"))) as board:
        with pytest.raises(OptionError, match="lies in flash"):
            patch_board(plan, store, board, bases(store, network.image.elf))
        assert np.array_equal(board.logits(x), q.logits(x))
    patch_elf(plan, store, in_ram.image.elf, tmp_path / "flipped.elf")
    assert (tmp_path / "flipped.bin").exists()
    with Board(f"virtual:{tmp_path / 'flipped.elf'}", flash_model="none") as board:
        assert np.array_equal(board.logits(x), expected)


def test_a_write_that_fails_halfway_is_taken_back(built, monkeypatch):
    from tinyvgg.board import Board
    from tinyvgg.errors import DeviceError
    q, x, network = built
    plan, store = progressive_search(q, x, q.labels(x), flips=3), open_store(q)
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        machine, done = board.link.machine, []
        write = machine.write

        def failing(address, data):
            done.append(address)
            if len(done) == 3:
                raise DeviceError("the line was cut")
            write(address, data)
        monkeypatch.setattr(machine, "write", failing)
        with pytest.raises(DeviceError, match="cut"):
            patch_board(plan, store, board, bases(store, network.image.elf))
        assert np.array_equal(board.logits(x), q.logits(x))


def test_a_float_image_is_patched(tmp_path):
    """Floats are members of one struct; bit 30 of a weight of the first layer ruins the answers of the virtual board as well."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    from tests.quant.networks import randomise
    from tinyvgg.board import Board
    from tinyvgg.firmware.network import build_network
    model = nn.Sequential([L.InputLayer((8, 8, 3)), L.Conv2D(4, 3, padding="same", activation="relu"), L.BatchNormalization(),
                           L.Flatten(), L.Dense(5)], name="floats")
    randomise(model, np.random.default_rng(3), dead=0)
    x = np.random.default_rng(7).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    network = build_network(model, tmp_path, name="floats")
    from tinyvgg import io
    store = open_store(io.load_model(tmp_path / "floats.tvq"))
    key = store.select("weights")[0]
    index = int(store.arrays[key].argmax())
    plan = FlipPlan(store.name, store.sha256, "image", "sram", [Step(tuple(flips_of(store, [(key, index, 24)])))])
    patch_elf(plan, store, network.image.elf, tmp_path / "b.elf")
    plan.apply(store)
    expected = store.logits(x)
    assert np.abs(expected - model.logits(x.astype(np.float32) / 255)).max() > 0.1
    with Board(f"virtual:{tmp_path / 'b.elf'}", flash_model="none") as board:
        assert np.allclose(board.logits(x), expected, rtol=1e-4, atol=1e-4)


def test_the_verb_on_an_image_and_on_a_port(built, tmp_path, capsys):
    import json

    from tinyvgg import cli
    q, x, network = built
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", q.labels(x))
    elf = str(network.image.elf)
    common = ["--data", ",".join(2 * [str(tmp_path / 'x.npy'), str(tmp_path / 'y.npy')]), "--json", "--quiet", "--board-images", "4"]

    def run(*arguments):
        assert cli.main(["bitflip", *arguments, *common]) == 0
        return json.loads(capsys.readouterr().out)
    found = run("search", elf, "--flips", "3", "--out", str(tmp_path / "run"))
    assert found["board"]["agreement"] == 1 and found["board"]["n"] == 4 and len(found["addresses"]) == found["hamming"]
    assert all(0x08000000 <= int(row["address"], 16) < 0x08200000 for row in found["addresses"])
    again = run("apply", f"virtual:{elf}", "--plan", str(tmp_path / "run"))
    assert again["board"] == found["board"] and again["addresses"] == found["addresses"]
    assert run("apply", elf, "--plan", str(tmp_path / "run"), "--patch", str(tmp_path / "b.elf"))["board"] == found["board"]
    assert (tmp_path / "b.elf").read_bytes() != network.image.elf.read_bytes()
    assert run("random", elf, "--flips", "5", "--seeds", "2")["board"]["agreement"] == 1
    flash = run("random", elf, "--flips", "1", "--seeds", "1", "--memory", "flash_ecc")
    assert flash["board"]["accuracy_after"] == flash["board"]["accuracy_before"] == 1
    assert run("map", f"virtual:{elf}", "--tensors", "bias", "--samples", "2")["board"]["agreement"] == 1
    (tmp_path / "lone.elf").write_bytes(network.image.elf.read_bytes())
    for words, *wrong in (("is not there", "search", str(tmp_path / "lone.elf")),
                          ("is an image", "search", elf, "--memory", "file"),
                          ("addresses .* not known", "search", "socket://localhost:1"),
                          ("is for files", "apply", f"virtual:{elf}", "--plan",
                           str(tmp_path / "run"), "--patch", "b.elf"),
                          ("patched already", "apply", str(tmp_path / "b.elf"), "--tvq",
                           str(network.tvq), "--plan", str(tmp_path / "run"))):
        assert cli.main(["bitflip", *wrong, *common]) == 2
        message = capsys.readouterr().err
        assert message.startswith("tinyvgg: ") and re.search(words, message), message


@pytest.mark.slow
def test_light_int8_answers_alike_in_simulation_host_c_and_patched_elf(tmp_path):
    """The zoo's light net, 20 searched flips, 100 test images: every logit of every image."""
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    from tinyvgg import data, errors, zoo
    from tinyvgg.firmware.network import build_network
    from tinyvgg.quant.schemes import compress
    try:
        dataset = data.load("cifar10")
    except errors.TinyVGGError:
        pytest.skip("CIFAR-10 is not at hand (TINYVGG_DATA)")
    q = compress(zoo.load("light_cifar10"), "int8", *dataset.part("train", 512))
    xs, ys = dataset.part("train", 128)
    plan = progressive_search(q, xs, ys, flips=20, trials=1)
    network = build_network(q, tmp_path, name="light")
    x, y = dataset.part("test", 100)
    flipped = same_in_all_three(q, x, plan, network.image.elf, tmp_path / "flipped.elf").argmax(axis=1)
    assert (flipped == y).mean() < 0.25 < (q.labels(x) == y).mean()


def quantize_other(q):
    """Another model: one multiplier differs."""
    from dataclasses import replace
    last = q.graph.logits
    other = replace(last, tail=replace(last.tail, multiplier=last.tail.multiplier + np.int32(1)))
    return replace(q.graph, ops=tuple(other if op is last else op for op in q.graph.ops))
