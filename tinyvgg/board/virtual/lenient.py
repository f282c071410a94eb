"""Registers for other people's firmware: every address answers, clocks are ready immediately, and there are the interrupts that
such firmware needs. Implemented: the UARTs (received bytes as fast as they are read, as flags or as interrupts), SysTick, the
counters of the timers, the ready bits of RCC, PWR and RTC, FLASH_ACR and the option bytes. Every other register keeps what was
written. An interrupt waits until another one has ended (no preemption). Not implemented: DMA, the timers' own interrupts, pins.
"""
import struct
from collections import deque

from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.map import FLASH_REGISTERS, PWR, RCC, SYSTICK_CTRL, SYSTICK_VALUE
from tinyvgg.board.virtual.peripherals import Registers

# First address: interrupt number.
UARTS = {0x40013800: 37, 0x40004400: 38, 0x40004800: 39, 0x40004C00: 52, 0x40005000: 53, 0x40008000: 70}
TIMERS = (0x40000000, 0x40000400, 0x40000800, 0x40000C00, 0x40001000, 0x40001400, 0x40012C00, 0x40014000)
RTC_STATUS = 0x4000280C
NVIC_ENABLE, NVIC_DISABLE = 0xE000E100, 0xE000E180
_SYSTICK_EXCEPTION = 15
_POLLS = 3000                   # vain looks at an empty UART after which the firmware waits for the host
_POLL_SLICE = 60_000            # cycles between looks at the interrupts while bytes wait
_LATENCY = 24                   # cycles of entering and leaving an interrupt
_IDLE_RXNE, _TXE_TC, _ACKS = 1 << 5, 3 << 6, 3 << 21
_XPSR_IT, _XPSR_EXCEPTION = 0x0600FC00, 0x1FF


