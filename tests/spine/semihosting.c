/* Start-up for QEMU's Cortex-M boards, where newlib's printf reaches the host by semihosting (rdimon.specs). */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t stack_top[], bss_start[], bss_end[];
void initialise_monitor_handles(void);
int main(void);
void start(void);
void _init(void) { }
void _fini(void) { }

static void fault(void)
{
    for (;;) { }
}

__attribute__((section(".vectors"), used)) void (*const vectors[16])(void) = { (void (*)(void))stack_top, start, fault, fault, fault, fault, fault };

void start(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    for (uint32_t *p = bss_start; p < bss_end; p++) *p = 0;
    initialise_monitor_handles();
    exit(main());
}
