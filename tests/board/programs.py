"""Small assembly programs for the virtual board, linked at the board's addresses without the firmware base."""
import subprocess

from tinyvgg.firmware.build import find_compiler
from tinyvgg.firmware.image import board_facts

_FRAME = """
    .syntax unified
    .thumb
    .section .vectors, "a"
    .word 0x20001000
    .word Reset_Handler
    .text
    .global Reset_Handler
    .type Reset_Handler, %function
    .thumb_func
Reset_Handler:
{body}
    .size Reset_Handler, . - Reset_Handler
{rest}
"""
_SCRIPT = """
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 2048K  RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 640K }
SECTIONS { .vectors : { KEEP(*(.vectors)) } > FLASH  .text : { *(.text*) } > FLASH  /DISCARD/ : { *(.ARM*) } }
"""


def assemble(folder, body, rest="", name="program"):
    """Write NAME.elf of a program whose reset handler is `body` (it ends in BKPT) and return its path."""
    source, script, elf = folder / f"{name}.s", folder / "program.ld", folder / f"{name}.elf"
    source.write_text(_FRAME.format(body=body, rest=rest))
    script.write_text(_SCRIPT)
    kind, command = find_compiler("auto")
    facts = board_facts("stm32l4r9i-disco")
    flags = facts.zig if kind == "zig" else [*facts.gcc, "-nostdlib"]
    subprocess.run([*command, *flags, "-T", str(script), "-Wl,-e,Reset_Handler", str(source), "-o", str(elf)], check=True,
                   capture_output=True, cwd=folder)
    return elf


class InstructionCounter:
    """An independent count: a hook on every instruction, which does not see what an IT block skips; that is worked out here."""

    def __init__(self, machine):
        from unicorn import UC_HOOK_CODE
        self.executed = self.skipped = 0
        self._machine, self._it = machine, []
        machine.engine.hook_add(UC_HOOK_CODE, self._count)

    @property
    def total(self):
        """Executed and skipped instructions."""
        return self.executed + self.skipped + len(self._it)

    def _count(self, engine, address, size, _):
        self.executed += 1
        while self._it:
            expected = self._it.pop(0)
            if expected == address:
                break
            self.skipped += 1
        code = int.from_bytes(engine.mem_read(address, 2), "little")
        if code >> 8 == 0xBF and code & 15:                      # IT: as many instructions as the mask's lowest one says
            at = address + 2
            for _ in range(4 - (code & -code & 15).bit_length() + 1):
                self._it.append(at)
                at += 4 if int.from_bytes(engine.mem_read(at, 2), "little") >> 11 in (0b11101, 0b11110, 0b11111) else 2
