#include "tv_lite.h"

/* The mean of one window that begins at (top, left), which may lie outside the map, of one channel. */
static int32_t mean(const tv_lite_average_pool2d_u8_layer *layer, const uint8_t *x, int32_t top, int32_t left)
{
    const tv_window *w = &layer->window;
    int32_t sum = 0, count = 0;
    for (int32_t r = top < 0 ? 0 : top; r < top + w->kernel_height && r < w->in_height; r++)
        for (int32_t c = left < 0 ? 0 : left; c < left + w->kernel_width && c < w->in_width; c++, count++)
            sum += x[((uint32_t)r * w->in_width + (uint32_t)c) * w->in_channels] - layer->centre;
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

void tv_lite_average_pool2d_u8(const tv_lite_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    const tv_window *w = &layer->window;
    for (int32_t i = 0; i < w->out_height; i++)
        for (int32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < w->in_channels; f++) {
                const int32_t v = mean(layer, x + f, i * w->stride_y - w->pad_top, j * w->stride_x - w->pad_left);
                *y++ = (uint8_t)tv_lite_limit(v + layer->centre, layer->low, layer->high);
            }
}
