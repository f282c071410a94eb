"""A virtual STM32L4R9: unicorn's Cortex-M4 with the part's memories, registers, exact instruction counts and modelled cycles.

    machine = Machine("demo.elf")
    machine.send(b"\\xab\\xab")
    machine.run(seconds=0.1)
    machine.receive()                           # b"\\xcd\\x00"
    machine.instructions, machine.cycles, machine.profile()
"""
import ctypes
import struct
from dataclasses import dataclass, replace

import numpy as np

from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.costs import block_cost, decoder
from tinyvgg.board.virtual.engine import Engine
from tinyvgg.board.virtual.faults import (
    DIRECT_EXCEPTIONS,
    Fault,
    deliver,
    fpu_off,
    invalid_access,
    invalid_instruction,
    watch_alignment,
)
from tinyvgg.board.virtual.flash import block_word, choose_model
from tinyvgg.board.virtual.lenient import Lenient
from tinyvgg.board.virtual.line import Line
from tinyvgg.board.virtual.map import memory_of
from tinyvgg.board.virtual.peripherals import Peripherals
from tinyvgg.board.virtual.selftest import check_emulator
from tinyvgg.errors import DeviceError, LinkError, OptionError, require
from tinyvgg.firmware.facts import board_facts, parse_facts
from tinyvgg.firmware.image import check_fits
from tinyvgg.firmware.raw import Raw, open_image

DEFAULT_BOARD = "stm32l4r9i-disco"
_NO_LIMIT = (1 << 63) - 1
_SLICE = 60_000_000                              # cycles between looks at the keyboard


@dataclass(frozen=True)
class FunctionProfile:
    """Work of one function without the functions it calls: exact instructions and modelled cycles (without stalls)."""
    name: str
    instructions: int
    cycles: int


