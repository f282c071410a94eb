"""The same plan in simulation and on the virtual board, after patching the ELF, image by image."""
import numpy as np
import pytest

from tinyvgg import nn
from tinyvgg.errors import FormatError, OptionError
from tinyvgg.faults.elf import bases, patch_board, patch_elf
from tinyvgg.faults.search import progressive_search
from tinyvgg.faults.store import open_store
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
                           L.BatchNormalization(), L.Conv2D(9, 3, padding="same", activation="relu"), L.MaxPooling2D(), L.Flatten(),
                           L.Dense(10, activation="softmax")], name="mini")
    q = quantize(randomise(model, np.random.default_rng(3), dead=0), x)
    return q, x, build_network(q, tmp_path_factory.mktemp("firmware"), name="mini", memory_access=True)


def test_a_patched_elf_answers_as_the_simulation(built, tmp_path):
    from tinyvgg.board import Board
    q, x, network = built
    plan = progressive_search(q, x, q.labels(x), flips=4, tensors="all")
    store = open_store(q)
    with pytest.raises(FormatError):
        patch_elf(plan, open_store(quantize_other(q)), network.image.elf, tmp_path / "b.elf")
    assert patch_elf(plan, store, network.image.elf, tmp_path / "b.elf") == plan.hamming
    plan.apply(store)
    expected = store.logits(x)
    assert (expected != q.logits(x)).any()
    with Board(f"virtual:{tmp_path / 'b.elf'}") as board:
        assert np.array_equal(board.logits(x), expected)
    plan.revert(store)
    with pytest.raises(FormatError, match="patched already"):
        patch_elf(plan, store, tmp_path / "b.elf", tmp_path / "c.elf")
    assert not (tmp_path / "c.elf").exists()


def test_flash_of_a_running_board_is_read_and_only_ram_is_written(built):
    """The firmware itself refuses to write flash: nothing is patched halfway."""
    from tinyvgg.board import Board
    from tinyvgg.errors import DeviceError
    q, x, network = built
    plan = progressive_search(q, x, q.labels(x), flips=1)
    store = open_store(q)
    with Board(f"virtual:{network.image.elf}") as board:
        base = bases(store, network.image.elf)
        with pytest.raises((DeviceError, OptionError)):
            patch_board(plan, store, board, base)
        assert np.array_equal(board.logits(x[:2]), q.logits(x[:2]))


def quantize_other(q):
    """Another model: one multiplier differs."""
    from dataclasses import replace
    last = q.graph.logits
    other = replace(last, tail=replace(last.tail, multiplier=last.tail.multiplier + np.int32(1)))
    return replace(q.graph, ops=tuple(other if op is last else op for op in q.graph.ops))
