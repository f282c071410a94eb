/* The core clock from the internal 4 MHz oscillator, the light, and what the board says of itself. */
#include "stm32l4.h"
#include "tv_port.h"

extern uint32_t reset_cause;

/* RM0432: above 80 MHz range 1 in boost mode (PWR_CR5.R1MODE = 0), and the AHB divided by two for at least 1 us while the PLL
 * takes over. System clock = 4 MHz / M * N / R. */
void system_clock(void)
{
    RCC_APB1ENR1 |= 1u << 28;                                            /* PWR */
    (void)RCC_APB1ENR1;
    PWR_CR1 = (PWR_CR1 & ~(3u << 9)) | 1u << 9;
    while (PWR_SR2 & 1u << 10) { }
    if (HAS_BOOST) PWR_CR5 &= ~(1u << 8);
    FLASH_ACR = (FLASH_ACR & ~0xFu) | WAIT_STATES | 7u << 8;             /* wait states, prefetch, both caches */
    while ((FLASH_ACR & 0xF) != WAIT_STATES) { }
    while (!(RCC_CR & 1u << 1)) { }
    RCC_CR &= ~(1u << 24);
    while (RCC_CR & 1u << 25) { }
    RCC_PLLCFGR = 1u | (PLL_M - 1u) << 4 | PLL_N << 8 | 1u << 24 | (PLL_R / 2u - 1u) << 25;
    RCC_CR |= 1u << 24;
    while (!(RCC_CR & 1u << 25)) { }
    RCC_CFGR = (RCC_CFGR & ~0xF3u) | 8u << 4 | 3u;
    while ((RCC_CFGR & 0xC) != 0xC) { }
    for (volatile int wait = 0; wait < 100; wait++) { }
    RCC_CFGR &= ~0xF0u;

    RCC_AHB2ENR |= 1u << LED_PORT;
    (void)RCC_AHB2ENR;
    tv_led(0);
    GPIO_MODER(LED_PORT) = (GPIO_MODER(LED_PORT) & ~(3u << 2 * LED_PIN)) | 1u << 2 * LED_PIN;
}

void tv_led(int on) { GPIO_BSRR(LED_PORT) = !on == !LED_LIT ? 1u << LED_PIN : 1u << (LED_PIN + 16u); }

uint32_t tv_cycles(void) { return DWT_CYCCNT; }

uint32_t tv_cycles_cold(void)
{
    uint32_t on = FLASH_ACR, off = on & ~(3u << 9);
    FLASH_ACR = off;                                                     /* RM0432: caches are reset while they are off */
    FLASH_ACR = off | 3u << 11;
    FLASH_ACR = off;
    FLASH_ACR = on;
    return tv_cycles();
}

void tv_reset(void)
{
    __asm__ volatile("dsb" ::: "memory");
    SCB_AIRCR = 0x05FA0004u;                                             /* VECTKEY, SYSRESETREQ */
    for (;;) { }
}

static uint32_t bytes_between(const uint32_t *from, const uint32_t *to)
{
    return (uint32_t)((uintptr_t)to - (uintptr_t)from);
}

void tv_board(tv_board_info *b)
{
    b->device_id = DBGMCU_IDCODE;
    b->clock_hz = CORE_HZ;
    b->flash_bytes = FLASH_BYTES;
    b->ram_bytes = RAM_BYTES;
    b->flash_used = (uint32_t)(uintptr_t)_flash_end - FLASH_BASE;
    extern uint32_t _ram_end[];
    b->ram_static = (uint32_t)(uintptr_t)_ram_end - RAM_BASE - bytes_between(_stack_bottom, _stack_top)
                    + bytes_between(_ramcode_start, _ramcode_end);
    b->stack_bytes = bytes_between(_stack_bottom, _stack_top);
    b->reset_cause = reset_cause;
    b->core_settings = 1u << 24 | 1u << 16 | (FLASH_ACR & 0x70Fu);       /* FLASH_ACR has them in the same places */
}

static int inside(uint32_t address, uint32_t count, uint32_t base, uint32_t size)
{
    return address >= base && address - base <= size && count <= size - (address - base);
}

int tv_memory_ok(uint32_t address, uint32_t count, int write)
{
    return inside(address, count, RAM_BASE, RAM_BYTES) || inside(address, count, RAMCODE_BASE, RAMCODE_BYTES)
           || (!write && inside(address, count, FLASH_BASE, FLASH_BYTES));
}
