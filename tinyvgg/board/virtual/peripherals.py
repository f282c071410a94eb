"""The registers that are not polled in a hot loop, in Python: RCC, PWR, FLASH, GPIO, SysTick, the system control block."""
from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.map import (
    AIRCR,
    BOOST,
    CFSR,
    CLOCK_BITS,
    CPACR,
    FLASH_REGISTERS,
    HFSR,
    PERIPHERALS,
    PWR,
    RCC,
    SYSTICK_CTRL,
    SYSTICK_LOAD,
    SYSTICK_VALUE,
    core_hz,
    reset_values,
)
from tinyvgg.firmware.facts import pin

_ALWAYS_CLOCKED = ("RCC", "FLASH", "system control", "DWT", "DBGMCU")
_PORT_G = 6


class Registers:
    """Registers by address, as these and those of lenient.py are. `wrong(text)` is called for an access that silicon would not
    honour; `reset()` for a system reset; `flash(control)` with FLASH_ACR whenever it is written."""

    def __init__(self, state, facts, two_banks, wrong, reset, flash):
        self._state, self._wrong, self._reset, self._flash = state, wrong, reset, flash
        self.facts, self.two_banks = facts, two_banks

    def restart(self):
        """Give every register its value after reset."""
        self.registers = reset_values(self.facts, self.two_banks)
        self._systick_base = 0

    def read(self, address, size):
        """Return what a read of `size` bytes at `address` gives."""
        return self._word(address & ~3) >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address, size, value):
        """Do a write of the low `size` bytes of `value` at `address`."""
        at, shift = address & ~3, 8 * (address & 3)
        mask = (1 << 8 * size) - 1 << shift
        before = self.registers.get(at, 0)
        self._store(at, before & ~mask | value << shift & mask, before)

    def _commands(self, address, value):
        """Whether a write is a command, which leaves nothing in its register: a system reset, or pins of a port. It is done."""
        if address == AIRCR:
            if value >> 16 == 0x05FA and value & 4:
                self._reset()
            return True
        if not (0x48000000 <= address < 0x48003000 and address & 0x3FF == 0x18):         # BSRR
            return False
        odr = address - 4
        self.registers[odr] = (self.registers.get(odr, 0) & ~(value >> 16) | value) & 0xFFFF
        return True

    def _now(self):
        return hooks.now(self._state)

    def _systick_period(self):
        return (self.registers.get(SYSTICK_LOAD, 0) & 0xFFFFFF) + 1

    @property
    def clock_hz(self):
        """Core clock, from RCC's registers."""
        return core_hz(self.registers)

    @property
    def fpu_on(self):
        """Whether CPACR gives full access to coprocessors 10 and 11."""
        return self.registers.get(CPACR, 0) >> 20 & 15 == 15


class Peripherals(Registers):
    """The registers of tinyvgg's own firmware; any other access is wrong."""

    def __init__(self, state, facts, *settings):
        super().__init__(state, facts, *settings)
        self._names = {**PERIPHERALS, facts.uart["base"]: facts.uart["name"]}
        self._clock_bits = {**CLOCK_BITS, facts.uart["name"]: tuple(facts.uart["enable"])}
        self.restart()

    def restart(self):
        super().restart()
        self._refresh()
        self._flash(self.registers[FLASH_REGISTERS])

    # --- access ----------------------------------------------------------------------------------------------------
    def read(self, address, size):
        return super().read(address, size) if self._usable(address) else 0

    def write(self, address, size, value):
        if self._usable(address):
            super().write(address, size, value)

    def _usable(self, address):
        base = address & ~0x3FF if address < 0xE0000000 else address & ~0xFFF
        name = self._names.get(base)
        if name is None:
            self._wrong(f"an access to {address:#010x}, where this board has no peripheral that the virtual one knows")
            return False
        if name in _ALWAYS_CLOCKED or self._clocked(name):
            return True
        self._wrong(f"{name} is used before its clock is on (RCC + {self._clock_bits[name][0]:#x}, bit {self._clock_bits[name][1]})")
        return False

    def _clocked(self, name):
        offset, bit = self._clock_bits[name]
        return bool(self.registers.get(RCC + offset, 0) >> bit & 1)

    # --- meanings --------------------------------------------------------------------------------------------------
    def _word(self, address):
        value = self.registers.get(address, 0)
        if address == RCC:                                               # each oscillator is ready as soon as it is on
            return value & ~0x2A000402 | 2 | (value & 0x15000000) << 1 | (value & 0x100) << 2
        if address == RCC + 8:                                           # SWS follows SW
            return value & ~0xC | (value & 3) << 2
        if address == PWR + 0x14:                                        # VOSF: the voltage is there at once
            return value & ~0x400
        if address == SYSTICK_VALUE:
            return self._systick()[0]
        if address == SYSTICK_CTRL:
            return value & ~0x10000 | self._systick()[1] << 16
        return value

    def _store(self, address, value, before):
        if self._commands(address, value):
            return
        if address == RCC + 0x94 and value & 1 << 23:                    # RMVF clears the reset flags
            value = 0
        if address in (SYSTICK_VALUE, SYSTICK_CTRL):
            self._systick_base = self._now()
            value = 0 if address == SYSTICK_VALUE else value
        if address in (CFSR, HFSR):                                      # written ones clear
            value = before & ~value
        self.registers[address] = value
        self._refresh()
        if address == FLASH_REGISTERS:
            self._flash(value)
        if address in (RCC + 8, FLASH_REGISTERS):
            self._check_speed()

    def _systick(self):
        """Return (current value, whether it has reached 0 since it was set)."""
        if not self.registers.get(SYSTICK_CTRL, 0) & 1:
            return 0, 0
        period, passed = self._systick_period(), self._now() - self._systick_base
        return (period - passed % period) % period, int(passed >= period)

    def _refresh(self):
        """Tell the native UART whether it is clocked and its pins lead outside."""
        uart = self.facts.uart
        self._state[hooks.CLOCKED] = self._clocked(uart["name"])
        self._state[hooks.CONNECTED] = all(self._leads_to_uart(*pin(uart[name])) for name in ("tx", "rx"))

    def _leads_to_uart(self, port, number):
        base, get = 0x48000000 + 0x400 * port, self.registers.get
        alternate = get(base + 0x20 + 4 * (number // 8), 0) >> 4 * (number % 8) & 15
        powered = port != _PORT_G or get(PWR + 4, 0) >> 9 & 1                # VDDIO2
        return powered and get(base, 0) >> 2 * number & 3 == 2 and alternate == self.facts.uart["alternate"]

    def _check_speed(self):
        hz, latency = self.clock_hz, self.registers.get(FLASH_REGISTERS, 0) & 15
        needed = max(-(-hz // self.facts.wait_state_hz) - 1, 0)
        if latency < needed:
            self._wrong(f"the core runs at {hz // 1000000} MHz with {latency} flash wait states; it needs {needed} (FLASH_ACR)")
        elif self.facts.boost and hz > 80_000_000 and self.registers.get(BOOST, 0) & 0x100:
            self._wrong(f"the core runs at {hz // 1000000} MHz without boost mode (PWR_CR5.R1MODE must be 0 above 80 MHz)")

    @property
    def led(self):
        """Whether the board's light is lit."""
        port, number = pin(self.facts.led["pin"])
        high = self.registers.get(0x48000000 + 0x400 * port + 0x14, 0) >> number & 1
        return bool(high) == (self.facts.led["lit"] == "high")
