/* The course of a Winograd convolution, the same for both tiles: pad, transform values; TV_ABREAST filters at a time: multiply,
 * transform back. y may be x where a result's row is not longer than an input's. */

#if TV_EXPANDS_IN_M4
#include "tv_expand_m4.h"
#endif

#if TV_EXPAND
/* Four filters' int8 weights, looked up to `bytes` where they are indices, to words [places][TV_DEPTH][4]. */
TV_HOT static const uint32_t *tv_some_weights(const tv_fixed_layer *layer, uint32_t f, uint32_t *to, int8_t *bytes)
{
#if TV_INDEX_BITS
    const int8_t *from = tv_look_up_four(layer, f, 36 * TV_PADDED_CHANNELS, bytes);
#else
    const int8_t *from = (const int8_t *)layer->weights + f * 9 * TV_PADDED_CHANNELS;
    (void)bytes;
#endif
    for (uint32_t c = 0; c < TV_PADDED_CHANNELS / 4; c++, from += 144) {
#if TV_EXPANDS_IN_M4
        tv_expand_even(from, to + 8 * c);
        tv_expand_odd(from, to + 8 * c + 4);
#else
        for (uint32_t i = 0; i < 4; i++) {
            tv_expand_pair(from + 36 * i, to + 8 * c + i, 0);
            tv_expand_pair(from + 36 * i, to + 8 * c + 4 + i, 1);
        }
#endif
    }
    return to;
}
#else
static inline const uint32_t *tv_some_weights(const tv_fixed_layer *layer, uint32_t f, const uint32_t *to, const int8_t *bytes)
{
    (void)to, (void)bytes;
    return (const uint32_t *)layer->weights + f * TV_PLACES * TV_DEPTH;
}
#endif

/* `count` of the tiles that were multiplied together, one filter; they may go on in the next rows of tiles. */
static inline void tv_result_group(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint32_t count,
                                   uint8_t *y, int falling)
{
#if TV_TILE_COLUMNS % TV_TOGETHER
    for (uint32_t left = TV_TILE_COLUMNS - column; count > left; row++, column = 0, left = TV_TILE_COLUMNS) {
        tv_result_tiles(channel, m, row, column, left, y, falling);
        m += left * TV_TILE_WORDS, count -= left;
    }
#endif
    tv_result_tiles(channel, m, row, column, count, y, falling);
}

static inline void tv_multiply(const uint32_t *v, const uint32_t *w, int32_t *sums)
{
#if TV_TOGETHER == 4
    TV_MAC(w, v, sums, sums + 8 * TV_PLACES, 4 * TV_DEPTH);
#else
    TV_MAC(v, w, sums, sums + 8 * TV_PLACES, 4 * TV_DEPTH);
#endif
}

TV_HOT void TV_NAME(const tv_fixed_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    int32_t *sums = (int32_t *)scratch;
    uint32_t *values = (uint32_t *)(sums + 8 * TV_PLACES), *weights = values + TV_GROUPS * TV_PLACES * TV_VALUE_STEP;
    uint8_t *rows = (uint8_t *)(weights + (TV_EXPAND ? TV_PLACES * TV_DEPTH * 4 : 0));
    int8_t *bytes = (int8_t *)(rows + (TV_BATCH * TV_TILE + 2) * TV_LINE);
#if TV_INDEX_BITS
    tv_prepare_four(layer, 36 * TV_PADDED_CHANNELS, bytes);
#endif
    for (uint32_t top = 0; top < TV_TILE_ROWS; top += TV_BATCH) {
        const uint32_t batch = TV_TILE_ROWS - top < TV_BATCH ? TV_TILE_ROWS - top : TV_BATCH;
        const uint32_t tiles = batch * TV_TILE_COLUMNS;
        if (top) tv_put(rows, rows + TV_BATCH * TV_TILE * TV_LINE, 2 * TV_LINE);         /* x may be written over by now */
        tv_pad(x, TV_TILE * top + (top ? 2 : 0), TV_TILE * batch + (top ? 0 : 2), rows + (top ? 2 * TV_LINE : 0));
        tv_transform(rows, batch, values);
        for (uint32_t f = 0; f < TV_FILTERS; f += TV_ABREAST) {
            const uint32_t *w = tv_some_weights(layer, f, weights, bytes), *v = values;
            const uint32_t filters = TV_FILTERS - f < TV_ABREAST ? TV_FILTERS - f : TV_ABREAST;
            tv_channel channels[TV_ABREAST];
            for (uint32_t i = 0; i < filters; i++) channels[i] = tv_channel_of(&layer->tail, f + i);
            for (uint32_t t = 0; t < tiles; t += TV_TOGETHER, v += TV_PLACES * TV_VALUE_STEP) {
                const uint32_t row = top + t / TV_TILE_COLUMNS, column = t % TV_TILE_COLUMNS;
                const uint32_t count = tiles - t < TV_TOGETHER ? tiles - t : TV_TOGETHER;
                tv_multiply(v, w, sums);
                for (uint32_t i = 0; i < filters; i++) {
                    const int32_t *m = sums + i * TV_FILTER_WORDS;
                    if (TV_POOL && channels[i].multiplier < 0) tv_result_group(channels + i, m, row, column, count, y + f + i, 1);
                    else tv_result_group(channels + i, m, row, column, count, y + f + i, 0);
                }
            }
        }
    }
}