class Machine:
    """Run a firmware: the path of an ELF, .bin or .hex. board: name or folder of the board; None: the board for which the ELF was
    built. timed: the UART takes as long as the baud rate says and loses bytes that are not read in time; else it is as fast as
    possible. strict: check the alignment of LDRD, STRD, LDM and STM, and division by zero if SCB_CCR asks for it (slower).
    halt_on_fault: stop with `fault` set; otherwise the firmware's fault handlers run, as on a real chip. flash_model:
    "calibrated" (flash.py), or "none" for zero wait states. two_banks: the option byte DBANK. lenient: registers as in
    lenient.py, for other people's firmware; None: only for a .bin or .hex. Raises FormatError and BuildError for files that are
    not for this board, DeviceError if the emulator fails its self-test, MissingExtra without unicorn and capstone.
    """

    def __init__(self, path, *, board=None, timed=False, strict=False, halt_on_fault=True, flash_model="calibrated", two_banks=True,
                 lenient=None):
        self.unicorn = require("unicorn", "board")
        decoder()
        self.elf = path if isinstance(path, Raw) else open_image(path)
        self.facts = _facts(self.elf, board)
        check_fits(self.elf, self.facts)
        if not isinstance(path, Raw):
            check_emulator(Machine)
        self.memory = memory_of(self.facts)
        self.facts.check_bank(two_banks)
        self.halt_on_fault = halt_on_fault
        self.lenient = isinstance(self.elf, Raw) and self.elf is not path if lenient is None else lenient
        self.fault, self.resets = None, 0
        self.state = np.zeros(hooks.STATE_WORDS, np.uint64)      # shared with the native hooks
        self.state[hooks.TIMED] = timed
        self.state[hooks.LIMIT] = _NO_LIMIT
        self._retired = {}                       # address: [instructions, cycles] of blocks that were overwritten
        self._blocks = {}                        # slot: (address, bytes) of the block that is decoded there
        self.wants_reset = False
        self._error = None                       # what a callback of the native hooks raised
        self.flash_model = choose_model(flash_model, self.facts.family, two_banks)
        self._engine = Engine(self.unicorn, self.memory)
        self._prepare_state()
        self._count()
        if self.flash_model:
            self.flash_model.install(self)
        self._attach_registers(two_banks)
        self.power_on()
        if strict:
            watch_alignment(self)

    # --- set-up ----------------------------------------------------------------------------------------------------
    @property
    def engine(self):
        """unicorn's Uc; DeviceError once the machine is closed."""
        if self._engine.uc is None:
            raise DeviceError("the virtual board is closed")
        return self._engine.uc

    @property
    def flash(self):
        """The flash's bytes, a uint8 array shared with the emulator."""
        return self._engine.flash

    def close(self):
        """Free the emulator's memory; the counters remain."""
        self._engine.close()
        self._callbacks = []

    def _prepare_state(self):
        """Give the native hooks what they cannot know: addresses of functions, the UART's place."""
        from unicorn.unicorn_py3.unicorn import uclib
        state, uart = self.state, self.facts.uart
        self._callbacks = [hooks.SLOW_CALL(self._guarded(f)) for f in (self._decode, self._slow_read, self._slow_write)]
        for word, callback in zip((hooks.DECODE, hooks.SLOW_READ, hooks.SLOW_WRITE), self._callbacks, strict=True):
            state[word] = ctypes.cast(callback, ctypes.c_void_p).value
        for word, function in ((hooks.STOP, uclib.uc_emu_stop), (hooks.REG_READ, uclib.uc_reg_read), (hooks.REG_WRITE, uclib.uc_reg_write)):
            state[word] = ctypes.cast(function, ctypes.c_void_p).value
        state[hooks.ENGINE] = self.engine._uch.value
        state[hooks.XPSR_NUMBER] = self.unicorn.arm_const.UC_ARM_REG_XPSR
        state[hooks.XPSR_AT] = state.ctypes.data + 8 * int(hooks.XPSR)
        state[hooks.PAGE], state[hooks.UART_AT] = uart["base"] & ~0xFFF, uart["base"] & 0xFFF
        state[hooks.BRR_SHIFT] = 8 if uart["kind"] == "lpuart" else 0
        state[hooks.CR1_MASK] = 0xFFFFFFFF if uart["fifo"] else 0xDFFFFFFF

    def _count(self):
        """Register the hook that counts. It goes to the C library by address: no Python stands between it and the engine."""
        self.count_hook = self.add_native_hook(self.unicorn.UC_HOOK_BLOCK, hooks.on_block, ctypes.c_void_p(self.state.ctypes.data))
        self.engine.hook_add(self.unicorn.UC_HOOK_INTR, self._on_interrupt)
        self.engine.hook_add(self.unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)

    def _attach_registers(self, two_banks):
        """Map the pages of registers: the counter and the UART to native code, the rest to Python."""
        def flash_control(value):
            if self.flash_model:
                self.flash_model.configure(value)

        arguments = (self.state, self.facts, two_banks, self.wrong, self._request_reset, flash_control)
        native = {0xE0001000: (hooks.dwt_read, hooks.dwt_write)}
        if self.lenient:
            self.peripherals = self.line = Lenient(self, *arguments)
        else:
            self.peripherals = Peripherals(*arguments)
            self.line = Line(self.state, lambda: self.clock_hz, self._now)
            native[self.facts.uart["base"] & ~0xFFF] = (hooks.usart_read, hooks.usart_write)
        from unicorn.unicorn_py3.unicorn import uclib
        state = ctypes.c_void_p(self.state.ctypes.data)
        for base, (read, write) in native.items():
            status = uclib.uc_mmio_map(self.engine._uch, base, 0x1000, ctypes.c_void_p(read.address), state,
                                       ctypes.c_void_p(write.address), state)
            if status:
                raise LinkError(f"the emulator refused a register page (unicorn status {status})")
        for first, size in ((0x40000000, 0x30000), (0x48000000, 0x3000), (0xE0000000, 0x100000)):
            for base, length in _around(first, size, native):
                self.engine.mmio_map(base, length, lambda engine, offset, size, base: self.peripherals.read(base + offset, size), base,
                                     lambda engine, offset, size, value, base: self.peripherals.write(base + offset, size, value), base)

    def add_native_hook(self, kind, function, state, begin=1, end=0):
        """Register a Numba cfunc as a unicorn hook with `state` (a pointer) as its argument; return its handle."""
        from unicorn.unicorn_py3.unicorn import uclib
        handle = ctypes.c_size_t()
        status = uclib.uc_hook_add(self.engine._uch, ctypes.byref(handle), ctypes.c_int(kind), ctypes.c_void_p(function.address),
                                   state, ctypes.c_uint64(begin), ctypes.c_uint64(end))
        if status:
            raise LinkError(f"the emulator refused a hook (unicorn status {status})")
        return handle

    # --- callbacks ---------------------------------------------------------------------------------------------------
    def _guarded(self, callback):
        """ctypes would print what a callback raises and go on with 0: keep it, and stop; `_emulate` raises it."""
        def call(*arguments):
            try:
                return callback(*arguments)
            except BaseException as error:               # Ctrl-C too
                self._error = error
                self.engine.emu_stop()
                return 0
        return call

    def _emulate(self, start, until):
        """Run the engine; an exception of a callback goes on from here, one of the engine becomes a fault."""
        try:
            self.engine.emu_start(start, until)
        except self.unicorn.UcError as error:
            self.fault = self.fault or invalid_instruction(self, error)
        if self._error:
            error, self._error = self._error, None
            raise error

    def _decode(self, address, size, slot):
        """A block runs for the first time, or its code has changed: work out its cost."""
        self._retire(slot)
        code = bytes(self.engine.mem_read(address, size))
        cost = block_cost(code, address)
        if cost.uses_fpu and not self.peripherals.fpu_on:
            self.halt(fpu_off(self, address))
        self._blocks[slot] = (address, code)
        it = hooks.HAS_IT if cost.has_it else 0
        self.state[int(hooks.COST_AT) + slot] = size | it | cost.instructions << 16 | cost.cycles << 32 | cost.taken << 56
        self.state[int(hooks.FETCH_AT) + slot] = block_word(cost, size)
        return 0

    def _retire(self, slot):
        if slot in self._blocks:
            address, instructions, cycles = self._block_totals(slot)
            total = self._retired.setdefault(address, [0, 0])
            total[0] += instructions
            total[1] += cycles
            self.state[int(hooks.VISITS_AT) + slot] = self.state[int(hooks.TAKEN_AT) + slot] = 0

    def _slow_read(self, address, size, _):
        return self.peripherals.read(address, size)

    def _slow_write(self, address, size, value):
        self.peripherals.write(address, size, value)
        return 0

    def _on_interrupt(self, engine, number, _):
        pc = engine.reg_read(self.unicorn.arm_const.UC_ARM_REG_PC)
        self.halt(Fault(*DIRECT_EXCEPTIONS.get(number, ("fault", f"exception {number} of the emulator")), pc, pc,
                         self.elf.function_at(pc)))

    def _on_invalid(self, engine, access, address, size, value, _):
        self.halt(invalid_access(self, access, address, size, value))
        return False

    def halt(self, fault):
        """Stop with `fault` (the first one stays)."""
        if self.fault is None:
            self.fault = fault
        self.engine.emu_stop()

    def wrong(self, text):
        """Halt with a fault that a real chip would not report: an access that it silently ignores."""
        block = self._blocks.get(int(self.state[hooks.INDEX]), (0, b""))[0]
        if self.fault is None:
            self.fault = Fault("wrong access", text, 0, block, self.elf.function_at(block))
        self.state[hooks.LIMIT] = 0                     # stop when this block has ended

    def _request_reset(self):
        self.wants_reset = True
        self.state[hooks.LIMIT] = 0

    # --- power -------------------------------------------------------------------------------------------------------
    def power_on(self):
        """Program the flash from the ELF, and reset."""
        self.flash[:] = 0xFF
        for segment in self.elf.segments:
            if self.memory.flash.holds(segment.load, len(segment.data)):
                at = segment.load - self.memory.flash.base
                self.flash[at:at + len(segment.data)] = np.frombuffer(segment.data, np.uint8)
        self.reset()

    def reset(self):
        """A system reset: registers as after a reset, RAM unchanged, the core at its reset vector. Counters continue."""
        state = self.state
        for word in hooks.CLEARED_BY_RESET:
            state[word] = 0
        self.line.clear()
        self.peripherals.restart()
        self.fault, self.wants_reset = None, False
        arm = self.unicorn.arm_const
        stack, entry = struct.unpack("<II", self.flash[:8].tobytes())
        for register in range(13):
            self.engine.reg_write(arm.UC_ARM_REG_R0 + register, 0)
        self.engine.reg_write(arm.UC_ARM_REG_LR, 0xFFFFFFFF)
        self.engine.reg_write(arm.UC_ARM_REG_IPSR, 0)
        self.engine.reg_write(arm.UC_ARM_REG_SP, stack)
        self._pc = entry | 1

    # --- running -----------------------------------------------------------------------------------------------------
    def run(self, seconds=1.0):
        """Run for at most `seconds` of simulated time; return "idle" (the firmware polls an empty line), "time", "sent" or
        "fault"."""
        end = self._now() + int(seconds * self.facts.clock_hz)
        self.state[hooks.POLLS] = 0
        while True:
            if self.fault:
                return "fault"
            self.line.fill()
            reason = self._run_slice(min(end, self._now() + _SLICE))
            if self.fault:
                self._uncount(self.fault.pc & ~1)
            if self.wants_reset:
                self.resets += 1
                self.reset()
            elif self.fault and not self.halt_on_fault and deliver(self):
                self.fault = None
            elif self.fault:
                return "fault"
            elif reason == hooks.SENT_MUCH:
                return "sent"
            elif reason == hooks.IDLE and not self.line.waiting:
                return "idle"
            elif self._now() >= end:
                return "time"

    def _run_slice(self, limit):
        if self.lenient:
            return self.peripherals.run_slice(limit)
        return self.emulate_until(limit)

    def emulate_until(self, limit, stop=0xFFFFFFFE):
        """Continue until core cycle `limit`, the address `stop` or another reason; return the reason."""
        state = self.state
        state[hooks.LIMIT], state[hooks.REASON] = limit, 0
        self._emulate(self._pc, stop)
        self._pc = self.engine.reg_read(self.unicorn.arm_const.UC_ARM_REG_PC) | 1
        return int(state[hooks.REASON])

    def _uncount(self, pc):
        """The block that faulted at `pc` was counted whole: take back what did not run."""
        address, code = self._blocks.get(int(self.state[hooks.INDEX]), (0, b""))
        if not address <= pc < address + len(code) or self.fault.kind == "wrong access":
            return
        whole, done = block_cost(code, address), block_cost(code[:pc - address], address)
        instructions, cycles = whole.instructions - done.instructions, whole.cycles - done.cycles
        self.state[hooks.INSTRUCTIONS] -= np.uint64(instructions)
        self.state[hooks.CYCLES] -= np.uint64(cycles)
        total = self._retired.setdefault(address, [0, 0])
        total[0] -= instructions
        total[1] -= cycles

    @property
    def pc(self):
        """The address where the next run continues."""
        return self._pc & ~1

    def jump(self, address):
        """Let the next run continue at `address`."""
        self._pc = address | 1

    def call(self, function, *arguments):
        """Call a C function of the firmware with up to four words, independently of the board's current work; return r0. The
        counters include it. Raises DeviceError if it faults.
        """
        arm, back = self.unicorn.arm_const, self.memory.flash.base          # no code stands there: the return ends the run
        registers = [arm.UC_ARM_REG_R0 + i for i in range(13)] + [arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR]
        saved = [self.engine.reg_read(r) for r in registers]
        for i, word in enumerate(arguments):
            self.engine.reg_write(arm.UC_ARM_REG_R0 + i, word & 0xFFFFFFFF)
        self.engine.reg_write(arm.UC_ARM_REG_LR, back | 1)
        self.state[hooks.LIMIT] = _NO_LIMIT
        self._emulate(self.elf.symbols[function].address | 1, back)
        if self.fault:
            raise DeviceError(f"{function} stopped with a {self.fault}")
        result = self.engine.reg_read(arm.UC_ARM_REG_R0)
        for register, value in zip(registers, saved, strict=True):
            self.engine.reg_write(register, value)
        return result

    def advance(self, seconds):
        """Let simulated time pass without running, because the firmware waits."""
        self.state[hooks.WARP] += np.uint64(int(seconds * self.facts.clock_hz))

    # --- the line ----------------------------------------------------------------------------------------------------
    def send(self, data, baud=None):
        """Put bytes on the wire to the board's UART. If `baud` differs by more than 3 % from the device's, other bytes arrive."""
        self.line.send(data, baud)

    def receive(self, baud=None):
        """Take the bytes that have come out of the board's UART, read at `baud` (None: the right one)."""
        return self.line.receive(baud)

    # --- looking inside ------------------------------------------------------------------------------------------------
    @property
    def instructions(self):
        """Exact number of instructions since power-on; those skipped in an IT block count."""
        return int(self.state[hooks.INSTRUCTIONS])

    @property
    def cycles(self):
        """Modelled core cycles since power-on, including the flash model's; waiting for the host is not counted."""
        return self.zero_wait_cycles + self.stalls

    @property
    def zero_wait_cycles(self):
        """Modelled core cycles since power-on by the manual's rules, at zero wait states."""
        return int(self.state[hooks.CYCLES])

    @property
    def stalls(self):
        """Cycles that the flash model has added so far."""
        return hooks.signed(self.state[hooks.STALLS])

    @property
    def error_percent(self):
        """Error in per cent of a modelled time, None if nothing with such settings was measured, or without a flash model."""
        return self.flash_model.error_percent if self.flash_model else None

    @property
    def seconds(self):
        """Simulated time since power-on, waiting included. All cycles count with the board's clock, also the few before the PLL
        runs."""
        return self._now() / self.facts.clock_hz

    @property
    def clock_hz(self):
        """Core clock as the firmware has set it."""
        return self.peripherals.clock_hz

    @property
    def overruns(self):
        """Received bytes lost because nobody read them (timed line only)."""
        return int(self.state[hooks.OVERRUNS])

    def _now(self):
        return hooks.now(self.state)

    def read(self, address, count):
        """Return `count` bytes of flash or RAM."""
        array, at = self._engine.place(address, count)
        return array[at:at + count].tobytes()

    def write(self, address, data):
        """Change bytes of flash or RAM from outside, as a debugger or a laser would; translated code is discarded."""
        self.write_data(address, data)
        self.engine.ctl_flush_tb()
        self.state[int(hooks.COST_AT):int(hooks.VISITS_AT)] &= ~np.uint64(0xFFFF)       # decode again at the next visit

    def write_data(self, address, data):
        """Change bytes that are not code."""
        array, at = self._engine.place(address, len(data))
        array[at:at + len(data)] = np.frombuffer(bytes(data), np.uint8)

    def profile(self):
        """Return [FunctionProfile], most cycles first; their sums are `instructions` and `cycles` (without stalls)."""
        totals = {}
        rows = [(a, i, c) for a, (i, c) in self._retired.items()] + [self._block_totals(slot) for slot in self._blocks]
        for address, instructions, cycles in rows:
            entry = totals.setdefault(self.elf.function_at(address) or f"{address:#010x}", [0, 0])
            entry[0] += instructions
            entry[1] += cycles
        found = [FunctionProfile(name, *values) for name, values in totals.items() if values[0]]
        return sorted(found, key=lambda p: (-p.cycles, p.name))

    def reset_profile(self):
        """Restart the profile; the counters continue."""
        self._retired.clear()
        self.state[int(hooks.VISITS_AT):int(hooks.FETCH_AT)] = 0

    def _block_totals(self, slot):
        s = self.state
        cost, visits, taken = (int(s[int(base) + slot]) for base in (hooks.COST_AT, hooks.VISITS_AT, hooks.TAKEN_AT))
        return self._blocks[slot][0], visits * (cost >> 16 & 0xFFFF), visits * (cost >> 32 & 0xFFFFFF) + taken * (cost >> 56)


def _facts(image, board):
    """BoardFacts of an image: what it says itself; `board` must agree, or stands where it says nothing."""
    own = parse_facts(image.board_text, f"{image.path}, its board") if image.board_text else None
    given = None if board is None else board_facts(board)
    if own and given and own.name != given.name:
        raise OptionError(f"{image.path} was built for {own.name} ({own.part}), not for {given.name}", f"--board {own.name}")
    if own and given and replace(given, folder=own.folder) != own:
        raise OptionError(f"{image.path} was built for another {own.name} than {given.folder} says now", "build it again, or leave --board out")
    return own or given or board_facts(DEFAULT_BOARD)


def _around(first, size, holes):
    """(base, length) of the parts of a range that are in none of the pages `holes`."""
    at, end = first, first + size
    for hole in sorted(h for h in holes if first <= h < end):
        if hole > at:
            yield at, hole - at
        at = hole + 0x1000
    if end > at:
        yield at, end - at

