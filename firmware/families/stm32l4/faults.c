/* A fault is reported over the line, with what the core knows of it; then the board restarts. */
#include "stm32l4.h"
#include "tv_port.h"
#include "tv_protocol.h"

/* The handler takes the stack anew from its top: the one that faulted may be full. r0 keeps where the core pushed its frame. */
__attribute__((naked, used)) void Fault_Handler(void)
{
    __asm__ volatile(
        "tst   lr, #4\n"
        "ite   eq\n"
        "mrseq r0, msp\n"
        "mrsne r0, psp\n"
        "mrs   r1, ipsr\n"
        "ldr   r2, =_stack_top\n"
        "mov   sp, r2\n"
        "b     fault_report\n"
        ".ltorg\n");
}

__attribute__((used, noreturn)) void fault_report(const uint32_t *frame, uint32_t exception)
{
    uint32_t words[14] = { exception, 0, 0, 0, SCB_CFSR, SCB_HFSR, SCB_MMFAR, SCB_BFAR, (uint32_t)(uintptr_t)frame };
    if (tv_memory_ok((uint32_t)(uintptr_t)frame, 32, 1)) {           /* not when the stack itself had left the memory */
        words[1] = frame[6];                                         /* pc */
        words[2] = frame[5];                                         /* lr */
        words[3] = frame[7];                                         /* xpsr */
        for (int i = 0; i < 5; i++) words[9 + i] = frame[i];         /* r0-r3, r12 */
    }
    tv_send_frame(TV_FAULT, tv_last_sequence, (const uint8_t *)words, sizeof words);
    tv_flush();
    tv_reset();
    for (;;) { }
}
