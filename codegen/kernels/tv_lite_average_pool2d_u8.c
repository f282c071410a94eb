#include "tv_lite.h"

#define TV_MOST 257u                    /* bytes whose sum fits a half of a word */

/* The sums of channels 0..3 of a window's values within the map, rows top..bottom-1, columns left..right-1. */
static void four_sums(const tv_window *w, const uint8_t *x, uint32_t top, uint32_t bottom, uint32_t left, uint32_t right, uint32_t sums[4])
{
    uint32_t even = 0, odd = 0;
    for (uint32_t r = top; r < bottom; r++) {
        const uint8_t *from = x + (r * w->in_width + left) * w->in_channels;
        for (uint32_t c = left; c < right; c++, from += w->in_channels) {
            const uint32_t word = tv_load(from);
            even += tv_uxtb16(word);
            odd += tv_uxtb16_ror8(word);
        }
    }
    sums[0] = even & 0xFFFFu, sums[1] = odd & 0xFFFFu, sums[2] = even >> 16, sums[3] = odd >> 16;
}

static uint32_t one_sum(const tv_window *w, const uint8_t *x, uint32_t top, uint32_t bottom, uint32_t left, uint32_t right)
{
    uint32_t sum = 0;
    for (uint32_t r = top; r < bottom; r++)
        for (uint32_t c = left; c < right; c++) sum += x[(r * w->in_width + c) * w->in_channels];
    return sum;
}

/* The mean of `count` values whose sum is `total`. */
static uint8_t mean(const tv_lite_average_pool2d_u8_layer *layer, uint32_t total, int32_t count)
{
    const int32_t sum = (int32_t)total - count * layer->centre, v = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
    return (uint8_t)tv_lite_limit(v + layer->centre, layer->low, layer->high);
}

void tv_lite_average_pool2d_u8(const tv_lite_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    const tv_window *w = &layer->window;
    for (int32_t i = 0; i < w->out_height; i++)
        for (int32_t j = 0; j < w->out_width; j++) {
            const int32_t row = i * w->stride_y - w->pad_top, column = j * w->stride_x - w->pad_left;
            const int32_t below = row + w->kernel_height, beyond = column + w->kernel_width;
            const uint32_t top = row < 0 ? 0 : (uint32_t)row, left = column < 0 ? 0 : (uint32_t)column;
            const uint32_t bottom = below < w->in_height ? (uint32_t)below : w->in_height, right = beyond < w->in_width ? (uint32_t)beyond : w->in_width;
            const uint32_t count = (bottom - top) * (right - left);
            uint32_t f = 0;
            for (; f + 4 <= w->in_channels && count <= TV_MOST; f += 4) {
                uint32_t sums[4];
                four_sums(w, x + f, top, bottom, left, right, sums);
                for (uint32_t k = 0; k < 4; k++) *y++ = mean(layer, sums[k], (int32_t)count);
            }
            for (; f < w->in_channels; f++) *y++ = mean(layer, one_sum(w, x + f, top, bottom, left, right), (int32_t)count);
        }
}
