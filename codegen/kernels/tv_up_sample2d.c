#include "tv_kernels.h"

void tv_up_sample2d(const void *x, void *y, uint32_t height, uint32_t width, uint32_t pixel, uint32_t rows, uint32_t columns);

/* y[i,j] = x[i / rows, j / columns]: a map of height * width pixels of `pixel` bytes each, to one rows * columns times as large. */
void tv_up_sample2d(const void *x, void *y, uint32_t height, uint32_t width, uint32_t pixel, uint32_t rows, uint32_t columns)
{
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    for (uint32_t i = 0; i < height; i++, from += width * pixel)
        for (uint32_t p = 0; p < rows; p++)
            for (uint32_t j = 0; j < width; j++)
                for (uint32_t q = 0; q < columns; q++, to += pixel)
                    for (uint32_t k = 0; k < pixel; k++) to[k] = from[j * pixel + k];
}
