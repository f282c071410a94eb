#include "tv_float.h"

void tv_average_pool2d_f32(const tv_window *w, const float *x, float *y)
{
    const uint32_t c = w->in_channels, area = (uint32_t)w->kernel_height * w->kernel_width;
    for (uint32_t i = 0; i < w->out_height; i++)
        for (uint32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < c; f++) {
                float sum = 0.0f;
                for (uint32_t n = 0; n < area; n++) {
                    const uint32_t row = i * w->stride_y + n / w->kernel_width, column = j * w->stride_x + n % w->kernel_width;
                    sum += x[(row * w->in_width + column) * c + f];
                }
                *y++ = sum / (float)area;
            }
}

void tv_max_pool2d_f32(const tv_window *w, const float *x, float *y)
{
    const uint32_t c = w->in_channels, area = (uint32_t)w->kernel_height * w->kernel_width;
    for (uint32_t i = 0; i < w->out_height; i++)
        for (uint32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < c; f++) {
                int empty = 1;
                float largest = 0.0f;
                for (uint32_t n = 0; n < area; n++) {
                    const uint32_t row = tv_tap(i, w->stride_y, n / w->kernel_width, 1, w->pad_top);
                    const uint32_t column = tv_tap(j, w->stride_x, n % w->kernel_width, 1, w->pad_left);
                    if (row >= w->in_height || column >= w->in_width) continue;
                    const float v = x[(row * w->in_width + column) * c + f];
                    if (empty || v > largest) largest = v;
                    empty = 0;
                }
                *y++ = largest;
            }
}

void tv_padded_average_pool2d_f32(const tv_window *w, const float *x, float *y)
{
    const uint32_t c = w->in_channels, area = (uint32_t)w->kernel_height * w->kernel_width;
    for (uint32_t i = 0; i < w->out_height; i++)
        for (uint32_t j = 0; j < w->out_width; j++)
            for (uint32_t f = 0; f < c; f++) {
                uint32_t counted = 0;
                float sum = 0.0f;
                for (uint32_t n = 0; n < area; n++) {
                    const uint32_t row = tv_tap(i, w->stride_y, n / w->kernel_width, 1, w->pad_top);
                    const uint32_t column = tv_tap(j, w->stride_x, n % w->kernel_width, 1, w->pad_left);
                    if (row >= w->in_height || column >= w->in_width) continue;
                    sum += x[(row * w->in_width + column) * c + f];
                    counted++;
                }
                *y++ = sum / (float)counted;
            }
}
