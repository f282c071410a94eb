"""An independent machine: the same C under qemu-system-arm gives the bytes of the simulation and of unicorn, every layer's too."""
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ziglang")
pytest.importorskip("unicorn")
from tests.quant.networks import randomise  # noqa: E402
from tinyvgg import nn  # noqa: E402
from tinyvgg.board import Board  # noqa: E402
from tinyvgg.codegen import generate, variants, with_variants  # noqa: E402
from tinyvgg.firmware.facts import board_facts  # noqa: E402
from tinyvgg.firmware.network import build_network  # noqa: E402
from tinyvgg.nn import layers as L  # noqa: E402
from tinyvgg.quant import quantize  # noqa: E402
from tinyvgg.quant.model import QuantizedModel  # noqa: E402
from tinyvgg.quant.ops.conv2d import Conv2D  # noqa: E402

LINKER = """
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 4M  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
ENTRY(Reset_Handler)
SECTIONS { .text : { KEEP(*(.vectors)) *(.text .text.*) *(.rodata .rodata.*) . = ALIGN(8); } > FLASH
 .ARM.exidx : { *(.ARM.exidx* .ARM.extab*) } > FLASH
 .bss (NOLOAD) : { _bss_start = .; *(.data .data.* .bss .bss.* .tv_arena .tv_arena.*) *(COMMON) . = ALIGN(8); _bss_end = .; } > RAM
 _stack_top = ORIGIN(RAM) + LENGTH(RAM); }
"""
qemu = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed (Debian: qemu-system-arm)")


def network():
    """A small network in which each kind of kernel has a layer."""
    net = nn.Sequential([L.InputLayer((12, 12, 3)), L.Conv2D(8, 3, padding="same", activation="relu"), L.BatchNormalization(),
                         L.Conv2D(8, 3, padding="same", activation="relu"), L.BatchNormalization(), L.MaxPooling2D(),
                         L.Conv2D(12, 3, padding="same", activation="relu"), L.Conv2D(12, 3, activation="relu"),
                         L.Flatten(), L.Dense(7, activation="softmax")], name="qemu")
    images = np.random.default_rng(3).integers(0, 256, (2, 12, 12, 3), dtype=np.uint8)
    model = quantize(randomise(net, np.random.default_rng(4), dead=0), images)
    convolutions = [op for op in model.graph.ops if isinstance(op, Conv2D)]
    wanted = ("winograd4", "winograd2", "direct16", "winograd4_ram")
    taken = {op.name: v if v in variants(op, model.graph[op.inputs[0]].shape) else "direct" for op, v in zip(convolutions, wanted, strict=True)}
    assert len(set(taken.values())) > 2
    return QuantizedModel(with_variants(model.graph, taken)), images


def run_qemu(model, images, folder):
    """Return (logits, hash of every layer's output, the Program) of the network's C under QEMU."""
    program = generate(model, folder, name="net")
    numbers = ",".join(map(str, images.reshape(-1)))
    (folder / "inputs.h").write_text(f"#define N_IMAGES {len(images)}u\nstatic const uint8_t inputs[] = {{{numbers}}};\n")
    (folder / "qemu.ld").write_text(LINKER)
    facts = board_facts("stm32l4r9i-disco")
    include = facts.sources.parent.parent / "include"
    here = Path(__file__).parent
    command = [sys.executable, "-m", "ziglang", "cc", *facts.zig, "-O2", "-fhosted", "-fno-sanitize=all", "-g0", "-std=gnu99",
               "-fno-unwind-tables", "-fno-asynchronous-unwind-tables", "-DTV_SECTIONS", f"-I{folder}", f"-I{include}", "-T",
               str(folder / "qemu.ld"), "-Wl,-e,Reset_Handler", str(here / "qemu.c"), *map(str, sorted(folder.glob("*.c"))), "-o",
               str(folder / "net.elf")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    done = subprocess.run(["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none",
                           "-semihosting-config", "enable=on,target=native", "-kernel", str(folder / "net.elf")],
                          capture_output=True, text=True, timeout=120, check=True)
    lines = [line.split() for line in (done.stdout or done.stderr).splitlines() if line.split()]
    return np.array(lines[:-1], np.int64), int(lines[-1][0]) & 0xFFFFFFFF, program


def layers_hash(model, program, images):
    """FNV-1a of every layer's output bytes as the simulation has them, image by image."""
    value = 2166136261
    for image in images:
        outputs = model.trace(image[None])
        for op in (op for op in program.layers if op is not program.softmax):
            for byte in outputs[op.name].astype("<i2" if op.name == model.graph.logits.name else "u1").tobytes():
                value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


@qemu
def test_another_machine_gives_the_same_bytes(tmp_path):
    model, images = network()
    (tmp_path / "c").mkdir()
    logits, found, program = run_qemu(model, images, tmp_path / "c")
    assert np.array_equal(logits, model.integer_logits(images))
    image = build_network(model, tmp_path, name="net").image
    with Board(f"virtual:{image.elf}") as board:
        assert np.array_equal(board.infer(images).raw, logits)
    assert found == layers_hash(model, program, images)
