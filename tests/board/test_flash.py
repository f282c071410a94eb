"""The flash model: what it adds, hooks inside IT blocks, profiles, the self-test, the emulator's memory."""
import resource
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("unicorn")
pytest.importorskip("capstone")
from tests.board.programs import assemble  # noqa: E402
from tinyvgg.board import Board, demonstration  # noqa: E402
from tinyvgg.board.virtual import flash, hooks, selftest  # noqa: E402
from tinyvgg.board.virtual.machine import Machine  # noqa: E402
from tinyvgg.errors import DeviceError, OptionError  # noqa: E402

CONTROL = "ldr r0, =0x40022000\n ldr r1, ={control}\n str r1, [r0]\n"
IT_BLOCK = """
    ldr   r1, =data
    cmp   r0, r0
    itt   eq
    ldrbeq r2, [r1], #1
    addeq r2, #3
    cmp   r0, #1
    b     next
    nop
next:
    adds  r3, #1
    adds  r3, #1
"""


def run(tmp_path, body, rest="", **options):
    machine = Machine(assemble(tmp_path, body + "\n    bkpt 0\n", rest), **options)
    machine.run(1.0)
    assert "breakpoint" in str(machine.fault)
    return machine


def register(machine, name):
    return machine.engine.reg_read(getattr(machine.unicorn.arm_const, f"UC_ARM_REG_{name}"))


@pytest.mark.parametrize("options", [{}, {"strict": True}, {"flash_model": "none"}, {"two_banks": False}])
def test_a_load_from_flash_inside_an_it_block(tmp_path, options):
    """unicorn 2.1.4 skips instructions of the next block after a memory hook there: r3 was 0."""
    body = CONTROL.format(control="0x705") + "movs r0, #0\n movs r3, #0\n" + IT_BLOCK
    machine = run(tmp_path, body, "    .balign 4\ndata: .byte 7, 0, 0, 0", **options)
    assert (register(machine, "R2"), register(machine, "R3")) == (10, 2)


def test_an_emulator_that_skips_is_refused(monkeypatch):
    for word in ("_EXPECTED", "_INSTRUCTIONS"):
        with monkeypatch.context() as patch:
            patch.setattr(selftest, word, {"R2": 1} if word == "_EXPECTED" else 7)
            with pytest.raises(DeviceError, match="does not run a known program right"):
                selftest.check_emulator.__wrapped__(Machine)
    with monkeypatch.context() as patch:                         # as unicorn 2.1.4 without the cure: a plain hook
        def install(self, machine):
            self._state = machine.state
            machine.engine.hook_add(machine.unicorn.UC_HOOK_MEM_READ, lambda *_: None, begin=0x08000000, end=0x081FFFFF)
        patch.setattr(flash.FlashModel, "install", install)
        version = tuple(int(n) for n in machine_version().split(".")[:3])
        if version == (2, 1, 4):
            with pytest.raises(DeviceError, match="R3"):
                selftest.check_emulator.__wrapped__(Machine)
    selftest.check_emulator.__wrapped__(Machine)


def machine_version():
    import unicorn
    return unicorn.__version__


DATA = "    .ltorg\n    .balign 4096\ndata: .space 4096"


def loop(rounds=1000):
    return f"movw r3, #{rounds}\n    b again\n    .balign 8\nagain:\n    subs r3, #1\n    nop.w\n    nop.w\n    nop.w\n    bne again\n"


def added(tmp_path, body, control, **options):
    """Cycles that the flash model adds to `body`."""
    setup = CONTROL.format(control=control)
    return run(tmp_path, setup + body, DATA, **options).stalls


