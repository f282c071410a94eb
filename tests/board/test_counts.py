"""Exact instruction counts, against a hook on every single instruction and against counts known by construction."""
import numpy as np
import pytest

pytest.importorskip("unicorn")
pytest.importorskip("capstone")
from tests.board.programs import InstructionCounter, assemble  # noqa: E402
from tinyvgg.board import protocol  # noqa: E402
from tinyvgg.board.virtual.costs import block_cost  # noqa: E402
from tinyvgg.board.virtual.machine import Machine  # noqa: E402

LOOP = """
    movw r0, #1000
    movs r1, #0
1:  adds r1, r1, r0
    subs r0, #1
    bne 1b
    bkpt 0
"""
# Of each round: the IT, one of ADDNE / ADDEQ and one of the two MOVs run, the others are skipped: 2 skipped in 1000 rounds.
IT = """
    movw r0, #1000
    movs r1, #0
1:  ands r2, r0, #1
    ite ne
    addne r1, #1
    addeq r1, #2
    it eq
    moveq r3, r1
    it ne
    movne r3, r1
    subs r0, #1
    bne 1b
    bkpt 0
"""
# Copies a function to SRAM2 and calls it through the code-bus alias, then overwrites its constant and calls it again.
RAM_CODE = """
    ldr r0, =function
    bic r0, #1
    ldr r1, =0x20030000
    movs r2, #16
1:  ldr r3, [r0], #4
    str r3, [r1], #4
    subs r2, #4
    bne 1b
    ldr r4, =0x10000001
    ldr r5, =0x20030000
    movs r6, #100
2:  blx r4
    ldrh r3, [r5]
    eor r3, #3
    strh r3, [r5]
    subs r6, #1
    bne 2b
    bkpt 0
"""
FUNCTION = """
    .align 2
    .type function, %function
    .thumb_func
function:
    movs r7, #5
3:  subs r7, #1
    bne 3b
    bx lr
    nop
    nop
    nop
    nop
"""


def run(elf, hook=True, **options):
    machine = Machine(elf, **options)
    counter = InstructionCounter(machine) if hook else None
    machine.run(10.0)
    assert "breakpoint" in machine.fault.what, machine.fault
    if hook:
        counter.executed -= 1                            # the hook sees the BKPT, which does not retire
    return machine, counter


@pytest.mark.parametrize("body, expected, skipped", [(LOOP, 2 + 3 * 1000, 0), (IT, 2 + 10 * 1000, 2 * 1000)], ids=["loop", "IT"])
def test_known_by_construction(tmp_path, body, expected, skipped):
    machine, counter = run(assemble(tmp_path, body))
    assert (machine.instructions, counter.executed, counter.skipped) == (expected, expected - skipped, skipped)
    assert sum(p.instructions for p in machine.profile()) == expected
    assert sum(p.cycles for p in machine.profile()) == machine.zero_wait_cycles


def test_code_in_ram_that_changes(tmp_path):
    machine, counter = run(assemble(tmp_path, RAM_CODE, FUNCTION))
    assert machine.instructions == counter.total
    counts = [2 + 2 * n for n in (5, 6)]                  # MOVS r7, #5 becomes #6 and back: loops of 5 and 6
    setup = 4 + 4 * 4 + 3
    assert machine.instructions == setup + 50 * (counts[0] + counts[1]) + 100 * 6
    assert machine.read(0x10000000, 16) == machine.read(0x20030000, 16)


def check_demonstration(elf, data, answer_bytes):
    machine = Machine(elf)
    counter = InstructionCounter(machine)
    machine.run(0.1)
    assert machine.instructions == counter.total
    machine.send(data)
    machine.run(1.0)
    assert len(machine.receive()) == answer_bytes
    assert counter.skipped > 0
    assert machine.instructions == counter.total
    assert sum(p.instructions for p in machine.profile()) == machine.instructions


def test_start_up_and_a_frame(demonstration):
    frame = protocol.encode(protocol.Frame(protocol.ECHO, 1, bytes(range(200))))
    check_demonstration(demonstration.elf, frame, len(frame))


@pytest.mark.slow
def test_an_inference(demonstration):
    check_demonstration(demonstration.elf, b"\xab\xab" + np.random.default_rng(1).random(3072).astype("<f4").tobytes(), 12)


def test_counts_do_not_depend_on_where_a_run_is_cut(demonstration, monkeypatch):
    totals = set()
    for cycles in (60_000_000, 4_999, 701):
        monkeypatch.setattr("tinyvgg.board.virtual.machine._SLICE", cycles)
        machine = Machine(demonstration.elf)
        machine.run(0.1)
        machine.send(b"\xab\xab" + bytes(range(256)) * 48)
        machine.run(1.0)
        totals.add((machine.instructions, machine.cycles, machine.receive()))
    assert len(totals) == 1


@pytest.mark.parametrize("code, cycles", [
    ("0844", 1),                         # add r0, r1
    ("0868", 2), ("08684968", 3),        # ldr; ldr, ldr: the second is pipelined
    ("086008680868", 4),                 # str, ldr, ldr: 1, 2, 1
    ("fee7", 3),                         # b: 1 + refill
    ("2de9f04f", 10),                    # push {r4-r11, lr}: 1 + 9
    ("90fbf1f0", 7),                     # sdiv
    ("30ee200a", 1), ("80ee200a", 14),   # vadd.f32; vdiv.f32
    ("20fb0100", 1)])                    # smlad
def test_cycles_of_the_reference_manual(code, cycles):
    assert block_cost(bytes.fromhex(code), 0x08000000).cycles == cycles


def test_taken_branches_cost_a_refill(tmp_path):
    machine, _ = run(assemble(tmp_path, LOOP))
    # MOVW, MOVS; 1000 rounds of 3 with 999 refills of 2; the BKPT does not retire
    assert machine.zero_wait_cycles == 2 + 3000 + 2 * 999
