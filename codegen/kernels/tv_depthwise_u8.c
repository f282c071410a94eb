#include <string.h>
#include "tv_shared.h"
#include "tv_tail.h"

/* The sum of channel f at the convolution's result (row, column); weights [KH][KW][F]; x points at f's channel. */
static int32_t correlate(const tv_depthwise_u8_layer *layer, const uint8_t *x, const int8_t *weights, uint32_t row, uint32_t column)
{
    const tv_window *w = &layer->window;
    int32_t sum = 0;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = row * w->stride_y + p * w->dilation_y - w->pad_top;       /* wraps where it lies outside */
        for (uint32_t q = 0; q < w->kernel_width; q++, weights += w->out_channels) {
            const uint32_t at = column * w->stride_x + q * w->dilation_x - w->pad_left;
            const int inside = y < w->in_height && at < w->in_width;
            sum = tv_add(sum, (inside ? x[(y * w->in_width + at) * w->in_channels] : layer->input_zero) * *weights);
        }
    }
    return sum;
}

static const int8_t *decode(const tv_depthwise_u8_layer *layer, uint32_t area, int8_t *to)
{
    const uint32_t filters = layer->window.out_channels;
#if TV_CODED
    if (!layer->shared.bits) return tv_decode_all(&layer->shared, area * filters, to);
#endif
    for (uint32_t f = 0; f < filters; f++) {
        const int8_t *codebook = (const int8_t *)layer->shared.codebook + f * layer->shared.codebook_step;
        tv_index_reader reader = tv_read_indices(&layer->shared, f);
        for (uint32_t n = 0; n < area; n++) to[n * filters + f] = codebook[tv_next_index(&reader)];
    }
    return to;
}

void tv_depthwise_u8(const tv_depthwise_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    const tv_window *w = &layer->window;
    const uint32_t filters = w->out_channels, multiplier = filters / w->in_channels;
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width, outputs = (uint32_t)w->out_height * w->out_width;
    const int8_t *weights = layer->weights;
    if (layer->shared.codebook) weights = decode(layer, (uint32_t)w->kernel_height * w->kernel_width, (int8_t *)scratch);
    for (uint32_t output = 0; output < outputs; output++) {
        const uint32_t top = output / w->out_width * w->pool_stride_y, left = output % w->out_width * w->pool_stride_x;
        for (uint32_t f = 0; f < filters; f++) {
            int32_t best = 0;
            for (uint32_t n = 0; n < area; n++) {
                const int32_t sum = correlate(layer, x + f / multiplier, weights + f, top + n / w->pool_width, left + n % w->pool_width);
                best = n ? tv_better(&layer->tail, f, best, sum) : sum;
            }
            *y++ = tv_usat8(tv_finish(&layer->tail, f, best));
        }
    }
}
