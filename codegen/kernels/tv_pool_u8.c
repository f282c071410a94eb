#include "tv_intrinsics.h"
#include "tv_kernels.h"

void tv_average_pool2d_u8(const tv_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    const tv_window *w = &layer->window;
    const uint32_t c = w->in_channels;
    for (uint32_t i = 0; i < w->out_height; i++)
        for (uint32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < c; f++) {
                const uint8_t *from = x + (i * w->stride_y * w->in_width + j * w->stride_x) * c + f;
                uint32_t sum = 0;
                for (uint32_t p = 0; p < w->kernel_height; p++, from += (uint32_t)(w->in_width - w->kernel_width) * c)
                    for (uint32_t q = 0; q < w->kernel_width; q++, from += c) sum += *from;
                const int32_t v = tv_add(tv_signed(sum << layer->shift), layer->offset);
                *y++ = tv_usat8(tv_smmulr(v, layer->multiplier));
            }
}

void tv_max_pool2d_u8(const tv_window *w, const uint8_t *x, uint8_t *y)
{
    const uint32_t c = w->in_channels;
    for (uint32_t i = 0; i < w->out_height; i++)
        for (uint32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < c; f++) {
                uint8_t largest = 0;
                for (uint32_t p = 0; p < w->kernel_height; p++) {
                    const uint32_t row = i * w->stride_y + p - w->pad_top;             /* wraps where it lies outside */
                    if (row >= w->in_height) continue;
                    for (uint32_t q = 0; q < w->kernel_width; q++) {
                        const uint32_t column = j * w->stride_x + q - w->pad_left;
                        if (column >= w->in_width) continue;
                        const uint8_t v = x[(row * w->in_width + column) * c + f];
                        if (v > largest) largest = v;
                    }
                }
                *y++ = largest;
            }
}

void tv_padded_average_pool2d_u8(const tv_padded_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    const tv_window *w = &layer->window;
    const uint32_t channels = w->in_channels;
    for (uint32_t i = 0; i < w->out_height; i++)
        for (uint32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < channels; f++) {
                uint32_t sum = 0, n = 0;
                for (uint32_t p = 0; p < w->kernel_height; p++) {
                    const uint32_t row = i * w->stride_y + p - w->pad_top;             /* wraps where it lies outside */
                    if (row >= w->in_height) continue;
                    for (uint32_t q = 0; q < w->kernel_width; q++) {
                        const uint32_t column = j * w->stride_x + q - w->pad_left;
                        if (column >= w->in_width) continue;
                        sum += x[(row * w->in_width + column) * channels + f];
                        n++;
                    }
                }
                const int32_t v = tv_add(tv_signed(sum << layer->shift), layer->offsets[n - 1]);
                *y++ = tv_usat8(tv_smmulr(v, layer->multipliers[n - 1]));
            }
}
