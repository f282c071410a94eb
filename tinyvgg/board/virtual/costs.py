"""Cycles that a Cortex-M4 needs for a basic block at zero wait states: the rules of Arm's Technical Reference Manual.

Source: Arm DDI 0439 (instruction table, load/store timings), whose pairing text TI SWCU192 repeats. Modelled: load pipelining,
the address interlock, write-back, multiple transfers, refills after taken branches (P = 2 of 1..3), FPU latencies and result
use. Not modelled: operand-dependent division (7 of 2..12), pairing across blocks, bus contention. What silicon does otherwise, and the
flash behind its caches, is `flash.py`'s.
"""
from dataclasses import dataclass
from functools import lru_cache

from tinyvgg.errors import require

REFILL = 2                      # cycles to refill the pipeline after a taken branch
LINE = 16                       # bytes: the longest word that a flash gives at once
KNOWN = 1 << 14                 # blocks whose cost is kept: other boards of this process run much of the same code

_LOADS = {"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh", "vldr"}
_STORES = {"str", "strb", "strh", "vstr"}
_DOUBLES = {"ldrd", "strd"}
_MULTIPLES = {"ldm", "stm", "ldmdb", "stmdb", "push", "pop", "vldmia", "vstmia", "vldmdb", "vstmdb", "vpush", "vpop"}
_STACK = {"push", "pop", "vpush", "vpop"}
_BRANCHES = {"b", "bl", "bx", "blx"}
_COMPARE_BRANCHES = {"cbz", "cbnz"}
_FUSED = {"vmla", "vmls", "vfma", "vfms", "vfnma", "vfnms", "vnmla", "vnmls"}
_FPU = ("vadd", "vsub", "vmul", "vnmul", "vmla", "vmls", "vfma", "vfms", "vfnma", "vnmla", "vnmls", "vdiv", "vsqrt", "vcvt",
        "vcmp", "vabs", "vneg")
_LONG_MULTIPLY = {"smull", "umull", "smlal", "umlal", "smlald", "smlaldx"}
_NO_RESULT = {"cmp", "cmn", "tst", "teq", "push", "pop"}
_CONDITIONS = ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le")
_FIXED = {"sdiv": 7, "udiv": 7, "vdiv": 14, "vsqrt": 14, "tbb": 3 + REFILL, "tbh": 3 + REFILL, "mrs": 2, "msr": 2}


@dataclass(frozen=True)
class BlockCost:
    """A basic block: instructions (failed IT instructions count: the core spends a cycle on them), cycles when the closing
    conditional branch is not taken, what it costs more when it is, whether the FPU is used and an IT block begins.

    saved: cycles that silicon needs less than the manual's rules say; entry: cycles of the instructions that lie whole in the
    first word of 64 bits, and of 128. Both are for the calibrated model (flash.py).
    """
    instructions: int
    cycles: int
    taken: int
    uses_fpu: bool
    has_it: bool = False
    saved: int = 0
    entry: tuple[int, int] = (0, 0)


@lru_cache(maxsize=1)
def decoder():
    """Return a capstone decoder for Thumb-2 on an M-profile core, with operand details."""
    capstone = require("capstone", "board")
    decode = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8)
    decode.detail = True
    return decode


class _Instruction:
    """What the rules need of one decoded instruction."""

    def __init__(self, i):
        from capstone import arm
        self.name = i.mnemonic.split(".")[0]
        self.conditional = i.cc not in (arm.ARM_CC_AL, 0)
        if self.conditional and self.name.endswith(_CONDITIONS):
            self.name = self.name[:-2]
        self.registers = [o.reg for o in i.operands if o.type == arm.ARM_OP_REG]
        memory = [o.mem for o in i.operands if o.type == arm.ARM_OP_MEM]
        self.address_registers = {r for m in memory for r in (m.base, m.index)} - {0}
        self.register_offset = bool(memory and memory[0].index)
        self.writeback = i.writeback
        self.to_pc = arm.ARM_REG_PC in self.registers
        self.loads_pc = bool(self.registers) and self.registers[0] == arm.ARM_REG_PC


class _Previous:
    """Results of the instruction before, that the next may wait for."""

    load, pipelined_load, written, loaded, fpu = False, False, (), (), ()


def block_cost(code, address):
    """Return the BlockCost of the instructions in `code` (bytes) that stand at `address`."""
    return _cost(bytes(code), address % LINE)


@lru_cache(maxsize=KNOWN)
def _cost(code, address):
    """block_cost of code that begins `address` bytes behind the start of a line of flash: nothing else of its place counts."""
    instructions = cycles = taken = saved = 0
    uses_fpu = has_it = False
    before, entry = _Previous(), [0, 0]
    for raw in decoder().disasm(code, address):
        i = _Instruction(raw)
        own, taken = _cycles(i, before)
        less = _saved(i, own, before)
        if i.name.startswith(_FPU) and set(i.registers[1:]) & set(before.fpu):
            own += 1
        instructions += 1
        cycles += own
        saved += less
        for word, last in enumerate((address | 7, address | 15)):
            entry[word] += own - less if raw.address + raw.size - 1 <= last else 0
        uses_fpu |= i.name.startswith("v")
        has_it |= i.name.startswith("it") or i.conditional and i.name not in _BRANCHES
        _remember(i, before)
    return BlockCost(instructions, cycles, taken, uses_fpu, has_it, saved, tuple(entry))


def _saved(i, own, before):
    """Cycles that silicon saves where the manual is silent: with write-back, too, loads and stores pipeline behind a load."""
    if i.name in _LOADS and before.load and not i.loads_pc and not i.address_registers & set(before.loaded):
        return own - 1
    return int(i.name in _STORES and i.writeback and before.load and own == 2)


def _cycles(i, before):
    """Return (cycles, more when taken) of one instruction."""
    if i.name in _LOADS or i.name in _STORES:
        return _transfer(i, before), 0
    if i.name in _DOUBLES:
        return 3 + bool(i.address_registers & set(before.written)), 0
    if i.name in _MULTIPLES:
        count = len(i.registers) - (i.name not in _STACK)
        return 1 + count + (REFILL if i.to_pc and i.name != "push" else 0), 0
    if i.name in _COMPARE_BRANCHES or (i.name in _BRANCHES and i.conditional):
        return 1, REFILL
    if i.name in _BRANCHES:
        return 1 + REFILL, 0
    if i.name in _FUSED:
        return 3, 0
    if i.name == "vmov" and len(i.registers) == 4:
        return 2, 0
    return _FIXED.get(i.name, 1), 0


def _transfer(i, before):
    load = i.name in _LOADS
    if load and i.loads_pc:
        cycles = 3 + REFILL
    elif i.writeback:
        cycles = 2
    elif load:
        cycles = 1 if before.pipelined_load and not i.address_registers & set(before.loaded) else 2
    else:
        cycles = 2 if i.register_offset and not before.pipelined_load else 1
    pipelined = before.pipelined_load and cycles == 1
    if not pipelined and i.address_registers & set(before.written):
        cycles += 1                      # the address comes from the data processing just before
    return cycles


def _remember(i, before):
    load = i.name in _LOADS
    before.load, before.pipelined_load = load, load and not i.writeback
    before.loaded = tuple(i.registers[:1]) if load else ()
    before.fpu = tuple(i.registers[:1]) if i.name.startswith(_FPU) else ()
    before.written = ()
    if not before.pipelined_load and i.name not in _STORES and i.name not in _NO_RESULT:
        before.written = tuple(i.registers[:2 if i.name in _LONG_MULTIPLY else 1])
