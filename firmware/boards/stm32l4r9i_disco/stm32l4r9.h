/* The registers of the STM32L4R9 that this firmware uses, by the names of the reference manual (RM0432).
 * Addresses and bit positions agree with the public CMSIS device header stm32l4r9xx.h and Zephyr's stm32l4r9i_disco board;
 * core registers are those of the ARMv7-M Architecture Reference Manual (DDI 0403). */
#ifndef STM32L4R9_H
#define STM32L4R9_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#define FLASH_BASE   0x08000000u
#define FLASH_BYTES  (2048u * 1024u)
#define RAM_BASE     0x20000000u         /* SRAM1 192 KiB, SRAM2 64 KiB, SRAM3 384 KiB, one after the other */
#define RAM_BYTES    (640u * 1024u)
#define SRAM2_ALIAS  0x10000000u         /* SRAM2 (0x20030000) again, on the code bus */
#define SRAM2_BYTES  (64u * 1024u)

#define RCC_CR       REG(0x40021000)     /* MSIRDY 1, PLLON 24, PLLRDY 25 */
#define RCC_CFGR     REG(0x40021008)     /* SW 1:0, SWS 3:2, HPRE 7:4 */
#define RCC_PLLCFGR  REG(0x4002100C)     /* PLLSRC 1:0, PLLM 7:4, PLLN 14:8, PLLREN 24, PLLR 26:25 */
#define RCC_AHB2ENR  REG(0x4002104C)     /* GPIOA 0, GPIOH 7 */
#define RCC_APB1ENR1 REG(0x40021058)     /* USART2 17, PWR 28 */
#define RCC_CSR      REG(0x40021094)     /* reset flags 31:25, RMVF 23 */
#define PWR_CR1      REG(0x40007000)     /* VOS 10:9 */
#define PWR_SR2      REG(0x40007014)     /* VOSF 10 */
#define PWR_CR5      REG(0x40007080)     /* R1MODE 8 */
#define FLASH_ACR    REG(0x40022000)     /* LATENCY 3:0, PRFTEN 8, ICEN 9, DCEN 10 */

#define GPIOA_MODER  REG(0x48000000)
#define GPIOA_AFRL   REG(0x48000020)
#define GPIOH_MODER  REG(0x48001C00)
#define GPIOH_BSRR   REG(0x48001C18)

#define USART2_CR1   REG(0x40004400)     /* UE 0, RE 2, TE 3, FIFOEN 29 */
#define USART2_BRR   REG(0x4000440C)
#define USART2_ISR   REG(0x4000441C)     /* ORE 3, RXNE 5, TC 6, TXE 7 */
#define USART2_ICR   REG(0x40004420)     /* PECF 0, FECF 1, NECF 2, ORECF 3 */
#define USART2_RDR   REG(0x40004424)
#define USART2_TDR   REG(0x40004428)

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

void system_clock_120mhz(void);
void uart_start(void);
#define CORE_HZ 120000000u

/* Set by the linker script. */
extern uint32_t _stack_bottom[], _stack_top[], _data_load[], _data_start[], _data_end[], _bss_start[], _bss_end[];
extern uint32_t _ramcode_load[], _ramcode_start[], _ramcode_end[], _flash_end[];

#endif
