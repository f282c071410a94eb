"""The virtual board: memory map, registers, faults by name, the timed line."""
import sys

import numpy as np
import pytest

pytest.importorskip("unicorn")
pytest.importorskip("capstone")
from tests.board.programs import assemble  # noqa: E402
from tinyvgg.board import Board, demonstration  # noqa: E402
from tinyvgg.board.virtual.costs import decoder  # noqa: E402
from tinyvgg.board.virtual.machine import Machine  # noqa: E402
from tinyvgg.errors import BuildError, DeviceError, FormatError, LinkError, MissingExtra  # noqa: E402

WORDS = {0: "load from 0x60000000, where nothing is", 1: "store of 0x1 to 0x60000000, where nothing is",
         2: "store of 0x1 to 0x08000100, in flash, which stores cannot change", 3: "undefined instruction",
         4: "jump to 0x60000000, where no code is", 5: "unaligned LDRD", 6: "division by zero", 7: "stack overflow"}
REPORTS = {0: "bus fault .a wrong address at 0x60000000.*tv_app_call", 1: "bus fault .a wrong address at 0x60000000.*tv_app_call",
           2: "bus fault .a wrong address at 0x08000100.*tv_app_call", 3: "usage fault .an undefined instruction.*tv_app_call",
           4: "bus fault .a jump to where no code is.*a call before .* in tv_app_call",
           5: "usage fault .an unaligned access.*tv_app_call",
           6: "usage fault .a division by zero.*tv_app_call", 7: "stack overflow: the stack left the memory"}


def run(tmp_path, body, rest="", **options):
    machine = Machine(assemble(tmp_path, body + "\n    bkpt 0\n", rest), **options)
    machine.run(1.0)
    return machine


@pytest.mark.parametrize("kind", demonstration.MISTAKES)
def test_mistakes_are_caught_and_named(url, kind):
    with Board(url, strict=True) as board:
        with pytest.raises(DeviceError, match=WORDS[kind]):
            board.call(demonstration.MISBEHAVE, bytes([kind, 0, 0, 0]))
        assert "tv_app_call" in str(board.link.machine.fault)


@pytest.mark.parametrize("kind", demonstration.MISTAKES)
def test_the_firmware_reports_faults_and_lives_on(url, kind):
    """As on silicon: the fault handler speaks over the line, the board restarts, the next request is answered."""
    with Board(url, strict=True, halt_on_fault=False) as board:
        with pytest.raises(DeviceError, match=REPORTS[kind]):
            board.call(demonstration.MISBEHAVE, bytes([kind, 0, 0, 0]))
        assert board.echo(b"alive") == b"alive"
        assert board.link.machine.resets == 1


@pytest.mark.parametrize("body, words", [
    ("ldr r0, =0x48000000\n ldr r1, [r0]", "GPIOA is used before its clock is on"),
    ("ldr r0, =0x40004400\n str r0, [r0]", "USART2 is used before its clock is on"),
    ("ldr r0, =0x40012345\n ldrb r1, [r0]", "no peripheral"),
    ("movw r0, #0\n ldr r1, [r0]", "a null pointer"),
    ("vmov s0, r0", "FPU is used while CPACR keeps it off"),
    ("svc 0", "SVC"),
    ("ldr r0, =0x40021000\n ldr r1, =0x01003C01\n str r1, [r0, #12]\n movs r1, #3\n str r1, [r0, #8]",
     "120 MHz with 0 flash wait states"),
    ("ldr r0, =0x08000000\n ldr r1, =0x20000000\n strb r1, [r0, #5]", "a 1-byte store of 0x0 to 0x08000005, in flash")])
def test_wrong_accesses(tmp_path, body, words):
    fault = str(run(tmp_path, body).fault)
    assert words in fault
    assert "in Reset_Handler (pc 0x0800" in fault


TWIN = """
    .thumb_func
    .type {name}, %function
{name}:
    ldrd r1, r2, [r0]
    bx lr
    .size {name}, . - {name}
"""


@pytest.mark.parametrize("called", ["twin_1", "twin_2"])
def test_an_unaligned_load_in_functions_that_share_a_name(tmp_path, called):
    """Local functions of two C files may have one name: each is watched."""
    elf = assemble(tmp_path, f"ldr r0, =0x20000001\n bl {called}\n bkpt 0\n", TWIN.format(name="twin_1") + TWIN.format(name="twin_2"))
    data = elf.read_bytes()
    elf.write_bytes(data.replace(b"twin_2\0", b"twin_1\0"))
    machine = Machine(elf, strict=True)
    machine.run(1.0)
    assert "unaligned LDRD" in str(machine.fault)


def test_sram2_is_one_memory_at_two_addresses(tmp_path):
    machine = run(tmp_path, "ldr r0, =0x20030000\n ldr r1, =0x12345678\n str r1, [r0]\n ldr r2, =0x10000000\n ldr r3, [r2]\n"
                            " adds r3, #1\n str r3, [r2, #4]\n ldr r4, =0x20000100\n ldr r5, [r0, #4]\n str r5, [r4]")
    assert machine.read(0x20000100, 4) == (0x12345679).to_bytes(4, "little")


def test_systick_and_cycle_counter(tmp_path):
    machine = run(tmp_path, """
        ldr r0, =0xE000E010
        ldr r1, =999
        str r1, [r0, #4]
        movs r1, #5
        str r1, [r0]
        ldr r2, =0xE0001000
        ldr r3, [r2, #4]
        movw r4, #100
    1:  subs r4, #1
        bne 1b
        ldr r5, [r2, #4]
        subs r5, r3
        ldr r6, =0x20000100
        str r5, [r6]
        ldr r7, [r0, #8]
        str r7, [r6, #4]
        ldr r7, [r0]
        str r7, [r6, #8]
    """, flash_model="none")
    passed, left, control = np.frombuffer(machine.read(0x20000100, 12), "<u4")
    assert 400 <= passed <= 410                      # 100 rounds of SUBS 1 and BNE 3
    assert 1000 - 440 < left <= 1000 - passed and control == 5


