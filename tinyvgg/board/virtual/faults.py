"""What can go wrong on the core, named with address and function; and what the core does then."""
import struct
from dataclasses import dataclass

from tinyvgg.board.virtual.costs import decoder
from tinyvgg.board.virtual.map import BFAR, CCR, CFSR, HFSR, MMFAR, SHCSR

# Numbers of UC_HOOK_INTR (QEMU's EXCP_*) that are mistakes of a program: name, sentence.
DIRECT_EXCEPTIONS = {1: ("usage fault", "an undefined instruction"),
                     2: ("exception", "an SVC instruction, for which there is no kernel"),
                     7: ("debug", "a breakpoint instruction"), 18: ("usage fault", "the FPU is used while it is off"),
                     17: ("usage fault", "a state that the core cannot have")}
_ALIGNED = ("ldrd", "strd", "ldm", "stm", "ldmdb", "stmdb", "vldr", "vstr", "vldmia", "vstmia", "ldrex", "strex")
_PRECISE, _FETCH, _STACKING = 0x8200, 0x100, 0x1000      # bits of CFSR
_UNDEFINED, _NO_FPU, _UNALIGNED, _DIVISION = 1 << 16, 1 << 19, 1 << 24, 1 << 25
_EXCEPTION = {"memory fault": 4, "bus fault": 5, "usage fault": 6}


@dataclass(frozen=True)
class Fault:
    """A fault: its kind, a sentence, the address that was meant, the program counter, the function it lies in, the CFSR bits."""
    kind: str
    what: str
    address: int
    pc: int
    function: str | None
    status: int = 0

    def __str__(self):
        return f"{self.kind}: {self.what}, in {self.function or 'no known function'} (pc {self.pc & ~1:#010x})"


def _pc(machine):
    return machine.engine.reg_read(machine.unicorn.arm_const.UC_ARM_REG_PC)


def invalid_access(machine, access, address, size, value):
    """Return the Fault of a read, write or fetch that the memory map forbids."""
    u = machine.unicorn.unicorn_const
    pc = _pc(machine)
    function = machine.elf.function_at(pc)
    if access in (u.UC_MEM_FETCH_UNMAPPED, u.UC_MEM_FETCH_PROT):
        caller = machine.engine.reg_read(machine.unicorn.arm_const.UC_ARM_REG_LR)
        return Fault("bus fault", f"a jump to {address:#010x}, where no code is", address, address,
                     f"a call before {caller & ~1:#010x} in {machine.elf.function_at(caller - 2)}", _FETCH)
    if access in (u.UC_MEM_WRITE_UNMAPPED, u.UC_MEM_WRITE_PROT):
        in_flash = machine.memory.flash.holds(address)
        where = "in flash, which stores cannot change" if in_flash else _nowhere(address, machine.memory.ram)
        stored = value & (1 << 8 * size) - 1
        what = f"a {size}-byte store of {stored:#x} to {address:#010x}, {where}"
        return Fault("bus fault", what, address, pc, function, _PRECISE)
    return Fault("bus fault", f"a {size}-byte load from {address:#010x}, {_nowhere(address, machine.memory.ram)}",
                 address, pc, function, _PRECISE)


def _nowhere(address, ram):
    if address < 0x1000:
        return "a null pointer"
    if ram.base - 0x4000 <= address < ram.base:
        return "below the RAM: a stack overflow"
    return "where nothing is"


def fpu_off(machine, address):
    """Return the Fault of an FPU instruction in the block at `address` while CPACR keeps the FPU off."""
    function = machine.elf.function_at(address)
    return Fault("usage fault", "the FPU is used while CPACR keeps it off", address, address, function, _NO_FPU)


def invalid_instruction(machine, error):
    """Return the Fault behind a UcError that no memory access explains."""
    pc = _pc(machine)
    return Fault("usage fault", f"an undefined instruction ({error})", pc, pc, machine.elf.function_at(pc), _UNDEFINED)


