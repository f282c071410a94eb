#include <string.h>
#include "tv_kernels.h"

void tv_lite_concatenate_u8(const uint8_t *const *x, const uint32_t *channels, uint32_t inputs, uint32_t pixels, uint8_t *y)
{
    for (uint32_t i = 0; i < pixels; i++)
        for (uint32_t k = 0; k < inputs; k++, y += channels[k - 1]) memcpy(y, x[k] + i * channels[k], channels[k]);
}