def test_led_follows_the_pin(demonstration):
    machine = Machine(demonstration.elf)
    machine.run(0.1)
    assert not machine.peripherals.led
    machine.send(b"\xab\xab" + bytes(12288))
    lit = [(machine.run(0.0005), machine.peripherals.led)[1] for _ in range(100)]
    assert any(lit) and not lit[-1]                  # lit while it computes


def test_memory_from_outside(url, tmp_path):
    """A host changes code and data under a running program, as a fault injector does."""
    machine = Machine(assemble(tmp_path, "1: movs r0, #7\n ldr r1, =0x20000100\n str r0, [r1]\n b 1b"))
    machine.run(1e-5)
    assert machine.read(0x20000100, 4) == b"\x07\0\0\0"
    code = machine.elf.symbols["Reset_Handler"].address
    assert machine.read(code, 2) == b"\x07\x20"
    machine.write(code, b"\x09")
    machine.run(1e-5)
    assert machine.read(0x20000100, 4) == b"\x09\0\0\0"
    with pytest.raises(LinkError, match="no memory"):
        machine.read(0x30000000, 4)


def test_timed_line_takes_the_wire_time(url):
    """3,088 bytes there and 59 back at 115,200 baud: 10 bits each."""
    images = np.random.default_rng(0).integers(1, 256, (2, 32, 32, 3), dtype=np.uint8)
    seconds = {}
    for baud in (115200, 921600):
        with Board(url, timed=True, baud=baud) as board:
            answers = board.infer(images)
            assert (answers.raw == demonstration.logits(images)).all()
            seconds[baud] = answers.seconds[-1] - answers.cycles[-1] / 120e6
            assert board.usage().overruns == 0
    assert 0.268 < seconds[115200] < 0.28
    assert 7.0 < seconds[115200] / seconds[921600] < 8.1


def test_overrun_is_counted(tmp_path, demonstration):
    machine = Machine(demonstration.elf, timed=True)
    machine.run(0.1)
    machine.send(b"\xab\xab" + bytes(12288) + b"x" * 1000)                # while it works: 7 ms are 80 bytes
    machine.run(3.0)
    assert machine.overruns > 10
    machine.run(2.0)                                                              # silence ends the student protocol
    machine.receive()


def test_wrong_baud_garbles(demonstration):
    machine = Machine(demonstration.elf)
    machine.run(0.1)
    machine.send(b"\xab\xab", baud=9600)
    machine.run(0.1)
    assert machine.receive(9600) != b"\xcd\x00"


def test_what_a_hook_raises_is_raised(demonstration, monkeypatch):
    """Nothing is counted on after a block that could not be decoded."""
    machine = Machine(demonstration.elf)
    for error in (RuntimeError, KeyboardInterrupt):
        with monkeypatch.context() as patch, pytest.raises(error, match="no cost"):
            patch.setattr("tinyvgg.board.virtual.machine.block_cost", _raise(error("no cost")))
            machine.run(0.1)


def _raise(error):
    def function(*_):
        raise error
    return function


def test_without_the_decoder_nothing_runs(demonstration, monkeypatch):
    decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(MissingExtra, match="capstone is not installed"):
        Machine(demonstration.elf)


# --- images that are not for this board -------------------------------------------------------------------------------------
def test_an_elf_of_another_board(demonstration, tmp_path):
    import struct
    data = bytearray(demonstration.elf.read_bytes())
    offset, entry, count = struct.unpack_from("<I", data, 28)[0], *struct.unpack_from("<HH", data, 42)
    moved, large, host = bytearray(data), bytearray(data), bytearray(data)
    for i in range(count):
        kind, _, address, load, size = struct.unpack_from("<5I", data, offset + i * entry)
        if kind == 1 and load >> 24 == 8:
            struct.pack_into("<II", moved, offset + i * entry + 8, address + 0x08000000, load + 0x08000000)
        if kind == 1 and address >> 24 == 0x20:
            struct.pack_into("<I", large, offset + i * entry + 20, 0xB0000)
    struct.pack_into("<H", host, 18, 62)
    for name, content, words in (("moved", moved, "another board: it loads at 0x10000000"), ("large", large, "does not fit"),
                                 ("host", host, "machine 62"), ("cut", data[:3000], "is cut"), ("text", b"hello", "not an ELF"),
                                 ("64", b"\x7fELF\2\1" + bytes(60), "32-bit")):
        path = tmp_path / f"{name}.elf"
        path.write_bytes(bytes(content))
        with pytest.raises((FormatError, BuildError), match=words):
            Machine(path)


def test_a_damaged_elf_never_hangs_or_crashes(demonstration, tmp_path):
    random = np.random.default_rng(0)
    data, path = demonstration.elf.read_bytes(), tmp_path / "damaged.elf"
    from tinyvgg.errors import TinyVGGError
    from tinyvgg.firmware.elf import Elf
    from tinyvgg.firmware.image import board_facts, check_fits
    refused = 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(4):
            damaged[int(random.integers(0, 120 if random.random() < 0.7 else len(data)))] = int(random.integers(0, 256))
        path.write_bytes(bytes(damaged))
        try:
            check_fits(Elf(path), board_facts("stm32l4r9i-disco"))
        except TinyVGGError:
            refused += 1
    assert refused > 100
