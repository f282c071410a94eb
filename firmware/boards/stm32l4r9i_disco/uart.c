/* USART2 on PA2 (out) and PA3 (in), alternate function 7: the ST-LINK's virtual COM port. 8N1, FIFO on, polled. */
#include "stm32l4r9.h"
#include "tv_port.h"

#define START_BAUD 115200u
#define ORE (1u << 3)
#define RXNE (1u << 5)
#define TC (1u << 6)
#define TXE (1u << 7)

static uint32_t baud, overruns;

void uart_start(void)
{
    RCC_AHB2ENR |= 1u << 0;
    RCC_APB1ENR1 |= 1u << 17;
    (void)RCC_APB1ENR1;
    GPIOA_AFRL = (GPIOA_AFRL & ~0xFF00u) | 0x7700u;
    GPIOA_MODER = (GPIOA_MODER & ~0xF0u) | 0xA0u;
    tv_set_baud(START_BAUD);
}

/* BRR may be written only while the USART is off. Oversampling by 16 needs a divider of at least 16: 7.5 Mbaud. */
int tv_set_baud(uint32_t wanted)
{
    if (wanted < 1200 || wanted > CORE_HZ / 16) return -1;
    uint32_t divider = (CORE_HZ + wanted / 2) / wanted, actual = CORE_HZ / divider;
    uint32_t off = actual > wanted ? actual - wanted : wanted - actual;
    if (divider > 0xFFFF || off > wanted / 50) return -1;
    USART2_CR1 = 0;
    USART2_BRR = divider;
    USART2_CR1 = 1u << 29 | 1u << 3 | 1u << 2 | 1u;
    baud = actual;
    return 0;
}

uint32_t tv_baud(void) { return baud; }
uint32_t tv_line_overruns(void) { return overruns; }

void tv_putc(uint8_t byte)
{
    while (!(USART2_ISR & TXE)) { }
    USART2_TDR = byte;
}

void tv_flush(void)
{
    while (!(USART2_ISR & TC)) { }
}

int tv_getc(uint32_t timeout_us)
{
    uint32_t start = tv_cycles();
    do {
        uint32_t status = USART2_ISR;
        if (status & ORE) {
            USART2_ICR = 0xF;
            overruns++;
        }
        if (status & RXNE) return (int)(USART2_RDR & 0xFF);
    } while (tv_cycles() - start < timeout_us * (CORE_HZ / 1000000u));
    return -1;
}
