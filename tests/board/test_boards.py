"""A board is a folder: two added from nowhere else, built for, run as what they are, refused where they cannot be."""
import re

import pytest

pytest.importorskip("ziglang")
pytest.importorskip("unicorn")
pytest.importorskip("capstone")
from tinyvgg.board import Board  # noqa: E402
from tinyvgg.board.virtual.machine import Machine  # noqa: E402
from tinyvgg.errors import BuildError, FormatError, OptionError  # noqa: E402
from tinyvgg.firmware.build import build_demonstration  # noqa: E402
from tinyvgg.firmware.elf import Elf  # noqa: E402
from tinyvgg.firmware.facts import BOARDS, board_facts  # noqa: E402

L476 = {"name": "nucleo-l476rg", "part": "STM32L476RG", "device_id": 0x415, "clock_hz": 80_000_000, "pll": "{ m = 1, n = 40, r = 2 }",
        "wait_state_hz": 16_000_000, "boost": "false", "banks": "false", "interrupts": 82,
        "flash": "{ origin = 0x08000000, length = 1_048_576 }", "ram": "{ origin = 0x20000000, length = 98_304 }",
        "ramcode": "{ origin = 0x10000000, length = 32_768 }", "led": '{ pin = "PA5", lit = "high" }',
        "uart": '{ name = "USART2", base = 0x40004400, enable = [0x58, 17], tx = "PA2", rx = "PA3", alternate = 7, fifo = false }'}
L4R5 = {"name": "my-nucleo", "part": "STM32L4R5ZI", "led": '{ pin = "PB7", lit = "high" }',
        "uart": '{ name = "LPUART1", kind = "lpuart", base = 0x40008000, enable = [0x5C, 0], tx = "PG7", rx = "PG8", alternate = 8 }'}


def folder_of(tmp_path, changes):
    """A copy of the Discovery kit's board.toml with some facts changed, in a folder outside the library."""
    text = (BOARDS / "stm32l4r9i_disco" / "board.toml").read_text()
    for key, value in changes.items():
        quoted = f'"{value}"' if key in ("name", "part", "family") else value
        text, n = re.subn(rf"(?m)^{key} = .*$", lambda _, k=key, v=quoted: f"{k} = {v}", text)
        assert n == 1
    folder = tmp_path / str(changes.get("name", "board"))
    folder.mkdir(exist_ok=True)
    (folder / "board.toml").write_text(text)
    return folder


@pytest.mark.parametrize("changes, hz, flash, ram, error", [(L476, 80_000_000, 1 << 20, 96 << 10, None),
                                                            (L4R5, 120_000_000, 2 << 20, 640 << 10, 3)])
def test_a_folder_is_a_board(tmp_path, changes, hz, flash, ram, error):
    folder = folder_of(tmp_path, changes)
    image = build_demonstration(tmp_path / "demonstration", board=folder, memory_access=True)
    with Board(f"virtual:{image.elf}") as board:
        info, machine = board.info, board.link.machine
        assert (info.clock_hz, info.flash_bytes, info.ram_bytes) == (hz, flash, ram)
        assert info.device_id & 0xFFF == board_facts(folder).device_id and machine.facts.part == changes["part"]
        assert board.echo(b"alive") == b"alive" and machine.clock_hz == hz and machine.error_percent == error
        assert machine.flash_model.control & 15 == board_facts(folder).wait_states == (4 if hz < 10 ** 8 else 5)
        assert abs(info.baud - 115200) < 600
    assert board_facts(folder).held["length"] == (0 if ram < 200_000 else 384 << 10)
    with Board(f"virtual:{image.elf}", baud=460800) as board:
        assert board.echo(bytes(range(200))) == bytes(range(200))
    with Board(f"virtual:{image.elf}", timed=True, strict=True) as board:
        assert board.echo(b"at the line's pace") == b"at the line's pace"
    with pytest.raises(OptionError, match=f"was built for {changes['name']}"):
        Machine(image.elf, board="stm32l4r9i-disco")
    folder_of(tmp_path, {**changes, "interrupts": 90})
    with pytest.raises(OptionError, match=f"was built for another {changes['name']} than .* says now"):
        Machine(image.elf, board=folder)


@pytest.fixture(scope="module")
def l476(tmp_path_factory):
    """The ELF of the demonstration for L476."""
    folder = folder_of(tmp_path_factory.mktemp("l476"), L476)
    return build_demonstration(folder.parent / "small", board=folder, memory_access=True).elf


