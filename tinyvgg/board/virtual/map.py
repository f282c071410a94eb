"""Memories and the registers that the virtual board knows by name (RM0351, RM0432, ARMv7-M DDI 0403): STM32L4 and L4+."""
from dataclasses import dataclass

from tinyvgg.errors import FormatError


@dataclass(frozen=True)
class Region:
    """Memory: first address and size in bytes."""
    name: str
    base: int
    size: int

    def holds(self, address, count=1):
        """Return whether `count` bytes at `address` lie in it."""
        return self.base <= address and address + count <= self.base + self.size


# The largest part's: the native hooks keep tables of them.
FLASH = Region("flash", 0x08000000, 2 << 20)
RAM = Region("RAM", 0x20000000, 640 << 10)
SRAM2 = Region("SRAM2 (code bus)", 0x10000000, 64 << 10)


@dataclass(frozen=True)
class Memory:
    """A part's memories; code_in_ram: where RAM shows the code bus's memory too, None where it is memory of its own."""
    flash: Region
    ram: Region
    code: Region
    code_in_ram: int | None

    @property
    def regions(self):
        """All of them."""
        return (self.flash, self.ram, self.code)


def memory_of(facts):
    """Return the Memory of a board's facts; FormatError where it is more than the virtual board has."""
    found = []
    for most, there in ((FLASH, facts.flash), (RAM, facts.ram), (SRAM2, facts.ramcode)):
        if there["origin"] != most.base or not 0 < there["length"] <= most.size or there["length"] % 4096:
            raise FormatError(f"the virtual board cannot be a {facts.part} with {most.name} of {there['length']:,} bytes at "
                              f"{there['origin']:#x}; it has up to {most.size:,} at {most.base:#x}, in steps of 4,096",
                              "try the image on the board itself")
        found.append(Region(most.name, most.base, there["length"]))
    return Memory(*found, facts.ramcode["in_ram"])


PERIPHERALS = {
    0x40007000: "PWR", 0x40021000: "RCC", 0x40022000: "FLASH", 0x40010000: "SYSCFG",
    **{0x48000000 + 0x400 * i: f"GPIO{p}" for i, p in enumerate("ABCDEFGHI")},
    0xE000E000: "system control", 0xE0001000: "DWT", 0xE0042000: "DBGMCU",
}
# RCC enable register and bit that clocks a peripheral.
CLOCK_BITS = {"PWR": (0x58, 28), "SYSCFG": (0x60, 0), **{f"GPIO{p}": (0x4C, i) for i, p in enumerate("ABCDEFGHI")}}

RCC, PWR, FLASH_REGISTERS, GPIOA, SCB = 0x40021000, 0x40007000, 0x40022000, 0x48000000, 0xE000E000
FLASH_OPTR, IDCODE = FLASH_REGISTERS + 0x20, 0xE0042000
TWO_BANKS = 1 << 22                                      # FLASH_OPTR.DBANK
RESET_VALUES = {RCC: 0x63, RCC + 0x94: 0x0C000000, FLASH_REGISTERS: 0x600, PWR: 0x200, GPIOA: 0xABFFFFFF, 0xE000ED00: 0x410FC241}
BOOST = PWR + 0x80                                       # PWR_CR5, of parts that have it
SYSTICK_CTRL, SYSTICK_LOAD, SYSTICK_VALUE = SCB + 0x10, SCB + 0x14, SCB + 0x18
AIRCR, CFSR, HFSR, MMFAR, BFAR, CPACR, SHCSR, CCR = (SCB + x for x in (0xD0C, 0xD28, 0xD2C, 0xD34, 0xD38, 0xD88, 0xD24, 0xD14))
HSI_HZ, HSE_HZ = 16_000_000, 8_000_000                   # HSE: what an ST-LINK feeds a Nucleo
_MSI_HZ = (100_000, 200_000, 400_000, 800_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000, 16_000_000, 24_000_000, 32_000_000,
           48_000_000)


def reset_values(facts, two_banks):
    """Return {register: value} of a part after reset."""
    options = 0xFFEFF8AA & ~TWO_BANKS | (TWO_BANKS if two_banks else 0)
    return {**RESET_VALUES, IDCODE: 0x10016000 | facts.device_id, FLASH_OPTR: options, **({BOOST: 0x100} if facts.boost else {})}


def core_hz(registers):
    """Core clock that RCC's registers make: MSI, HSI, HSE, or the PLL fed by one of them."""
    get = registers.get
    control, source = get(RCC, 0), get(RCC + 8, 0) & 3
    msi = _MSI_HZ[min(control >> 4 & 15, 11)] if control & 8 else 4_000_000
    hz = {0: msi, 1: HSI_HZ, 2: HSE_HZ}.get(source)
    if hz is None:
        pll = get(RCC + 0xC, 0)
        feed = {1: msi, 2: HSI_HZ, 3: HSE_HZ}.get(pll & 3, 0)
        hz = feed // ((pll >> 4 & 15) + 1) * (pll >> 8 & 0x7F) // (2 * (pll >> 25 & 3) + 2)
    divide = get(RCC + 8, 0) >> 4 & 15
    return hz >> (divide - 7 if divide in (8, 9, 10, 11) else divide - 6 if divide > 11 else 0)
