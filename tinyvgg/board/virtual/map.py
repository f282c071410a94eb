"""The STM32L4R9's memory map, and the registers that the virtual board knows by name (RM0432, ARMv7-M DDI 0403)."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Memory: first address and size in bytes."""
    name: str
    base: int
    size: int

    def holds(self, address, count=1):
        """Return whether `count` bytes at `address` lie in it."""
        return self.base <= address and address + count <= self.base + self.size


FLASH = Region("flash", 0x08000000, 2 << 20)
RAM = Region("RAM", 0x20000000, 640 << 10)               # SRAM1 192 KiB, SRAM2 64 KiB, SRAM3 384 KiB
SRAM2 = Region("SRAM2 (code bus)", 0x10000000, 64 << 10)
SRAM2_IN_RAM = 0x30000                                   # the alias shows RAM from here on
MEMORIES = (FLASH, RAM, SRAM2)

USART2_OFFSET = 0x400                                    # in the page of 0x40004000
SYSTEM_CYCLES_PER_BIT = 1                                # core cycles per tick of the USART's clock: AHB = APB1 = core

PERIPHERALS = {
    0x40007000: "PWR", 0x40021000: "RCC", 0x40022000: "FLASH", 0x40010000: "SYSCFG",
    0x48000000: "GPIOA", 0x48000400: "GPIOB", 0x48000800: "GPIOC", 0x48000C00: "GPIOD", 0x48001000: "GPIOE", 0x48001400: "GPIOF",
    0x48001800: "GPIOG", 0x48001C00: "GPIOH", 0x48002000: "GPIOI", 0x40004400: "USART2",
    0xE000E000: "system control", 0xE0001000: "DWT", 0xE0042000: "DBGMCU",
}
# RCC enable register and bit that clocks a peripheral.
CLOCK_BITS = {"PWR": (0x58, 28), "USART2": (0x58, 17), "SYSCFG": (0x60, 0),
              **{f"GPIO{p}": (0x4C, i) for i, p in enumerate("ABCDEFGHI")}}

RCC, PWR, FLASH_REGISTERS, GPIOA, SCB = 0x40021000, 0x40007000, 0x40022000, 0x48000000, 0xE000E000
RESET_VALUES = {RCC: 0x63, RCC + 0x94: 0x0C000000, FLASH_REGISTERS: 0x600, PWR: 0x200, PWR + 0x80: 0x100, GPIOA: 0xABFFFFFF,
                0xE0042000: 0x10016470, 0xE000ED00: 0x410FC241}
SYSTICK_CTRL, SYSTICK_LOAD, SYSTICK_VALUE = SCB + 0x10, SCB + 0x14, SCB + 0x18
AIRCR, CFSR, HFSR, MMFAR, BFAR, CPACR, SHCSR, CCR = (SCB + x for x in (0xD0C, 0xD28, 0xD2C, 0xD34, 0xD38, 0xD88, 0xD24, 0xD14))
MSI_HZ = 4_000_000
