"""The registers that are not polled in a hot loop, in Python: RCC, PWR, FLASH, GPIO, SysTick, the system control block."""
from tinyvgg.board.virtual import hooks
from tinyvgg.board.virtual.map import (
    AIRCR,
    CLOCK_BITS,
    CPACR,
    FLASH_REGISTERS,
    GPIOA,
    MSI_HZ,
    PERIPHERALS,
    PWR,
    RCC,
    RESET_VALUES,
    SYSTICK_CTRL,
    SYSTICK_LOAD,
    SYSTICK_VALUE,
)

_ALWAYS_CLOCKED = ("RCC", "FLASH", "system control", "DWT", "DBGMCU")
_HZ_PER_WAIT_STATE = 20_000_000          # RM0432, table of wait states in voltage range 1


class Peripherals:
    """Registers by address. `wrong(text)` is called for an access that silicon would not honour; `reset()` for a system reset."""

    def __init__(self, state, wrong, reset):
        self._state, self._wrong, self._reset = state, wrong, reset
        self.restart()

    def restart(self):
        """Give every register its value after reset."""
        self.registers = dict(RESET_VALUES)
        self._systick_base = 0
        self._refresh()

    # --- access ----------------------------------------------------------------------------------------------------
    def read(self, address, size):
        """Return what a read of `size` bytes at `address` gives."""
        if not self._usable(address):
            return 0
        word = self._read_word(address & ~3)
        return word >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address, size, value):
        """Do a write of the low `size` bytes of `value` at `address`."""
        if not self._usable(address):
            return
        aligned, shift = address & ~3, 8 * (address & 3)
        mask = (1 << 8 * size) - 1 << shift
        before = self.registers.get(aligned, 0)
        self._write_word(aligned, before & ~mask | value << shift & mask)

    def _usable(self, address):
        base = address & ~0x3FF if address < 0xE0000000 else address & ~0xFFF
        name = PERIPHERALS.get(base)
        if name is None:
            self._wrong(f"an access to {address:#010x}, where this board has no peripheral that the virtual one knows")
            return False
        if name in _ALWAYS_CLOCKED or self._clocked(name):
            return True
        self._wrong(f"{name} is used before its clock is on (RCC + {CLOCK_BITS[name][0]:#x}, bit {CLOCK_BITS[name][1]})")
        return False

    def _clocked(self, name):
        offset, bit = CLOCK_BITS[name]
        return bool(self.registers.get(RCC + offset, 0) >> bit & 1)

    # --- meanings --------------------------------------------------------------------------------------------------
    def _read_word(self, address):
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

    def _write_word(self, address, value):
        if address == AIRCR:
            if value >> 16 == 0x05FA and value & 4:
                self._reset()
            return
        if address == RCC + 0x94 and value & 1 << 23:                    # RMVF clears the reset flags
            value = 0
        if address in (SYSTICK_VALUE, SYSTICK_CTRL):
            self._systick_base = self._now()
            value = 0 if address == SYSTICK_VALUE else value
        if 0x48000000 <= address < 0x48003000 and address & 0x3FF == 0x18:
            self._set_reset_bits(address, value)
            return
        if address & ~3 in (0xE000ED28, 0xE000ED2C):                     # CFSR, HFSR: written ones clear
            value = self.registers.get(address, 0) & ~value
        self.registers[address] = value
        self._refresh()
        if address in (RCC + 8, FLASH_REGISTERS):
            self._check_speed()

    def _set_reset_bits(self, bsrr, value):
        odr = bsrr - 4
        self.registers[odr] = (self.registers.get(odr, 0) & ~(value >> 16) | value) & 0xFFFF

    def _now(self):
        s = self._state
        return int(s[hooks.CYCLES] + s[hooks.STALLS] + s[hooks.WARP])

    def _systick(self):
        """Return (current value, whether it has reached 0 since it was set)."""
        if not self.registers.get(SYSTICK_CTRL, 0) & 1:
            return 0, 0
        period = (self.registers.get(SYSTICK_LOAD, 0) & 0xFFFFFF) + 1
        passed = self._now() - self._systick_base
        return (period - passed % period) % period, int(passed >= period)

    def _refresh(self):
        """Tell the native USART whether it is clocked and its pins lead outside."""
        pins = (self.registers.get(GPIOA, 0) >> 4 & 0xF, self.registers.get(GPIOA + 0x20, 0) >> 8 & 0xFF)
        self._state[hooks.CLOCKED] = self._clocked("USART2")
        self._state[hooks.CONNECTED] = pins == (0xA, 0x77)

    @property
    def clock_hz(self):
        """Core clock, from RCC's registers: MSI at 4 MHz, or the PLL fed by it."""
        get = self.registers.get
        hz = MSI_HZ
        if get(RCC + 8, 0) & 3 == 3:
            pll = get(RCC + 0xC, 0)
            hz = MSI_HZ // ((pll >> 4 & 15) + 1) * (pll >> 8 & 0x7F) // (2 * (pll >> 25 & 3) + 2)
        divide = get(RCC + 8, 0) >> 4 & 15
        return hz >> (divide - 7 if divide in (8, 9, 10, 11) else divide - 6 if divide > 11 else 0)

    def _check_speed(self):
        hz, latency = self.clock_hz, self.registers.get(FLASH_REGISTERS, 0) & 15
        needed = max(-(-hz // _HZ_PER_WAIT_STATE) - 1, 0)
        if latency < needed:
            self._wrong(f"the core runs at {hz // 1000000} MHz with {latency} flash wait states; it needs {needed} (FLASH_ACR)")
        elif hz > 80_000_000 and self.registers.get(PWR + 0x80, 0) & 0x100:
            self._wrong(f"the core runs at {hz // 1000000} MHz without boost mode (PWR_CR5.R1MODE must be 0 above 80 MHz)")

    @property
    def fpu_on(self):
        """Whether CPACR gives full access to coprocessors 10 and 11."""
        return self.registers.get(CPACR, 0) >> 20 & 15 == 15

    @property
    def led(self):
        """Whether LD2 (PH4, active low) is lit."""
        return not self.registers.get(0x48001C14, 0) >> 4 & 1
