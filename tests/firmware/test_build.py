"""Building: both compilers, sizes, files, refusals; flashing with whatever tool is there."""
import shutil
import stat
import struct
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tinyvgg.errors import BuildError, FormatError, OptionError
from tinyvgg.firmware import build as building
from tinyvgg.firmware.build import build, build_demonstration, find_compiler
from tinyvgg.firmware.elf import Elf
from tinyvgg.firmware.flash import TOOLS, flash, flash_command
from tinyvgg.firmware.image import board_facts, sizes, to_binary, to_map

FACTS = board_facts("stm32l4r9i-disco")
COMPILERS = [pytest.param("zig", marks=pytest.mark.skipif(not find_spec("ziglang"), reason="no zig")),
             pytest.param("gcc", marks=pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="no arm-none-eabi-gcc"))]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    pytest.importorskip("ziglang")
    return build_demonstration(tmp_path_factory.mktemp("build") / "demonstration")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_both_compilers(tmp_path, compiler, monkeypatch):
    """No warning, the answers of NumPy, and the same bytes from a second build."""
    import numpy as np

    from tinyvgg.board import Board, demonstration
    image = build_demonstration(tmp_path / "a", compiler=compiler, flags=["-Werror"], memory_access=True)
    monkeypatch.delenv(building.SHARED, raising=False)      # as users build: in a folder of this process
    building._of_process.cache_clear()                      # what was compiled is compiled again
    again = build_demonstration(tmp_path / "b", compiler=compiler, flags=["-Werror"], memory_access=True)
    building._of_process.cache_clear()
    assert image.bin.read_bytes() == again.bin.read_bytes()
    assert image.flash_bytes < 16_000 and image.ram_bytes < 24_000
    pytest.importorskip("unicorn")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with Board(f"virtual:{image.elf}") as board:
        assert (board.infer(images).raw == demonstration.logits(images)).all()


def test_a_changed_source_or_header_is_compiled_anew(tmp_path):
    """What is kept to be known again is known by its text and its headers'; zig compiles in no folder of the user."""
    for text, value in (("N", 1), ("N", 2), ("-N", 2)):
        folder = tmp_path / f"{text}{value}"
        folder.mkdir()
        (folder / "a.c").write_text(f'#include "a.h"\nint a = {text};\n')
        (folder / "a.h").write_text(f"#define N {value}\n")
    paths = [building.kept(tmp_path / name / "a.c") for name in ("N1", "N2", "-N2", "N1")]
    assert paths[0] == paths[3] and len(set(paths)) == 3
    assert [path.with_name("a.h").read_text().split()[-1] for path in paths[:3]] == ["1", "2", "2"]
    (tmp_path / "N1" / "a.h").write_text("#define N 3\n")
    assert building.kept(tmp_path / "N1" / "a.c") not in paths


def test_the_files_agree(image):
    """.bin and .hex hold the same bytes; pyelftools, an independent reader, finds the same segments, sections and symbols."""
    elf = Elf(image.elf)
    origin, data = to_binary(elf)
    assert origin == 0x08000000 and image.bin.read_bytes() == data and len(data) >= image.flash_bytes
    assert from_hex(image.hex.read_text()) == (origin, data)
    assert "Reset_Handler" in image.map.read_text()
    elffile = pytest.importorskip("elftools.elf.elffile")
    with open(image.elf, "rb") as f:
        other = elffile.ELFFile(f)
        theirs = [(s["p_vaddr"], s["p_paddr"], s.data(), s["p_memsz"]) for s in other.iter_segments() if s["p_type"] == "PT_LOAD"]
        assert [(s.address, s.load, s.data, s.size) for s in elf.segments] == [t for t in theirs if t[3]]
        sections = [(s.name, s["sh_addr"], s["sh_size"]) for s in other.iter_sections()]
        assert [(s.name, s.address, s.size) for s in elf.sections] == sections
        functions = {s.name: s["st_value"] & ~1 for s in other.get_section_by_name(".symtab").iter_symbols()
                     if s["st_info"]["type"] == "STT_FUNC" and s["st_shndx"] != "SHN_UNDEF"}
        ours = {s.name: s.address for s in elf.symbols.values() if s.is_function}
        assert ours == functions
    for name, address in functions.items():
        assert functions[elf.function_at(address)] == address, name


