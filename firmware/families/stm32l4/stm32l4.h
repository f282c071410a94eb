/* The registers of the STM32L4 and L4+ that this firmware uses, by the names of the reference manuals (RM0351, RM0432).
 * Addresses and bit positions agree with the public CMSIS device headers stm32l4r9xx.h, stm32l4r5xx.h and stm32l476xx.h;
 * core registers are those of the ARMv7-M Architecture Reference Manual (DDI 0403). Facts of the board are in board.h. */
#ifndef STM32L4_H
#define STM32L4_H

#include <stdint.h>
#include "board.h"

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define RCC_CR       REG(0x40021000)     /* MSIRDY 1, PLLON 24, PLLRDY 25 */
#define RCC_CFGR     REG(0x40021008)     /* SW 1:0, SWS 3:2, HPRE 7:4 */
#define RCC_PLLCFGR  REG(0x4002100C)     /* PLLSRC 1:0, PLLM 7:4, PLLN 14:8, PLLREN 24, PLLR 26:25 */
#define RCC_AHB2ENR  REG(0x4002104C)     /* GPIOA 0 ... GPIOI 8 */
#define RCC_APB1ENR1 REG(0x40021058)     /* USART2 17, PWR 28 */
#define RCC_CSR      REG(0x40021094)     /* reset flags 31:25, RMVF 23 */
#define UART_ENABLE  REG(0x40021000 + UART_ENABLE_OFFSET)
#define PWR_CR1      REG(0x40007000)     /* VOS 10:9 */
#define PWR_CR2      REG(0x40007004)     /* IOSV 9: port G is powered by VDDIO2 */
#define PWR_SR2      REG(0x40007014)     /* VOSF 10 */
#define PWR_CR5      REG(0x40007080)     /* R1MODE 8 (L4+) */
#define FLASH_ACR    REG(0x40022000)     /* LATENCY 3:0, PRFTEN 8, ICEN 9, DCEN 10, ICRST 11, DCRST 12 */

#define GPIO(port, offset) REG(0x48000000u + 0x400u * (port) + (offset))
#define GPIO_MODER(port)   GPIO(port, 0x00)
#define GPIO_BSRR(port)    GPIO(port, 0x18)
#define GPIO_AFR(port, pin) GPIO(port, 0x20u + 4u * ((pin) / 8u))

#define UART_CR1     REG(UART_BASE + 0x00u)      /* UE 0, RE 2, TE 3, FIFOEN 29 (L4+) */
#define UART_BRR     REG(UART_BASE + 0x0Cu)
#define UART_ISR     REG(UART_BASE + 0x1Cu)      /* ORE 3, RXNE 5, TC 6, TXE 7 */
#define UART_ICR     REG(UART_BASE + 0x20u)      /* PECF 0, FECF 1, NECF 2, ORECF 3 */
#define UART_RDR     REG(UART_BASE + 0x24u)
#define UART_TDR     REG(UART_BASE + 0x28u)

#define DWT_CTRL     REG(0xE0001000)
#define DWT_CYCCNT   REG(0xE0001004)
#define SCB_AIRCR    REG(0xE000ED0C)
#define SCB_CCR      REG(0xE000ED14)     /* DIV_0_TRP 4 */
#define SCB_SHCSR    REG(0xE000ED24)     /* MEMFAULTENA 16, BUSFAULTENA 17, USGFAULTENA 18 */
#define SCB_CFSR     REG(0xE000ED28)
#define SCB_HFSR     REG(0xE000ED2C)
#define SCB_MMFAR    REG(0xE000ED34)
#define SCB_BFAR     REG(0xE000ED38)
#define SCB_CPACR    REG(0xE000ED88)
#define DEMCR        REG(0xE000EDFC)     /* TRCENA 24 */
#define DBGMCU_IDCODE REG(0xE0042000)

void system_clock(void);
void uart_start(void);

/* Set by the linker script. */
extern uint32_t _stack_bottom[], _stack_top[], _data_load[], _data_start[], _data_end[], _bss_start[], _bss_end[];
extern uint32_t _ramcode_load[], _ramcode_start[], _ramcode_end[], _flash_end[];
/* Nothing is held where a board's own link.ld does not set them. */
extern uint32_t _held_load[] __attribute__((weak)), _held_start[] __attribute__((weak)), _held_end[] __attribute__((weak));

#endif
