"""A virtual STM32L4R9: unicorn's Cortex-M4 with the part's memories, registers, exact instruction counts and modelled cycles.

    machine = Machine("demo.elf")
    machine.send(b"\\xab\\xab")
    machine.run(seconds=0.1)
    machine.receive()                           # b"\\xcd\\x00"
    machine.instructions, machine.cycles, machine.profile()
"""
import ctypes
import mmap
import struct
from dataclasses import dataclass

import numpy as np

from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.costs import block_cost, decoder
from tinyvgg.board.virtual.faults import (
    DIRECT_EXCEPTIONS,
    Fault,
    deliver,
    fpu_off,
    invalid_access,
    invalid_instruction,
    watch_alignment,
)
from tinyvgg.board.virtual.map import FLASH, MEMORIES, RAM, SRAM2, SRAM2_IN_RAM
from tinyvgg.board.virtual.peripherals import Peripherals
from tinyvgg.errors import DeviceError, LinkError, require
from tinyvgg.firmware.elf import Elf
from tinyvgg.firmware.image import board_facts, check_fits

CORE_HZ = 120_000_000                           # of simulated time
_NO_LIMIT = (1 << 63) - 1
_SLICE = 60_000_000                              # cycles between looks at the keyboard


@dataclass(frozen=True)
class FunctionProfile:
    """Work done inside one function, callees apart: exact instructions and modelled cycles (stalls apart)."""
    name: str
    instructions: int
    cycles: int