def from_hex(text):
    """Read Intel HEX, checksums checked: (origin, bytes)."""
    upper, memory = 0, {}
    for line in text.split():
        record = bytes.fromhex(line[1:])
        assert sum(record) & 255 == 0
        address, kind, data = int.from_bytes(record[1:3], "big"), record[3], record[4:-1]
        if kind == 4:
            upper = int.from_bytes(data, "big") << 16
        elif kind == 0:
            memory[upper + address] = data
    return min(memory), b"".join(memory[a] for a in sorted(memory))


def test_sizes_count_stack_and_code_in_ram(image, tmp_path):
    used = sizes(Elf(image.elf))
    assert used["stack_bytes"] == 4096
    larger = build_demonstration(tmp_path / "larger", stack=8192)
    assert larger.ram_bytes - image.ram_bytes == 4096 and larger.flash_bytes == image.flash_bytes


APPLICATION = (building.HERE / "demonstration" / "demonstration.c").read_text()


def refused(tmp_path, change, words, error=BuildError, **options):
    source = tmp_path / "app.c"
    source.write_text(APPLICATION + change)
    with pytest.raises(error, match=words) as caught:
        build([source], tmp_path / "app", **options)
    assert not (tmp_path / "app.elf").exists()
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_too_large(tmp_path, compiler):
    hold = '\n__attribute__((section(".vectors"), used)) const void *const hold = big;'     # the linker must keep it
    refused(tmp_path, "\nconst uint8_t big[3000000] = { 1 };" + hold, "flash of 2,097,152 bytes lacks 9", compiler=compiler)
    refused(tmp_path, "\nuint8_t big[700000];" + hold, "RAM of 655,360 bytes lacks 6", compiler=compiler)


def test_budgets(tmp_path):
    pytest.importorskip("ziglang")
    assert "are missing" in str(refused(tmp_path, "", "needs .* bytes of flash; the budget given has 8,192", flash=8192))
    refused(tmp_path, "", "needs .* bytes of RAM; the budget given has 16,384", ram=16384)
    refused(tmp_path, "", "a stack of 100 bytes", OptionError, stack=100)


def test_wrong_code_and_unknown_names(tmp_path):
    pytest.importorskip("ziglang")
    refused(tmp_path, "\nint x = ;", "refused the code: .*app.c.*error")
    refused(tmp_path, "", "no firmware for a board 'nucleo'", OptionError, board="nucleo")
    refused(tmp_path, "", "expected auto, zig or gcc", OptionError, compiler="clang")


def test_no_compiler(monkeypatch):
    monkeypatch.setitem(sys.modules, "ziglang", None)
    monkeypatch.setenv("PATH", "")
    for wanted, words in (("auto", "no compiler for the Cortex-M4"), ("zig", "zig was not found"), ("gcc", "gcc was not found")):
        with pytest.raises(BuildError, match=words) as caught:
            find_compiler(wanted)
        assert "install" in caught.value.hint


