"""Firmware that checks its constants: a harmed board gives no class, a repaired one gives the model's."""
import numpy as np
import pytest

from tests.faults.conftest import tiny_network
from tinyvgg.errors import DeviceError, OptionError
from tinyvgg.faults.defences import Radar, Ranges
from tinyvgg.faults.elf import bases, patch_board
from tinyvgg.faults.open import open_store
from tinyvgg.faults.plan import FlipPlan, Step, flips_of
from tinyvgg.firmware.network import build_network
from tinyvgg.quant.schemes import compress


@pytest.fixture(scope="module")
def tiny():
    pytest.importorskip("ziglang")
    pytest.importorskip("unicorn")
    x = np.random.default_rng(5).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)
    return compress(tiny_network(x), "int8", x, calibration="minmax"), x


def plan_of(store, places):
    return FlipPlan(store.name, store.sha256, "image", "sram", [Step(tuple(flips_of(store, places)))])


def test_a_harmed_board_gives_no_class(tiny, tmp_path):
    from tinyvgg.board import Board
    q, x = tiny
    network = build_network(q, tmp_path, name="tiny", defence="crc")
    store = open_store(q)
    base, plan = bases(store, network.image.elf), plan_of(store, [("dense/weights", 5, 0)])
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        assert np.array_equal(board.logits(x), q.logits(x))
        start = board.check_constants(anew=False)
        assert start["found"] == 0 and start["cycles"] > 0
        patch_board(plan, store, board, base)
        number = [c.name for c in network.program.constants].index("dense_weights")
        with pytest.raises(DeviceError, match=f"HARMED: a check found its constants harmed, first array {number}"):
            board.labels(x)
        assert board.check_constants() == {**board.check_constants(), "found": 1, "harmed": 1, "repaired": 0, "array": number}
        patch_board(plan, store, board, base, back=True)
        assert np.array_equal(board.logits(x), q.logits(x))


def test_in_ram_replicas_give_back_and_radar_zeroes(tiny, tmp_path):
    from tinyvgg.board import Board
    q, x = tiny
    network = build_network(q, tmp_path, name="tiny", defence="radar=8,replicas", weights="ram")
    store = open_store(q)
    base, tail = bases(store, network.image.elf), plan_of(store, [("dense/offset", 1, 30), ("conv2d/multiplier", 0, 28)])
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        patch_board(tail, store, board, base)
        assert np.array_equal(board.logits(x), q.logits(x))
        key = "conv2d_1/weights"
        plan = plan_of(store, [(key, 3, 7)])
        radar = Radar(store, 8)
        patch_board(plan, store, board, base)
        plan.apply(store)
        assert radar.repair(store) > 1
        assert np.array_equal(board.logits(x), store.logits(x))
        report = board.check_constants(anew=False)
        assert report["harmed"] == 0 and report["found"] == 1


def test_in_ram_weights_are_put_back_into_their_ranges(tiny, tmp_path):
    """The core's own instructions for four bytes at a time, beside the model: bit 7 of every weight of a layer in turn."""
    from tinyvgg.board import Board
    q, x = tiny
    network = build_network(q, tmp_path, name="tiny", defence="ranges=8", weights="ram", check_every=0)
    store, key = open_store(q), "conv2d_1/weights"
    ranges, base, clean = Ranges(store, 8), bases(store, network.image.elf), store.arrays[key].copy()
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
        machine = board.link.machine
        for index in range(0, clean.size, 7):
            store.toggle([(key, index, 7)])
            machine.write(base[key], store.arrays[key].tobytes())
            found, done = bool(ranges.check(store)), ranges.repair(store)
            report = board.check_constants()
            assert (report["found"], report["repaired"]) == (found, done)
            assert machine.read(base[key], clean.size) == store.arrays[key].tobytes()
            store.arrays[key][...] = clean
            store.changed({key})


def test_checks_now_and_then_and_never(tiny, tmp_path):
    from tinyvgg.board import Board
    q, x = tiny
    store = open_store(q)
    plan = plan_of(store, [("dense/weights", 5, 7)])
    for every, answered in ((3, 2), (0, 8)):
        network = build_network(q, tmp_path, name=f"tiny{every}", defence="crc", check_every=every)
        with Board(f"virtual:{network.image.elf}", flash_model="none") as board:
            patch_board(plan, store, board, bases(store, network.image.elf))
            seen = []
            try:
                board.infer(x, on_answer=lambda i, *_, seen=seen: seen.append(i))
            except DeviceError as error:
                assert "HARMED" in str(error)
            assert len(seen) == answered
            if every == 0:
                assert board.check_constants()["harmed"] == 1
                with pytest.raises(DeviceError, match="HARMED"):
                    board.labels(x)


def test_a_patched_image_is_found_at_the_start(tiny, tmp_path):
    from tinyvgg.board import Board
    from tinyvgg.faults.elf import patch_elf
    q, x = tiny
    network = build_network(q, tmp_path, name="tiny", defence="crc", check_every=0)
    store = open_store(q)
    patch_elf(plan_of(store, [("conv2d/weights", 2, 6)]), store, network.image.elf, tmp_path / "flipped.elf")
    with Board(f"virtual:{tmp_path / 'flipped.elf'}", flash_model="none") as board, pytest.raises(DeviceError, match="HARMED"):
        board.labels(x)


def test_a_board_without_checks_and_wrong_options(tiny, tmp_path):
    from tinyvgg.board import Board
    q, x = tiny
    network = build_network(q, tmp_path, name="tiny")
    with Board(f"virtual:{network.image.elf}", flash_model="none") as board, pytest.raises(DeviceError, match="FUNCTION"):
        board.check_constants()
    with pytest.raises(OptionError, match="there is no defence 'rador'"):
        build_network(q, tmp_path / "no", defence="rador")
    with pytest.raises(OptionError, match="a check every -1 inferences"):
        build_network(q, tmp_path / "no", defence="crc", check_every=-1)
    assert not (tmp_path / "no").exists()
