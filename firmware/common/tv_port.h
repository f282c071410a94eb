/* What the base asks of a board: a clock, a byte line, a light. Implemented in boards/NAME/ (and by the tests on the host). */
#ifndef TV_PORT_H
#define TV_PORT_H

#include <stdint.h>
#include "tv_app.h"

typedef struct {
    uint32_t device_id;          /* DBGMCU_IDCODE */
    uint32_t clock_hz;           /* core clock */
    uint32_t flash_bytes, ram_bytes;             /* of the part */
    uint32_t flash_used, ram_static, stack_bytes;/* of this image: constants and code; .data + .bss; reserved stack */
    uint32_t reset_cause;        /* RCC_CSR as found at start */
    uint32_t core_settings;      /* in ST's word: its number of the series << 24, FPU 16, data cache 10, instruction cache 9,
                                  * prefetch 8, wait states 7:0 */
} tv_board_info;

void tv_board(tv_board_info *info);
uint32_t tv_stack_used(void);            /* most bytes of stack in use since the start, by its watermark */
uint32_t tv_line_overruns(void);         /* received bytes lost because nobody read them */

int tv_getc(uint32_t timeout_us);        /* next byte, or -1 after `timeout_us` without one (at most 30 s) */
void tv_putc(uint8_t byte);
void tv_flush(void);                     /* wait until the last byte has left the wire */
uint32_t tv_baud(void);
int tv_set_baud(uint32_t baud);          /* 0, or -1 where the clock cannot make it within 2 % (nothing is changed then) */

void tv_led(int on);
void tv_reset(void);                     /* does not return */
int tv_memory_ok(uint32_t address, uint32_t count, int write);   /* is the range this board's memory? */

#endif
