#include "tv_float.h"

/* The sum at result (row, column) over the taps inside the map. */
static float correlate(const tv_window *w, const float *x, const float *weights, uint32_t row, uint32_t column)
{
    float sum = 0.0f;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = tv_tap(row, w->stride_y, p, w->dilation_y, w->pad_top);
        for (uint32_t q = 0; q < w->kernel_width; q++) {
            const uint32_t at = tv_tap(column, w->stride_x, q, w->dilation_x, w->pad_left);
            if (y < w->in_height && at < w->in_width)
                sum += weights[p * w->kernel_width + q] * x[(y * w->in_width + at) * w->in_channels];
        }
    }
    return sum;
}

void tv_depthwise_f32(const tv_conv2d_f32_layer *layer, const float *x, float *y, void *scratch)
{
    const tv_window *w = &layer->window;
    const uint32_t filters = w->out_channels, multiplier = filters / w->in_channels;
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width, outputs = (uint32_t)w->out_height * w->out_width;
    for (uint32_t f = 0; f < filters; f++) {
        const float *weights = tv_weights_f32(layer->weights, &layer->shared, f, (uint32_t)w->kernel_height * w->kernel_width, (float *)scratch);
        for (uint32_t output = 0; output < outputs; output++) {
            const uint32_t top = output / w->out_width * w->pool_stride_y, left = output % w->out_width * w->pool_stride_x;
            for (uint32_t n = 0; n < area; n++) {
                const float sum = correlate(w, x + f / multiplier, weights, top + n / w->pool_width, left + n % w->pool_width);
                const float v = tv_finish_f32(&layer->tail, f, sum);
                float *out = y + output * filters + f;
                if (n == 0 || v > *out) *out = v;
            }
        }
    }
}
