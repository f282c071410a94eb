/* The line to the host, where board.h says: 8N1, FIFO on where there is one, polled. */
#include "stm32l4.h"
#include "tv_port.h"

#define START_BAUD 115200u
#define ORE (1u << 3)
#define RXNE (1u << 5)
#define TC (1u << 6)
#define TXE (1u << 7)

static uint32_t baud, overruns;

static void to_uart(uint32_t port, uint32_t pin)
{
    RCC_AHB2ENR |= 1u << port;
    (void)RCC_AHB2ENR;
    GPIO_AFR(port, pin) = (GPIO_AFR(port, pin) & ~(0xFu << 4 * (pin % 8u))) | UART_ALTERNATE << 4 * (pin % 8u);
    GPIO_MODER(port) = (GPIO_MODER(port) & ~(3u << 2 * pin)) | 2u << 2 * pin;
}

void uart_start(void)
{
    UART_ENABLE |= 1u << UART_ENABLE_BIT;
    (void)UART_ENABLE;
    if (TX_PORT == 6u || RX_PORT == 6u) PWR_CR2 |= 1u << 9;
    to_uart(TX_PORT, TX_PIN);
    to_uart(RX_PORT, RX_PIN);
    tv_set_baud(START_BAUD);
}

/* BRR may be written only while the UART is off. A USART's divider is clock / baud, at least 16; an LPUART's 256 times that,
 * at least 0x300. */
#if UART_LOW_POWER
typedef uint64_t ticks;
#else
typedef uint32_t ticks;
#endif
#define BRR_SCALE (UART_LOW_POWER ? 256u : 1u)
#define BRR_LEAST (UART_LOW_POWER ? 0x300u : 16u)
#define BRR_MOST (UART_LOW_POWER ? 0xFFFFFu : 0xFFFFu)

int tv_set_baud(uint32_t wanted)
{
    if (wanted < 1200 || wanted > CORE_HZ / 3) return -1;
    uint32_t divider = (uint32_t)(((ticks)CORE_HZ * BRR_SCALE + wanted / 2) / wanted);
    if (divider < BRR_LEAST || divider > BRR_MOST) return -1;
    uint32_t actual = (uint32_t)((ticks)CORE_HZ * BRR_SCALE / divider);
    uint32_t off = actual > wanted ? actual - wanted : wanted - actual;
    if (off > wanted / 50) return -1;
    UART_CR1 = 0;
    UART_BRR = divider;
    UART_CR1 = (UART_FIFO ? 1u << 29 : 0u) | 1u << 3 | 1u << 2 | 1u;
    baud = actual;
    return 0;
}

uint32_t tv_baud(void) { return baud; }
uint32_t tv_line_overruns(void) { return overruns; }

void tv_putc(uint8_t byte)
{
    while (!(UART_ISR & TXE)) { }
    UART_TDR = byte;
}

void tv_flush(void)
{
    while (!(UART_ISR & TC)) { }
}

int tv_getc(uint32_t timeout_us)
{
    uint32_t start = tv_cycles();
    do {
        uint32_t status = UART_ISR;
        if (status & ORE) {
            UART_ICR = 0xF;
            overruns++;
        }
        if (status & RXNE) return (int)(UART_RDR & 0xFF);
    } while (tv_cycles() - start < timeout_us * (CORE_HZ / 1000000u));
    return -1;
}