def deliver(machine):
    """Enter the firmware's handler for machine.fault as the core does: push the frame, set the status, take the vector.

    Return False where it has no handler or no stack: the fault stays. Frames are the basic ones of 8 words.
    """
    fault, engine, arm = machine.fault, machine.engine, machine.unicorn.arm_const
    number = _EXCEPTION.get(fault.kind)
    if number is None or machine.engine.reg_read(machine.unicorn.arm_const.UC_ARM_REG_IPSR):
        return False
    registers = machine.peripherals.registers
    enabled = registers.get(SHCSR, 0) >> {4: 16, 5: 17, 6: 18}[number] & 1
    if not enabled:
        registers[HFSR] = registers.get(HFSR, 0) | 1 << 30
        number = 3
    registers[CFSR] = registers.get(CFSR, 0) | fault.status
    registers[BFAR if fault.kind == "bus fault" else MMFAR] = fault.address & 0xFFFFFFFF
    sp = engine.reg_read(arm.UC_ARM_REG_SP) - 32 & ~7
    names = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3, arm.UC_ARM_REG_R12, arm.UC_ARM_REG_LR)
    frame = struct.pack("<8I", *(engine.reg_read(n) for n in names), fault.pc & ~1, 0x01000000)
    if machine.memory.ram.holds(sp, 32):
        machine.write(sp, frame)
    else:                                        # a stack that has left the RAM gets no frame
        registers[CFSR] |= _STACKING
    handler = struct.unpack("<I", machine.read(machine.memory.flash.base + 4 * number, 4))[0]
    if not machine.memory.flash.holds(handler & ~1, 2):
        return False
    engine.reg_write(arm.UC_ARM_REG_SP, sp)
    engine.reg_write(arm.UC_ARM_REG_LR, 0xFFFFFFF9)
    engine.reg_write(arm.UC_ARM_REG_IPSR, number)
    machine.jump(handler)
    return True


def watch_alignment(machine):
    """Check, before each LDRD, STRD, LDM, STM, VLDR and the like, that its address is a multiple of 4, and divisors.

    Hooks stand on those instructions only, found by disassembling every function of the symbol table.
    """
    code_hook = machine.unicorn.UC_HOOK_CODE
    for symbol in machine.elf.every_symbol:
        if not symbol.is_function:
            continue
        for i in decoder().disasm(_code(machine, symbol), symbol.address):
            name = i.mnemonic.split(".")[0]
            if name in ("sdiv", "udiv"):
                machine.engine.hook_add(code_hook, _check_divisor, (machine, i.operands[-1].reg), i.address, i.address)
            elif name in _ALIGNED:
                machine.engine.hook_add(code_hook, _check_address, (machine, name, _base_and_offset(i)), i.address, i.address)


def _code(machine, symbol):
    """Bytes of a function where it runs: in flash, or copied from there at the start."""
    for segment in machine.elf.segments:
        at = symbol.address - segment.address
        if 0 <= at and at + symbol.size <= len(segment.data):
            return segment.data[at:at + symbol.size]
    return b""


def _base_and_offset(i):
    from capstone import arm
    memory = [o.mem for o in i.operands if o.type == arm.ARM_OP_MEM]
    if memory:
        return memory[0].base, memory[0].disp
    return i.operands[0].reg, 0                  # LDM and its kin


def _register(machine, capstone_number):
    arm = machine.unicorn.arm_const
    name = decoder().reg_name(capstone_number).upper()
    return machine.engine.reg_read(getattr(arm, f"UC_ARM_REG_{name}"))


def _check_address(engine, pc, size, data):
    machine, name, (base, offset) = data
    if decoder().reg_name(base) == "pc":
        return
    address = _register(machine, base) + offset & 0xFFFFFFFF
    if address % 4:
        what = f"an unaligned {name.upper()} at {address:#010x}; it needs a multiple of 4"
        machine.halt(Fault("usage fault", what, address, pc, machine.elf.function_at(pc), _UNALIGNED))


def _check_divisor(engine, pc, size, data):
    machine, register = data
    if machine.peripherals.registers.get(CCR, 0) & 0x10 and _register(machine, register) == 0:
        machine.halt(Fault("usage fault", "a division by zero", pc, pc, machine.elf.function_at(pc), _DIVISION))
