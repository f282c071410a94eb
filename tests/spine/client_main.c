/* HAL stand-ins: UART2 is standard input and output. */
#include <stdio.h>
#include "main.h"
#include "app_x-cube-ai.h"

UART_HandleTypeDef huart2;

HAL_StatusTypeDef HAL_UART_Receive(UART_HandleTypeDef *h, uint8_t *data, uint16_t size, uint32_t timeout)
{
    (void)h, (void)timeout;
    return fread(data, 1, size, stdin) == size ? HAL_OK : HAL_TIMEOUT;
}

HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *h, const uint8_t *data, uint16_t size, uint32_t timeout)
{
    (void)h, (void)timeout;
    return fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0 ? HAL_OK : HAL_ERROR;
}

int main(void)
{
    MX_X_CUBE_AI_Init();
    MX_X_CUBE_AI_Process();
    return 0;
}