class Machine:
    """Run an ELF (path). timed: the UART keeps the baud rate's time and loses what nobody reads; else it is as fast as it goes.

    strict: check the alignment that LDRD, STRD, LDM and STM need, and division by zero, where SCB_CCR asks for it (slower).
    halt_on_fault: stop with `fault` set; otherwise the firmware's fault handlers run, as on silicon.
    wait_states: a flash.WaitStates model, or None for zero wait states.
    Raises FormatError and BuildError for files that are not for this board, MissingExtra without unicorn and capstone.
    """

    def __init__(self, path, *, timed=False, strict=False, halt_on_fault=True, wait_states=None):
        self._unicorn = require("unicorn", "board")
        decoder()
        self.elf = Elf(path)
        check_fits(self.elf, board_facts("stm32l4r9i-disco"))
        self.halt_on_fault = halt_on_fault
        self.fault, self.resets = None, 0
        self.state = np.zeros(hooks.STATE_WORDS, np.uint64)      # shared with the native hooks
        self.state[hooks.TIMED] = timed
        self.state[hooks.LIMIT] = _NO_LIMIT
        self._retired = {}                       # address: [instructions, cycles] of blocks that were overwritten
        self._blocks = {}                        # slot: (address, bytes) of the block that is decoded there
        self._unsent = bytearray()
        self._arrival = 0
        self._wants_reset = False
        self._error = None                       # what a callback of the native hooks raised
        self.peripherals = Peripherals(self.state, self.wrong, self._request_reset)
        self._map_memory()
        self._install()
        self.wait_states = wait_states
        if wait_states:
            wait_states.install(self)
        self.power_on()
        if strict:
            watch_alignment(self)

    # --- set-up ----------------------------------------------------------------------------------------------------
    def _map_memory(self):
        u = self._unicorn
        self.engine = u.Uc(u.UC_ARCH_ARM, u.UC_MODE_THUMB | u.UC_MODE_MCLASS)
        self.engine.ctl_set_cpu_model(u.arm_const.UC_CPU_ARM_CORTEX_M4)
        # Shared with the emulator: what the host writes here, the firmware reads (and the alias is one memory at two addresses).
        self._buffers = [mmap.mmap(-1, FLASH.size), mmap.mmap(-1, RAM.size)]
        self.flash, self.ram = (np.frombuffer(b, np.uint8) for b in self._buffers)
        everything, read_execute = u.UC_PROT_ALL, u.UC_PROT_READ | u.UC_PROT_EXEC
        for region, array, start, rights in ((FLASH, self.flash, 0, read_execute), (RAM, self.ram, 0, everything),
                                             (SRAM2, self.ram, SRAM2_IN_RAM, everything)):
            self.engine.mem_map_ptr(region.base, region.size, rights, ctypes.c_void_p(array.ctypes.data + start))

    def _install(self):
        """Register the hooks. The native ones go to the C library by address: no Python stands between them and the engine."""
        from unicorn.unicorn_py3.unicorn import uclib
        u, state = self._unicorn, ctypes.c_void_p(self.state.ctypes.data)
        self._callbacks = [hooks.SLOW_CALL(self._guarded(f)) for f in (self._decode, self._slow_read, self._slow_write)]
        for word, callback in zip((hooks.DECODE, hooks.SLOW_READ, hooks.SLOW_WRITE), self._callbacks, strict=True):
            self.state[word] = ctypes.cast(callback, ctypes.c_void_p).value
        self.state[hooks.STOP] = ctypes.cast(uclib.uc_emu_stop, ctypes.c_void_p).value
        self.state[hooks.ENGINE] = self.engine._uch.value
        self.count_hook = self.add_native_hook(u.UC_HOOK_BLOCK, hooks.on_block, state)
        for base, read, write in ((0x40004000, hooks.usart_read, hooks.usart_write),
                                  (0xE0001000, hooks.dwt_read, hooks.dwt_write)):
            status = uclib.uc_mmio_map(self.engine._uch, base, 0x1000, ctypes.c_void_p(read.address), state,
                                       ctypes.c_void_p(write.address), state)
            if status:
                raise LinkError(f"the emulator refused a register page (unicorn status {status})")
        for base, size in ((0x40000000, 0x4000), (0x40005000, 0x2B000), (0x48000000, 0x3000), (0xE0000000, 0x1000),
                           (0xE0002000, 0xFE000)):
            self.engine.mmio_map(base, size, self._mmio_read, base, self._mmio_write, base)
        self.engine.hook_add(u.UC_HOOK_INTR, self._on_interrupt)
        self.engine.hook_add(u.UC_HOOK_MEM_INVALID, self._on_invalid)

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
        except self._unicorn.UcError as error:
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
        self.state[int(hooks.COST_AT) + slot] = size | cost.instructions << 16 | cost.cycles << 32 | cost.taken << 56
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

    def _mmio_read(self, engine, offset, size, base):
        return self.peripherals.read(base + offset, size)

    def _mmio_write(self, engine, offset, size, value, base):
        self.peripherals.write(base + offset, size, value)

    def _on_interrupt(self, engine, number, _):
        pc = engine.reg_read(self._unicorn.arm_const.UC_ARM_REG_PC)
        self.halt(Fault(*DIRECT_EXCEPTIONS.get(number, ("exception", f"exception {number} of the emulator")), pc, pc,
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
        """Halt with a fault that silicon would not report: an access that it silently ignores."""
        block = self._blocks.get(int(self.state[hooks.INDEX]), (0, b""))[0]
        if self.fault is None:
            self.fault = Fault("wrong access", text, 0, block, self.elf.function_at(block))
        self.state[hooks.LIMIT] = 0                     # stop when this block has ended

    def _request_reset(self):
        self._wants_reset = True
        self.state[hooks.LIMIT] = 0

    # --- power -------------------------------------------------------------------------------------------------------
    def power_on(self):
        """Program the flash from the ELF, and reset."""
        self.flash[:] = 0xFF
        for segment in self.elf.segments:
            if FLASH.holds(segment.load, len(segment.data)):
                at = segment.load - FLASH.base
                self.flash[at:at + len(segment.data)] = np.frombuffer(segment.data, np.uint8)
        self.reset()

    def reset(self):
        """A system reset: registers as after reset, RAM kept, the core at its reset vector. Counters run on."""
        state = self.state
        for word in hooks.CLEARED_BY_RESET:
            state[word] = 0
        self._unsent.clear()
        self.peripherals.restart()
        self.fault, self._wants_reset = None, False
        arm = self._unicorn.arm_const
        stack, entry = struct.unpack("<II", self.flash[:8].tobytes())
        for register in range(13):
            self.engine.reg_write(arm.UC_ARM_REG_R0 + register, 0)
        self.engine.reg_write(arm.UC_ARM_REG_LR, 0xFFFFFFFF)
        self.engine.reg_write(arm.UC_ARM_REG_IPSR, 0)
        self.engine.reg_write(arm.UC_ARM_REG_SP, stack)
        self._pc = entry | 1

    # --- running -----------------------------------------------------------------------------------------------------
    def run(self, seconds=1.0):
        """Run for at most `seconds` of simulated time; return "idle" (it polls an empty line), "time", "sent" or "fault"."""
        end = self._now() + int(seconds * CORE_HZ)
        self.state[hooks.POLLS] = 0
        while True:
            if self.fault:
                return "fault"
            self._fill()
            reason = self._run_slice(min(end, self._now() + _SLICE))
            if self.fault:
                self._uncount(self.fault.pc & ~1)
            if self._wants_reset:
                self.resets += 1
                self.reset()
            elif self.fault and not self.halt_on_fault and deliver(self):
                self.fault = None
            elif self.fault:
                return "fault"
            elif reason == hooks.SENT_MUCH:
                return "sent"
            elif reason == hooks.IDLE and not self._unsent:
                return "idle"
            elif self._now() >= end:
                return "time"

    def _run_slice(self, limit):
        state = self.state
        state[hooks.LIMIT], state[hooks.REASON] = limit, 0
        self._emulate(self._pc, 0xFFFFFFFE)
        self._pc = self.engine.reg_read(self._unicorn.arm_const.UC_ARM_REG_PC) | 1
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

    def jump(self, address):
        """Go on at `address` when run next."""
        self._pc = address | 1

    def call(self, function, *arguments):
        """Call a C function of the image with up to four words, apart from what the board is doing; return r0.

        The counters show what it cost. Raises DeviceError where it faults.
        """
        arm, back = self._unicorn.arm_const, FLASH.base          # no code stands there: the return ends the run
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
        """Let simulated time pass without running: the firmware is waiting."""
        self.state[hooks.WARP] += np.uint64(int(seconds * CORE_HZ))

    # --- the line ----------------------------------------------------------------------------------------------------
    def send(self, data, baud=None):
        """Put bytes on the wire to PA3. At a `baud` off by more than 3 % from the device's they arrive as other bytes."""
        self._unsent += _garbled(data, baud, self._baud_of(int(self.state[hooks.BRR])))

    def receive(self, baud=None):
        """Take the bytes that have come out of PA2, read at `baud` (None: the right one)."""
        s = self.state
        start, end = int(s[hooks.TX_READ]), int(s[hooks.TX_WRITE])
        entries = s[int(hooks.TX_AT) + np.arange(start, end) % hooks.RING]
        s[hooks.TX_READ] = end
        data = (entries & np.uint64(255)).astype(np.uint8).tobytes()
        divider = int(entries[0] >> np.uint64(8)) if end > start else 0
        return _garbled(data, baud, self._baud_of(divider))

    def _baud_of(self, divider):
        return self.clock_hz / divider if divider else 0

    def _fill(self):
        """Move what was sent into the ring that the USART reads from, each byte with the cycle at which it has arrived."""
        s = self.state
        write = int(s[hooks.RX_WRITE])
        count = min(len(self._unsent), hooks.RING - (write - int(s[hooks.RX_READ])))
        if not count:
            return
        data = np.frombuffer(bytes(self._unsent[:count]), np.uint8).astype(np.uint64)
        del self._unsent[:count]
        if s[hooks.TIMED]:
            per_byte = 10 * (int(s[hooks.BRR]) or 1)
            first = max(self._arrival, self._now()) + per_byte
            self._arrival = first + per_byte * (count - 1)
            data |= (np.uint64(first) + np.uint64(per_byte) * np.arange(count, dtype=np.uint64)) << np.uint64(8)
        s[int(hooks.RX_AT) + np.arange(write, write + count) % hooks.RING] = data
        s[hooks.RX_WRITE] = write + count

    # --- looking inside ------------------------------------------------------------------------------------------------
    @property
    def instructions(self):
        """Instructions executed since power-on, exactly; those that an IT block skips count."""
        return int(self.state[hooks.INSTRUCTIONS])

    @property
    def cycles(self):
        """Modelled core cycles since power-on, with the flash model's stalls; waiting for the host not counted."""
        return int(self.state[hooks.CYCLES] + self.state[hooks.STALLS])

    @property
    def seconds(self):
        """Simulated time since power-on, waiting included. A cycle counts as one of 120 MHz, the few before the PLL runs too."""
        return self._now() / CORE_HZ

    @property
    def clock_hz(self):
        """Core clock as the firmware has set it."""
        return self.peripherals.clock_hz

    @property
    def overruns(self):
        """Received bytes lost because nobody read them (timed line only)."""
        return int(self.state[hooks.OVERRUNS])

    def _now(self):
        s = self.state
        return int(s[hooks.CYCLES] + s[hooks.STALLS] + s[hooks.WARP])

    def read(self, address, count):
        """Return `count` bytes of flash or RAM."""
        array, at = self._place(address, count)
        return array[at:at + count].tobytes()

    def write(self, address, data):
        """Change bytes of flash or RAM from outside, as a debugger or a laser would; code that has run is forgotten."""
        array, at = self._place(address, len(data))
        array[at:at + len(data)] = np.frombuffer(bytes(data), np.uint8)
        self.engine.ctl_flush_tb()
        self.state[int(hooks.COST_AT):int(hooks.VISITS_AT)] &= ~np.uint64(0xFFFF)       # decode again at the next visit

    def _place(self, address, count):
        for region in MEMORIES:
            if region.holds(address, count):
                array = self.flash if region is FLASH else self.ram
                return array, address - region.base + (SRAM2_IN_RAM if region is SRAM2 else 0)
        raise LinkError(f"there is no memory of {count} bytes at {address:#010x}")

    def profile(self):
        """Return [FunctionProfile], most cycles first; their sums are `instructions` and `cycles` (stalls apart)."""
        totals = {}
        rows = [(a, i, c) for a, (i, c) in self._retired.items()] + [self._block_totals(slot) for slot in self._blocks]
        for address, instructions, cycles in rows:
            entry = totals.setdefault(self.elf.function_at(address) or f"{address:#010x}", [0, 0])
            entry[0] += instructions
            entry[1] += cycles
        found = [FunctionProfile(name, *values) for name, values in totals.items() if values[0]]
        return sorted(found, key=lambda p: (-p.cycles, p.name))

    def _block_totals(self, slot):
        s = self.state
        cost, visits, taken = (int(s[int(base) + slot]) for base in (hooks.COST_AT, hooks.VISITS_AT, hooks.TAKEN_AT))
        return self._blocks[slot][0], visits * (cost >> 16 & 0xFFFF), visits * (cost >> 32 & 0xFFFFFF) + taken * (cost >> 56)


def _garbled(data, host, device):
    """At a wrong rate a UART samples the wrong moments; what it reads depends on the bytes, and is not them."""
    if host is None or not data or (device and abs(host - device) <= 0.03 * device):
        return bytes(data)
    ratio = host / device if device else 0.0
    count = max(1, int(len(data) / max(ratio, 0.1))) if ratio > 1 else len(data)
    return bytes((data[i % len(data)] * 167 + 13 * i + 0x81) & 0xFF for i in range(count))