def test_memory_that_the_part_lacks_is_not_there(l476):
    with Board(f"virtual:{l476}") as board:
        board.read_memory(0x20000000, 4)
        for address in (0x20018000, 0x08100000):
            with pytest.raises(Exception, match="refused"):
                board.read_memory(address, 4)
    with pytest.raises(OptionError, match="no single-bank mode"):
        Machine(l476, two_banks=False)


def test_the_uart_without_a_fifo_bit(l476):
    """A board that says it has none keeps the bit clear, as the part does; one byte waits, not eight."""
    machine = Machine(l476)
    machine.run(0.1)
    from tinyvgg.board.virtual import hooks
    assert int(machine.state[hooks.CR1]) == 0xD


@pytest.mark.parametrize("changes, words", [
    ({"clock_hz": 100_000_000}, "its pll makes 120,000,000"), ({"family": "stm32h7"}, "family is 'stm32h7'; there is stm32l4"),
    ({"flash": "{ origin = 0x08000000 }"}, "flash.length is None"), ({"uart": '{ name = "U" }'}, "uart.base is None"),
    ({"led": '{ pin = "PZ9", lit = "low" }'}, "led.pin is 'PZ9'"), ({"device_id": '"0x470"'}, "device_id is '0x470'"),
    ({"zig": "[1]"}, "zig is [1]"), ({"boost": "1"}, "boost is 1"), ({"ram": "{ origin = 0, length = 65536 }"}, "ram.origin is 0"),
    ({"pll": "{ m = 0, n = 60, r = 2 }"}, "pll.m is 0"), ({"openocd": "5"}, "openocd is 5"),
    ({"wait_state_hz": "1_000_000"}, "119 wait states; expected 15 at most"),
    ({"uart": L4R5["uart"].replace("0x5C, 0]", "0x5C, -1]")}, "uart.enable is [92, -1]"),
    ({"uart": L4R5["uart"].replace("0x5C, 0]", "0x5D, 0]")}, "uart.enable is [93, 0]")])
def test_facts_that_cannot_be(tmp_path, changes, words):
    with pytest.raises(FormatError, match=re.escape(words)):
        board_facts(folder_of(tmp_path, changes))


def test_boards_that_are_not_there(tmp_path):
    with pytest.raises(OptionError, match="nucleo-l4r5zi, stm32l4r9i-disco"):
        board_facts(tmp_path)
    (tmp_path / "board.toml").write_text("name = ")
    with pytest.raises(FormatError, match="is not valid TOML"):
        board_facts(tmp_path / "board.toml")
    (tmp_path / "board.toml").write_bytes(b"#" * 70000)
    with pytest.raises(FormatError, match="70,000 bytes"):
        board_facts(tmp_path)


def test_more_than_the_virtual_board_has(tmp_path):
    folder = folder_of(tmp_path, {"name": "large", "flash": "{ origin = 0x08000000, length = 4_194_304 }"})
    elf = build_demonstration(tmp_path / "large", board=folder).elf
    with pytest.raises(FormatError, match="cannot be a STM32L4R9AI with flash of 4,194,304 bytes"):
        Machine(elf)


def test_a_folder_with_sources_of_its_own(tmp_path):
    """Its C files stand in for the family's of the same name."""
    folder = folder_of(tmp_path, {"name": "own-light"})
    family = board_facts(folder).sources
    text = (family / "system.c").read_text()
    cycles = "uint32_t tv_cycles(void) { return DWT_CYCCNT; }"
    mine = "__attribute__((noinline)) uint32_t mine(void) { return DWT_CYCCNT; }\nuint32_t tv_cycles(void) { return mine(); }"
    assert cycles in text
    (folder / "system.c").write_text(text.replace(cycles, mine))
    image = build_demonstration(tmp_path / "own", board=folder)
    assert "mine" in Elf(image.elf).symbols and image.as_dict()["board"] == "own-light"


def test_a_linker_script_that_cannot_be_filled_in(tmp_path):
    folder = folder_of(tmp_path, {"name": "own-script"})
    for text in ("${nobody_knows}", "a $ alone"):
        (folder / "link.ld").write_text(text)
        with pytest.raises(BuildError, match="link.ld cannot be filled in"):
            build_demonstration(tmp_path / "own", board=folder)
