#include <string.h>
#include "tv_shared.h"
#include "tv_tail.h"

#define TV_TAPS 25u                      /* places of a window that four channels at a time take, at most */

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

/* Where the pixels of the window at (row, column) begin, those outside the map at `padded`; return whether all are inside. */
static int pixels_of(const tv_window *w, const uint8_t *x, uint32_t row, uint32_t column, const uint8_t *padded, const uint8_t **pixels)
{
    const uint32_t left = column * w->stride_x - w->pad_left;
    int all = 1;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = row * w->stride_y + p * w->dilation_y - w->pad_top;
        const uint8_t *const line = x + y * w->in_width * w->in_channels;
        for (uint32_t q = 0; q < w->kernel_width; q++) {
            const uint32_t at = left + q * w->dilation_x;
            const int inside = y < w->in_height && at < w->in_width;
            *pixels++ = inside ? line + at * w->in_channels : padded;
            all &= inside;
        }
    }
    return all;
}

static inline int32_t tv_low_times(uint32_t x, uint32_t w) { return (int16_t)(x & 0xFFFFu) * (int16_t)(w & 0xFFFFu); }
static inline int32_t tv_high_times(uint32_t x, uint32_t w) { return (tv_signed(x) >> 16) * (tv_signed(w) >> 16); }

/* Channels c..c+3 of a window: four products for two loads; pixels outside the map are four bytes, whatever the channel. */
static inline void four_channels(const uint8_t *const *pixels, const uint8_t *padded, const int8_t *weights, uint32_t taps, uint32_t filters,
                                 uint32_t c, int inside, int32_t sums[4])
{
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    weights += c;
    for (uint32_t t = 0; t < taps; t++, weights += filters) {
        const uint8_t *const from = pixels[t];
        const uint32_t x = tv_load(inside || from != padded ? from + c : from), w = tv_load(weights);
        const uint32_t x02 = tv_uxtb16(x), x13 = tv_uxtb16_ror8(x), w02 = tv_sxtb16(w), w13 = tv_sxtb16_ror8(w);
        s0 = tv_add(s0, tv_low_times(x02, w02));
        s2 = tv_add(s2, tv_high_times(x02, w02));
        s1 = tv_add(s1, tv_low_times(x13, w13));
        s3 = tv_add(s3, tv_high_times(x13, w13));
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/* A filter a channel and no pool but one of single results, which may skip some. */
static void by_fours(const tv_depthwise_u8_layer *layer, const uint8_t *x, const int8_t *weights, uint8_t *y)
{
    const tv_window *w = &layer->window;
    const uint32_t filters = w->out_channels, taps = (uint32_t)w->kernel_height * w->kernel_width;
    const uint8_t padded[4] = { layer->input_zero, layer->input_zero, layer->input_zero, layer->input_zero };
    const uint8_t *pixels[TV_TAPS];
    for (uint32_t row = 0; row < w->out_height; row++)
        for (uint32_t column = 0; column < w->out_width; column++) {
            const uint32_t top = row * w->pool_stride_y, left = column * w->pool_stride_x;
            const int inside = pixels_of(w, x, top, left, padded, pixels);
            uint32_t c = 0;
            for (; c + 4 <= filters; c += 4) {
                int32_t sums[4];
                if (inside) four_channels(pixels, padded, weights, taps, filters, c, 1, sums);
                else four_channels(pixels, padded, weights, taps, filters, c, 0, sums);
                for (uint32_t i = 0; i < 4; i++) *y++ = tv_usat8(tv_finish(&layer->tail, c + i, sums[i]));
            }
            for (; c < filters; c++) *y++ = tv_usat8(tv_finish(&layer->tail, c, correlate(layer, x + c, weights + c, top, left)));
        }
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
    const uint32_t filters = w->out_channels, multiplier = filters / w->in_channels, taps = (uint32_t)w->kernel_height * w->kernel_width;
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width, outputs = (uint32_t)w->out_height * w->out_width;
    const int8_t *weights = layer->weights;
    if (layer->shared.codebook) weights = decode(layer, taps, (int8_t *)scratch);
    if (multiplier == 1 && area == 1 && taps <= TV_TAPS) {
        by_fours(layer, x, weights, y);
        return;
    }
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
