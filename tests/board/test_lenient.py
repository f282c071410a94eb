"""The lenient board: a program that nobody here built, with interrupts, a timer and a UART, as .bin and as .hex."""
import struct

import pytest

pytest.importorskip("unicorn")
pytest.importorskip("capstone")
from tests.board.programs import assemble  # noqa: E402
from tinyvgg.board.virtual.machine import Machine  # noqa: E402
from tinyvgg.cli import main  # noqa: E402
from tinyvgg.errors import DataError, FormatError  # noqa: E402
from tinyvgg.firmware.elf import Elf  # noqa: E402
from tinyvgg.firmware.image import to_binary, to_hex  # noqa: E402
from tinyvgg.firmware.raw import open_image  # noqa: E402

# Sleeps; LPUART1's interrupt echoes each byte plus one, SysTick's counts; "t" is answered with a digit of TIM2 and of the ticks.
PROGRAM = """
    ldr   r0, =0x40021000
    ldr   r1, =0x01000563
    str   r1, [r0]
wait_pll:
    ldr   r2, [r0]
    tst   r2, #0x2000000
    beq   wait_pll
    ldr   r1, =0x01003C01
    str   r1, [r0, #0xC]
    movs  r1, #3
    str   r1, [r0, #8]
    ldr   r0, =0x40022000
    ldr   r1, =0x705
    str   r1, [r0]
    ldr   r0, =0x40000000
    movs  r1, #119
    str   r1, [r0, #0x28]
    ldr   r1, =0xFFFFFFFF
    str   r1, [r0, #0x2C]
    movs  r1, #1
    str   r1, [r0]
    ldr   r0, =0xE000E010
    ldr   r1, =119999
    str   r1, [r0, #4]
    movs  r1, #7
    str   r1, [r0]
    ldr   r0, =0xE000E108
    movs  r1, #0x40
    str   r1, [r0]
    ldr   r0, =0x40008000
    movs  r1, #0x2D
    str   r1, [r0]
sleep:
    wfi
    b     sleep
"""
HANDLERS = """
    .thumb_func
UART_Handler:
    push  {r4, lr}
    ldr   r0, =0x40008000
    ldr   r1, [r0, #0x24]
    cmp   r1, #'t'
    beq   times
    adds  r1, #1
    str   r1, [r0, #0x28]
    pop   {r4, pc}
times:
    ldr   r2, =0x40000000
    ldr   r3, [r2, #0x24]
    ldr   r4, =1000
    udiv  r3, r3, r4
    adds  r3, #48
    str   r3, [r0, #0x28]
    ldr   r2, =0x20000100
    ldr   r3, [r2]
    adds  r3, #48
    str   r3, [r0, #0x28]
    pop   {r4, pc}
    .thumb_func
SysTick_Handler:
    ldr   r2, =0x20000100
    ldr   r3, [r2]
    adds  r3, #1
    str   r3, [r2]
    bx    lr
    .section .vectors
    .rept 13
    .word 0
    .endr
    .word SysTick_Handler
    .rept 70
    .word 0
    .endr
    .word UART_Handler
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The program as .elf, .bin and .hex in one folder."""
    folder = tmp_path_factory.mktemp("theirs")
    elf = assemble(folder, PROGRAM, HANDLERS)
    origin, data = to_binary(Elf(elf))
    elf.with_suffix(".bin").write_bytes(data)
    elf.with_suffix(".hex").write_text(to_hex(origin, data, Elf(elf).entry))
    return elf


@pytest.mark.parametrize("suffix", [".bin", ".hex", ".elf"])
def test_interrupts_timers_and_the_line(image, suffix):
    machine = Machine(image.with_suffix(suffix), board="nucleo-l4r5zi", lenient=True if suffix == ".elf" else None)
    machine.run(0.0001)
    assert machine.fault is None and machine.clock_hz == 120_000_000 and machine.error_percent == 3
    machine.send(b"HAL")
    machine.run(0.0002)
    assert machine.receive() == b"IBM"
    machine.run(0.0055 - machine.seconds)
    machine.send(b"t")
    machine.run(0.0002)
    assert machine.receive() == b"55"                    # 5.5 ms of TIM2's microseconds, five ticks of a millisecond
    assert machine.state.sum() and machine.instructions < 1000


def test_strict_refuses_the_same_program(image):
    machine = Machine(image, board="nucleo-l4r5zi")
    machine.run(0.01)
    assert "the core runs at 120 MHz with 0 flash wait states" in str(machine.fault)


def test_served_to_others(image, capsys):
    run = ["board", "run", str(image.with_suffix(".bin")), "--port", "socket://localhost:0", "--seconds", "0"]
    assert main([*run, "--board", "nucleo-l4r5zi", "--json"]) == 0
    assert '"board": "nucleo-l4r5zi"' in capsys.readouterr().out
    assert main([*run, "--board", "nowhere"]) == 2
    assert "there is no firmware for a board 'nowhere'" in capsys.readouterr().err


def test_files_that_are_no_image(image, tmp_path):
    good = image.with_suffix(".hex").read_text()
    for text, words in ((good[:-12], "its end is missing"), (good.replace(":10", ":11", 1), "line 2, is not a record"),
                        ("", "its end is missing"), (good + good, "after the end"), (":0000000AF6\n", "kind 10")):
        path = tmp_path / "damaged.hex"
        path.write_text(text)
        with pytest.raises(FormatError, match=words):
            open_image(path)
    for name, data, words in (("short.bin", b"1234", "vector table"), ("elf.bin", b"\x7fELF" + bytes(60), "is an ELF file")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=words):
            open_image(tmp_path / name)
    (tmp_path / "large.bin").write_bytes(struct.pack("<II", 0x20001000, 0x08000041) + bytes(3 << 20))
    with pytest.raises(FormatError, match="does not fit"):
        Machine(tmp_path / "large.bin")
    with pytest.raises(FormatError, match="cannot be read"):
        open_image(tmp_path / "none.bin")
    (tmp_path / "folder.bin").mkdir()
    with pytest.raises(DataError, match="is not a file"):       # a FIFO would be waited for
        open_image(tmp_path / "folder.bin")


def test_one_bank_needs_a_part_that_has_it(image):
    assert Machine(image, two_banks=False).peripherals.registers[0x40022020] >> 22 & 1 == 0
