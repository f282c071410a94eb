/* The network's C alone on QEMU's Cortex-M4 (mps2-an386): start-up, and answers by semihosting: a line of logits for each image, then
 * an FNV hash of the output of every layer. inputs.h has N_IMAGES and inputs[]. */
#include <stdint.h>
#include "inputs.h"
#include "net.h"

extern uint32_t _stack_top[], _bss_start[], _bss_end[];
void Reset_Handler(void);
static uint8_t arena[NET_ARENA_BYTES] TV_ARENA;
static uint32_t hash;

static void fault(void)
{
    for (;;) { }
}

__attribute__((section(".vectors"), used)) void (*const vectors[16])(void) = {
    (void (*)(void))_stack_top, Reset_Handler, fault, fault, fault, fault, fault };

static void ask_host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void write_number(int32_t n)
{
    char text[13] = { 0 }, *at = text + 12;
    uint32_t left = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    *--at = ' ';
    do *--at = (char)('0' + left % 10u);
    while (left /= 10u);
    if (n < 0) *--at = '-';
    ask_host(4, at);                                     /* SYS_WRITE0 */
}

static void after_layer(void *context, uint32_t layer, const void *output, uint32_t bytes)
{
    (void)context, (void)layer;
    for (uint32_t i = 0; i < bytes; i++) hash = (hash ^ ((const uint8_t *)output)[i]) * 16777619u;
}

void Reset_Handler(void)
{
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    __asm__ volatile("dsb\n isb");
    for (volatile uint32_t *p = _bss_start; p < _bss_end; p++) *p = 0;
    hash = 2166136261u;                                  /* the linker script copies no .data */
    static const tv_observer observer = { after_layer, 0 };
    for (uint32_t i = 0; i < N_IMAGES; i++) {
        net_logit logits[NET_CLASSES];
        net_run(inputs + i * NET_INPUT_COUNT, logits, 0, arena, &observer);
        for (uint32_t k = 0; k < NET_CLASSES; k++) write_number(logits[k]);
        ask_host(4, "\n");
    }
    write_number((int32_t)hash);
    ask_host(4, "\n");
    ask_host(0x18, (const void *)0x20026);               /* SYS_EXIT */
    for (;;) { }
}