# --- flashing -----------------------------------------------------------------------------------------------------------------
def fake_tool(folder, program, code=0, words=""):
    path = folder / program
    path.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\necho "{words}" >&2\nexit {code}\n')
    path.chmod(path.stat().st_mode | stat.S_IEXEC)


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
@pytest.mark.parametrize("tool", TOOLS)
def test_flash_calls_what_is_there(image, tmp_path, monkeypatch, tool):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="no tool that writes flash") as caught:
        flash(image.elf)
    assert "openocd" in caught.value.hint
    with pytest.raises(BuildError, match="was not found"):
        flash(image.elf, tool=tool)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    fake_tool(tmp_path, TOOLS[tool][0])
    flash(image.elf, tool=tool)
    called = (tmp_path / "called").read_text()
    assert str(image.bin if tool == "st-flash" else image.elf) in called
    fake_tool(tmp_path, TOOLS[tool][0], 1, "no ST-LINK detected")
    with pytest.raises(BuildError, match="failed: no ST-LINK detected"):
        flash(image.elf, tool=tool)


def test_flash_refuses_images_of_other_boards(tmp_path):
    path = tmp_path / "x.elf"
    path.write_bytes(b"no elf")
    with pytest.raises(FormatError):
        flash(path)
    with pytest.raises(OptionError, match="flash tool"):
        flash_command(path, FACTS, "jlink")


def test_st_flash_gets_the_image_of_the_elf_only(image, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: program)
    elf = shutil.copy(image.elf, tmp_path / "x.elf")
    with pytest.raises(FormatError, match="x.bin is not there"):
        flash_command(elf, FACTS, "st-flash")
    (tmp_path / "x.bin").write_bytes(b"of yesterday")
    with pytest.raises(FormatError, match="x.bin is not the image of"):
        flash_command(elf, FACTS, "st-flash")
    shutil.copy(image.bin, tmp_path / "x.bin")
    assert flash_command(elf, FACTS, "st-flash")[-2:] == [str(tmp_path / "x.bin"), "0x8000000"]


def test_functions_of_different_files_that_share_a_name_are_all_known(image):
    elf = Elf(image.elf)
    functions = [symbol for symbol in elf.every_symbol if symbol.is_function and symbol.size]
    assert len({symbol.name for symbol in functions}) < len(functions)
    at = {}
    for symbol in functions:
        at.setdefault(symbol.address, set()).add(symbol.name)
    assert all(elf.function_at(symbol.address) in at[symbol.address] for symbol in functions)
    listed = to_map(elf).split("symbol  ")[1].splitlines()[1:]
    assert len(listed) == len(elf.every_symbol)


def test_an_elf_made_to_exhaust_memory_is_refused(tmp_path):
    """Every one of 2,000 segments claims the whole file; every one of 2,000 sections is named by the whole file."""
    filler = b"x" * 1_000_000
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1", 2, 40, 1, 0, 52, 52, 0, 52, 32, 2000, 40, 0, 0)
    size = 52 + 2000 * 32 + len(filler)
    path = tmp_path / "segments.elf"
    path.write_bytes(header + struct.pack("<8I", 1, 0, 0x08000000, 0x08000000, size, size, 5, 4) * 2000 + filler)
    with pytest.raises(FormatError, match="overlap"):
        Elf(path)
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1", 2, 40, 1, 0, 52, 52, 0, 52, 32, 0, 40, 2000, 0)
    path.write_bytes(header + struct.pack("<10I", 0, 1, 2, 0, 52 + 80_000, len(filler), 0, 0, 1, 16) * 2000 + filler)
    assert max(len(s.name) for s in Elf(path).sections) <= 1024
    table, names = struct.pack("<IIIBBH", 0, 0x08000000, 4, 2, 0, 1) * 200_000, b"again\0"
    sections = struct.pack("<10I", *10 * (0,)) + struct.pack("<10I", 0, 2, 0, 0, 52 + 120, len(table), 2, 0, 4, 16)
    sections += struct.pack("<10I", 0, 3, 0, 0, 52 + 120 + len(table), len(names), 0, 0, 1, 0)
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\1\1", 2, 40, 1, 0, 52, 52, 0, 52, 32, 0, 40, 3, 0)
    path.write_bytes(header + sections + table + names)
    with pytest.raises(FormatError, match="200,000 symbols"):
        Elf(path)