class Lenient(Registers):
    """Registers, the line to the host, and interrupts, of a Machine."""

    waiting = False

    def __init__(self, machine, *settings):
        super().__init__(*settings)
        self._machine, self._sent = machine, bytearray()
        self.on_timer = None                             # called whenever the firmware reads a timer's counter
        self.restart()

    def restart(self):
        super().restart()
        self._received, self._enabled = deque(), set()
        self._systick_seen, self._timer_base = 0, {}
        self._polls, self._active = 0, None
        self._interrupted = []                           # (context, pc) of what an interrupt broke off
        self._flash(self.registers[FLASH_REGISTERS])

    # --- the line ----------------------------------------------------------------------------------------------------
    def send(self, data, baud=None):
        """Put bytes on the wire; `baud` does not matter here."""
        self._received += data

    def receive(self, baud=None):
        """Take what the firmware has sent, on whichever UART."""
        data = bytes(self._sent)
        self._sent.clear()
        return data

    def clear(self):
        """Forget what was not received yet."""
        self._received.clear()

    def fill(self):
        """Bytes wait in the line itself."""

    # --- access ------------------------------------------------------------------------------------------------------
    def _word(self, address):
        value = self.registers.get(address, 0)
        base, offset = address & ~0x3FF, address & 0x3FF
        if base in UARTS:
            return self._uart(base, offset, value)
        if base in TIMERS and offset == 0x24:
            if self.on_timer:
                self.on_timer()
            return self._counter(base)
        if address == RCC:                               # each oscillator and PLL is ready as soon as it is on
            return value & ~0x2A020402 | 2 | (value & 0x15000000) << 1 | (value & 0x100) << 2 | (value & 0x10000) << 1
        if address == RCC + 8:                           # SWS follows SW
            return value & ~0xC | (value & 3) << 2
        if address in (RCC + 0x90, RCC + 0x94, RCC + 0x98):
            return value & ~2 | (value & 1) << 1
        if address in (PWR + 0x14, FLASH_REGISTERS + 0x10):      # the voltage is there, the flash is not busy
            return 0
        if address == RTC_STATUS:                        # in step, writable, initialised when asked
            return value | 0x27 | (value & 0x80) >> 1
        if address == SYSTICK_CTRL:
            return value & ~0x10000 | (self._systick_passed() > 0) << 16
        if address == SYSTICK_VALUE:
            period = self._systick_period()
            return (period - (self._now() - self._systick_base) % period) % period
        return value

    def _store(self, address, value, before):
        base, offset = address & ~0x3FF, address & 0x3FF
        if base in UARTS and offset == 0x28:
            self._sent.append(value & 255)
            self._polls, self._active = 0, base
            return
        if NVIC_ENABLE <= address < NVIC_ENABLE + 0x20 or NVIC_DISABLE <= address < NVIC_DISABLE + 0x20:
            numbers = {32 * (offset % 0x80 // 4) + i for i in range(32) if value >> i & 1}
            self._enabled = self._enabled - numbers if address >= NVIC_DISABLE else self._enabled | numbers
            return
        if self._commands(address, value):
            return
        if base in TIMERS and (offset == 0x24 or offset == 0 and value & 1 and not before & 1):
            self._timer_base[base] = self._now() - (value if offset else 0) * self._tick(base)
        if address in (SYSTICK_VALUE, SYSTICK_CTRL) and (address == SYSTICK_VALUE or value & 1 and not before & 1):
            self._systick_base, self._systick_seen = self._now(), 0
        self.registers[address] = value
        if address == FLASH_REGISTERS:
            self._flash(value)

    def _uart(self, base, offset, value):
        if offset == 0x1C:
            here = self._received and self._hears(base)
            self._polls = 0 if here else self._polls + 1
            if self._polls > _POLLS:
                self._state[hooks.REASON] = self._state[hooks.REASON] or hooks.IDLE
                self._state[hooks.LIMIT] = 0
            return _ACKS | _TXE_TC | (_IDLE_RXNE if here else 0)
        if offset == 0x24:
            return self._received.popleft() if self._received and self._hears(base) else 0
        return value

    def _hears(self, base):
        """Whether the host's bytes reach this UART: it is on, and the one that has spoken, if any has."""
        control = self.registers.get(base, 0)
        return control & 5 == 5 and self._active in (None, base)

    # --- time --------------------------------------------------------------------------------------------------------
    def _counter(self, base):
        if not self.registers.get(base, 0) & 1:
            return self.registers.get(base + 0x24, 0)
        ticks = (self._now() - self._timer_base.get(base, 0)) // self._tick(base)
        return ticks % (self.registers.get(base + 0x2C, 0xFFFFFFFF) + 1)

    def _tick(self, base):
        """Core cycles of a tick of a timer: its prescaler, and twice its bus's divider where that is not 1."""
        field = self.registers.get(RCC + 8, 0) >> (11 if base >= 0x40010000 else 8) & 7
        return (self.registers.get(base + 0x28, 0) + 1) * max(1 << field - 3 >> 1 if field > 3 else 1, 1)

    def _systick_passed(self):
        """Periods of SysTick since it was set that nobody has seen."""
        if not self.registers.get(SYSTICK_CTRL, 0) & 1:
            return 0
        return (self._now() - self._systick_base) // self._systick_period() - self._systick_seen

    # --- interrupts --------------------------------------------------------------------------------------------------
    def run_slice(self, limit):
        """Run until core cycle `limit` or a reason to stop, which is returned, taking interrupts as they become due."""
        machine, back = self._machine, self.facts.flash["origin"]
        while True:
            if not self._interrupted:
                number = self._due()
                if number is not None:
                    self._enter(number, back)
            reason = machine.emulate_until(min(limit, self._next()), back)
            if machine.fault or machine.wants_reset:
                return reason
            if self._interrupted and machine.pc == back:
                self._leave()
            elif reason == hooks.IDLE:
                return reason
            elif reason == 0 and self._due() is None and not self._interrupted:      # WFI
                if self._next() >= limit and not self._received:
                    return hooks.IDLE
                self._state[hooks.WARP] += max(min(limit, self._next()) - self._now(), 0)
            if self._now() >= limit:
                return reason

    def _next(self):
        """Core cycle at which to look at the interrupts again."""
        control, now = self.registers.get(SYSTICK_CTRL, 0), self._now()
        soon = now + _POLL_SLICE if self._received else now + (1 << 62)
        if control & 3 != 3:
            return soon
        period = self._systick_period()
        return min(soon, now + period - (now - self._systick_base) % period)

    def _due(self):
        """Exception number of an interrupt that is pending, enabled and not masked, or None."""
        engine, arm = self._machine.engine, self._machine.unicorn.arm_const
        found = self._pending()
        if found is None or engine.reg_read(arm.UC_ARM_REG_PRIMASK) & 1 or engine.reg_read(arm.UC_ARM_REG_FAULTMASK) & 1:
            return None
        return found

    def _pending(self):
        for base, number in UARTS.items():
            control = self.registers.get(base, 0)
            wanted = control & 0x20 and self._received and self._hears(base) or control & 0xC0 and control & 9 == 9
            if number in self._enabled and wanted:
                return 16 + number
        if self.registers.get(SYSTICK_CTRL, 0) & 3 == 3 and self._systick_passed() > 0:
            self._systick_seen += self._systick_passed()
            return _SYSTICK_EXCEPTION
        return None

    def _enter(self, number, back):
        """Push the frame that the core pushes and go to the handler; it returns to `back`, where no code stands."""
        machine, arm = self._machine, self._machine.unicorn.arm_const
        engine = machine.engine
        self._interrupted.append((engine.context_save(), machine.pc))
        xpsr = engine.reg_read(arm.UC_ARM_REG_XPSR)
        names = (arm.UC_ARM_REG_R0, arm.UC_ARM_REG_R1, arm.UC_ARM_REG_R2, arm.UC_ARM_REG_R3, arm.UC_ARM_REG_R12, arm.UC_ARM_REG_LR)
        sp = engine.reg_read(arm.UC_ARM_REG_SP) - 32 & ~7
        machine.write_data(sp, struct.pack("<8I", *(engine.reg_read(n) for n in names), machine.pc, xpsr))
        engine.reg_write(arm.UC_ARM_REG_SP, sp)
        engine.reg_write(arm.UC_ARM_REG_LR, back | 1)
        engine.reg_write(arm.UC_ARM_REG_XPSR, xpsr & ~(_XPSR_IT | _XPSR_EXCEPTION) | number)
        table = self.registers.get(0xE000ED08, 0) or self.facts.flash["origin"]
        machine.jump(struct.unpack("<I", machine.read(table + 4 * number, 4))[0])
        self._state[hooks.STALLS] += _LATENCY

    def _leave(self):
        context, pc = self._interrupted.pop()
        self._machine.engine.context_restore(context)
        self._machine.jump(pc)
