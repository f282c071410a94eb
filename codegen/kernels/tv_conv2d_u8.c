#include "tv_dot.h"
#include "tv_tail.h"

/* One pixel's channels, or its zero point, as values first..first+channels-1 of one of two interleaved patches. */
static void put(const uint8_t *from, uint32_t zero, uint32_t channels, uint32_t first, int16_t *patch)
{
    uint32_t c = 0;
    for (; (first + c) & 3u && c < channels; c++) patch[TV_PLACE_OF_TWO(first + c)] = (int16_t)(from ? from[c] : zero);
    if (from)
        for (; c + 4 <= channels; c += 4) tv_widen(from + c, patch + 2u * (first + c));
    for (; c < channels; c++) patch[TV_PLACE_OF_TWO(first + c)] = (int16_t)(from ? from[c] : zero);
}

/* Widen what the filters meet at the convolution's result (row, column) into `patch`; its last values, up to a multiple of
 * TV_UNROLL, are left as they are: their weights are 0. */
static void gather(const tv_conv2d_u8_layer *layer, const uint8_t *x, uint32_t row, uint32_t column, int16_t *patch)
{
    const tv_window *w = &layer->window;
    const uint32_t channels = w->in_channels, line = channels * w->kernel_width;
    const uint32_t left = column * w->stride_x - w->pad_left;            /* wraps where it lies outside */
    const int inside = w->dilation_x == 1 && left < w->in_width && left + w->kernel_width <= w->in_width;
    uint32_t first = 0;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = row * w->stride_y + p * w->dilation_y - w->pad_top;
        const uint8_t *from = y < w->in_height ? x + y * w->in_width * channels : 0;
        if (inside || !from) {
            put(from ? from + left * channels : 0, layer->input_zero, line, first, patch);
            first += line;
            continue;
        }
        for (uint32_t q = 0; q < w->kernel_width; q++, first += channels) {
            const uint32_t at = left + q * w->dilation_x;
            put(at < w->in_width ? from + at * channels : 0, layer->input_zero, channels, first, patch);
        }
    }
}

/* Results are numbered window by window of the pool: result n is number n % area of output n / area. */
static void gather_block(const tv_conv2d_u8_layer *layer, const uint8_t *x, uint32_t first, uint32_t count, int16_t *patches, uint32_t k)
{
    const tv_window *w = &layer->window;
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t output = (first + i) / area, inside = (first + i) % area;
        const uint32_t top = output / w->out_width * w->pool_stride_y, left = output % w->out_width * w->pool_stride_x;
        gather(layer, x, top + inside / w->pool_width, left + inside % w->pool_width,
               patches + (i & ~1u) * k + (i & 1u) * 4u);
    }
}

/* Filters f and f + 1 over `count` gathered results: `outputs` values of y for each, `area` results pooled into one. */
static void correlate(const tv_conv2d_u8_layer *layer, const int16_t *patches, const int8_t *weights, uint32_t k, uint32_t f,
                      uint32_t count, uint32_t area, uint8_t *y)
{
    const uint32_t filters = layer->window.out_channels;
    const int two = f + 1 < filters;
    const tv_tail_u8 *tail = &layer->tail;
    int32_t best0 = 0, best1 = 0;
    for (uint32_t n = 0, inside = 0; n < count; n += 2) {
        int32_t sums[4];
        tv_dot_2x2(patches + n * k, weights, weights + 2u * k, sums);
        for (uint32_t i = 0; i < 2 && n + i < count; i++) {
            best0 = inside ? tv_better(tail, f, best0, sums[2 * i]) : sums[2 * i];
            if (two) best1 = inside ? tv_better(tail, f + 1, best1, sums[2 * i + 1]) : sums[2 * i + 1];
            if (++inside < area) continue;
            inside = 0;
            y[f] = tv_usat8(tv_finish(tail, f, best0));
            if (two) y[f + 1] = tv_usat8(tv_finish(tail, f + 1, best1));
            y += filters;
        }
    }
}

void tv_conv2d_u8(const tv_conv2d_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    const tv_window *w = &layer->window;
    const uint32_t size = (uint32_t)w->kernel_height * w->kernel_width * w->in_channels, k = TV_ROUND_UP(size, TV_UNROLL);
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width, outputs = (uint32_t)w->out_height * w->out_width;
    const uint32_t filters = w->out_channels, block = layer->block, patches_in_block = TV_ROUND_UP(block * area, 2u);
    int16_t *patches = (int16_t *)scratch;
    int8_t *decoded = (int8_t *)(patches + patches_in_block * k);
    const int8_t *weights = layer->weights;
    memset(patches, 0, patches_in_block * k * sizeof(int16_t));
#if TV_CODED
    if (layer->expand && !layer->shared.bits) weights = tv_decode_all(&layer->shared, TV_ROUND_UP(filters, 2u) * k, decoded);
#endif
    if (layer->expand && !weights) {
        for (uint32_t f = 0; f < filters; f += 2) tv_weights_pair(0, &layer->shared, f, filters, size, decoded + f * k);
        weights = decoded;
    }
    for (uint32_t first = 0; first < outputs; first += block) {
        const uint32_t count = outputs - first < block ? outputs - first : block;
        gather_block(layer, x, first * area, count * area, patches, k);
        for (uint32_t f = 0; f < filters; f += 2) {
            const int8_t *pair = tv_weights_pair(weights, &layer->shared, f, filters, size, decoded);
            correlate(layer, patches, pair, k, f, count * area, area, y + first * filters);
        }
    }
}