def test_a_jump_waits_for_the_word_behind_its_target(tmp_path):
    """Two cycles run in the target's word of 64 bits, so 4.17 of 6.17 remain; one cycle of the refill is taken back."""
    constants = flash.accelerator("stm32l4")
    wait = 5 + constants["beyond_wait_states"]["prefetch"] - 2 - (2 - constants["refill"])
    assert added(tmp_path, loop(), "0x705") == pytest.approx(1000 * wait, rel=0.02)
    assert added(tmp_path, loop(), "0x605") < 0                      # without prefetch a cached loop waits for nothing
    assert added(tmp_path, loop(), "0x705", two_banks=False) < added(tmp_path, loop(), "0x705")
    assert added(tmp_path, loop(), "0x700") < 0 and added(tmp_path, loop(), "0x705", flash_model="none") == 0


def test_data_words_of_64_or_128_bits(tmp_path):
    read = "ldr r0, =data\n movw r3, #512\nnext: ldr r1, [r0], #8\n subs r3, #1\n bne next\n"
    for two_banks, words in ((True, 512), (False, 256)):
        machine = run(tmp_path, CONTROL.format(control="0x705") + read, DATA, two_banks=two_banks)
        assert 0 <= machine.flash_model.stalls["data_misses"] - words <= 4
    without = run(tmp_path, CONTROL.format(control="0x305") + read.replace("#8", "#0"), DATA)
    assert without.flash_model.stalls["data_misses"] >= 512         # DCEN off: every read is one of the flash


def test_profiles_do_not_touch_the_model(demonstration):
    """Resetting a profile cleared the model's own words: the next hook divided by zero."""
    machine = Machine(demonstration.elf)
    machine.run(0.1)
    before = machine.state[int(hooks.MODEL_AT):].copy()
    machine.reset_profile()
    assert np.array_equal(before, machine.state[int(hooks.MODEL_AT):]) and not machine.profile()
    machine.send(b"\xab\xab")
    machine.run(0.1)
    assert machine.receive() == b"\xcd\x00" and machine.profile()


def test_times_with_their_error(url):
    images = np.zeros((1, 32, 32, 3), np.uint8)
    cycles = {}
    for model in ("calibrated", "none"):
        with Board(url, flash_model=model) as board:
            answers = board.infer(images)
            assert (answers.raw == demonstration.logits(images)).all()
            cycles[model] = answers.cycles[0]
            assert board.link.machine.error_percent == (3 if model == "calibrated" else None)
    assert cycles["none"] < cycles["calibrated"] < 2 * cycles["none"]
    with pytest.raises(OptionError, match="calibrated or none"):
        Board(url, flash_model="16")


def test_cycles_at_zero_wait_states_do_not_depend_on_the_model(url):
    from tinyvgg.board.evaluator import evaluate_board
    found = []
    for model in ("calibrated", "none"):
        with Board(url, flash_model=model) as board:
            found.append(evaluate_board(board, np.zeros((2, 32, 32, 3), np.uint8), [0, 0]))
    calibrated, none = found
    assert calibrated["cycles_per_image"] == none["cycles_per_image"] == 1000 * none["ms_per_image"] * 120
    assert calibrated["ms_per_image"] > none["ms_per_image"]
    assert (calibrated["ms_error"], none["ms_error"]) == (3, None)


def address_space():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[0]) * resource.getpagesize()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_closed_board_gives_its_memory_back(url):
    """Each machine kept 1 GiB of address space until somebody collected garbage."""
    with Board(url):
        pass
    before, open_ones = address_space(), []
    for _ in range(3):
        with Board(url) as board:
            open_ones.append(board)
    assert address_space() - before < 300 << 20
    with pytest.raises(DeviceError, match="closed"):
        open_ones[0].link.machine.run(0.01)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space")
def test_without_room_there_is_a_sentence(demonstration):
    """unicorn ended the process."""
    program = ("import resource, sys\nfrom tinyvgg.board.virtual.machine import Machine\nfrom tinyvgg.errors import DeviceError\n"
               "from tinyvgg.board.virtual import flash\n"
               "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
               "resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))\n"
               "try:\n    Machine(sys.argv[1])\nexcept (DeviceError, MemoryError) as error:\n    print('refused:', error)\n")
    done = subprocess.run([sys.executable, "-c", program, str(demonstration.elf)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "refused: " in done.stdout, done.stderr
