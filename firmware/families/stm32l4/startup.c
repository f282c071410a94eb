/* Reset, vector table, stack watermark. No interrupt is used: everything polls. */
#include "stm32l4.h"
#include "tv_port.h"

#define STACK_PAINT 0xC5C5C5C5u

int main(void);
void Reset_Handler(void);
void Fault_Handler(void);

uint32_t reset_cause;

/* 16 of the core, then those of the part: all would be faults of ours. */
__attribute__((section(".vectors"), used)) void (*const vectors[16 + PART_INTERRUPTS])(void) = {
    (void (*)(void))_stack_top, Reset_Handler, [2 ... 6] = Fault_Handler, [11 ... 12] = Fault_Handler,
    [14 ... 15] = Fault_Handler, [16 ... 15 + PART_INTERRUPTS] = Fault_Handler
};

/* Volatile, so that no compiler makes these loops into calls of memcpy and memset before there is memory. */
static void copy(volatile uint32_t *to, const uint32_t *end, const uint32_t *from)
{
    while (to < end) *to++ = *from++;
}

static void fill(volatile uint32_t *from, const uint32_t *end, uint32_t word)
{
    while (from < end) *from++ = word;
}

__attribute__((used)) void Reset_Handler(void)
{
    SCB_CPACR |= 0xFu << 20;                     /* the FPU is off after reset */
    __asm__ volatile("dsb\n isb" ::: "memory");
    uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    fill(_stack_bottom, here - 16, STACK_PAINT);
    copy(_data_start, _data_end, _data_load);
    copy(_ramcode_start, _ramcode_end, _ramcode_load);
    copy(_held_start, _held_end, _held_load);
    fill(_bss_start, _bss_end, 0);
    __asm__ volatile("dsb\n isb" ::: "memory");  /* .ramcode was written as data */
    SCB_SHCSR |= 7u << 16;                       /* memory, bus and usage faults have handlers of their own */
    SCB_CCR |= 1u << 4;                          /* a division by zero is a fault */
    reset_cause = RCC_CSR;
    RCC_CSR |= 1u << 23;                         /* RMVF: clear the flags for the next time */
    system_clock();
    DEMCR |= 1u << 24;
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1;
    uart_start();
    main();
    tv_reset();
}

uint32_t tv_stack_used(void)
{
    const uint32_t *p = _stack_bottom;
    while (p < _stack_top && *p == STACK_PAINT) p++;
    return (uint32_t)((const uint8_t *)_stack_top - (const uint8_t *)p);
}