def test_every_source_ships():
    """The package data of setup.cfg covers every file that a build reads."""
    folders = (Path(building.HERE) / name for name in ("common", "include", "boards", "families", "mlperf", "demonstration"))
    kinds = {p.suffix for folder in folders for p in folder.rglob("*") if p.is_file()}
    assert kinds == {".c", ".h", ".ld", ".toml"}


def test_assembler_of_the_fault_handler_matches_the_manual(image):
    """The handler must take the frame before it moves the stack: disassembled, not assumed."""
    objdump = shutil.which("arm-none-eabi-objdump")
    if not objdump:
        pytest.skip("no arm-none-eabi-objdump")
    text = subprocess.run([objdump, "-d", "--disassemble=Fault_Handler", image.elf], capture_output=True, text=True).stdout
    assert text.index("MSP") < text.index("mov\tsp")


def test_another_network_of_the_same_name_is_not_written_over(tmp_path):
    """Keras calls every network `sequential`; a plan of the same network is no other."""
    import numpy as np

    from tests.quant.networks import small
    from tinyvgg.codegen.variants import with_variants
    from tinyvgg.firmware.network import _check_another, build_network
    from tinyvgg.quant import QuantizedModel, quantize
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    one, two = (quantize(small(seed=seed), x) for seed in (0, 1))
    one.save(tmp_path / "net.tvq")
    before = (tmp_path / "net.tvq").read_bytes()
    with pytest.raises(OptionError, match="net.tvq is another network") as caught:
        build_network(two, tmp_path, name="net")
    assert "--name" in caught.value.hint and (tmp_path / "net.tvq").read_bytes() == before
    planned = QuantizedModel(with_variants(one.graph, {one.graph.ops[1].name: "direct16"}))
    assert planned.sha256 != one.sha256
    _check_another(planned.graph, tmp_path / "net.tvq")


def test_names_are_those_of_the_model_files(tmp_path, capsys, monkeypatch):
    from tests.quant.networks import small
    from tinyvgg.cli import main
    from tinyvgg.cli._classifier import network_name
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        model = small(seed=ord(name))
        model.name = "sequential"
        model.save(tmp_path / f"my {name}.h5")
        assert main(["codegen", str(tmp_path / f"my {name}.h5"), "--out", "c", "--json"]) == 0
    written = {path.name for path in (tmp_path / "c").iterdir()}
    assert {"my_a.c", "my_b.c", "my_a_weights.c", "my_b_weights.c"} <= written
    (tmp_path / "int.h5").write_bytes(b"")
    assert network_name("int.h5") is None and network_name("light_cifar10") is None and network_name(str(tmp_path)) is None
    capsys.readouterr()


def test_a_folder_for_later_processes_is_one_s_own_and_not_believed(tmp_path, monkeypatch):
    """What lies there is compared, and a link there is not followed."""
    folder, victim = tmp_path / "cache", tmp_path / "victim"
    victim.write_text("kept")
    monkeypatch.setenv(building.SHARED, str(folder))
    building._of_process.cache_clear()
    place = building._kept({"a.h": "good"})
    assert place.parent == folder and folder.stat().st_mode & 0o077 == 0
    (place / "a.h").write_text("evil")
    assert (building._kept({"a.h": "good"}) / "a.h").read_text() == "good"
    (place / "a.h").unlink()
    (place / "a.h").symlink_to(victim)
    assert (building._kept({"a.h": "good"}) / "a.h").read_text() == "good" and victim.read_text() == "kept"
    folder.chmod(0o777)
    building._of_process.cache_clear()
    with pytest.raises(BuildError, match="to which others can write"):
        building._kept({"a.h": "good"})
    monkeypatch.setenv(building.SHARED, str(victim))
    building._of_process.cache_clear()
    with pytest.raises(BuildError, match="TINYVGG_BUILD_CACHE names"):
        building._kept({"a.h": "good"})
    building._of_process.cache_clear()
