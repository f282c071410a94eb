/* The course of a Winograd convolution, the same for both tiles: pad, transform values; four filters at a time: multiply, transform back. */

#if TV_EXPAND
/* Four filters' int8 weights, looked up to `bytes` where they are indices, to words [places][TV_DEPTH][4]. */
TV_HOT static const uint32_t *tv_four_weights(const tv_fixed_layer *layer, uint32_t f, uint32_t *to, int8_t *bytes)
{
#if TV_INDEX_BITS
    const int8_t *from = tv_look_up_four(layer, f, 36 * TV_PADDED_CHANNELS, bytes);
#else
    const int8_t *from = (const int8_t *)layer->weights + f * 9 * TV_PADDED_CHANNELS;
    (void)bytes;
#endif
    for (uint32_t c = 0; c < TV_PADDED_CHANNELS / 4; c++)
        for (uint32_t i = 0; i < 4; i++, from += 36) {
            tv_expand_pair(from, to + 8 * c + i, 0);
            tv_expand_pair(from, to + 8 * c + 4 + i, 1);
        }
    return to;
}
#else
static inline const uint32_t *tv_four_weights(const tv_fixed_layer *layer, uint32_t f, const uint32_t *to, const int8_t *bytes)
{
    (void)to, (void)bytes;
    return (const uint32_t *)layer->weights + f * TV_PLACES * TV_DEPTH;
}
#endif

/* The tiles of a pair, one filter; the second one may begin the next row of tiles. */
static inline void tv_result_pair(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint32_t count,
                                  uint8_t *y, int falling)
{
    if (TV_TILE_COLUMNS % 2 && count == 2 && column + 1 == TV_TILE_COLUMNS) {
        tv_result_tiles(channel, m, row, column, 1, y, falling);
        tv_result_tiles(channel, m + 4, row + 1, 0, 1, y, falling);
    } else tv_result_tiles(channel, m, row, column, count, y, falling);
}

TV_HOT void TV_NAME(const tv_fixed_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    int32_t *sums = (int32_t *)scratch;
    uint32_t *values = (uint32_t *)(sums + 8 * TV_PLACES), *weights = values + TV_PAIRS * TV_PLACES * TV_VALUE_STEP;
    uint8_t *rows = (uint8_t *)(weights + (TV_EXPAND ? TV_PLACES * TV_DEPTH * 4 : 0));
    int8_t *bytes = (int8_t *)(rows + (TV_BATCH * TV_TILE + 2) * TV_LINE);
    for (uint32_t top = 0; top < TV_TILE_ROWS; top += TV_BATCH) {
        const uint32_t batch = TV_TILE_ROWS - top < TV_BATCH ? TV_TILE_ROWS - top : TV_BATCH;
        const uint32_t tiles = batch * TV_TILE_COLUMNS;
        tv_pad(x, TV_TILE * top, TV_TILE * batch + 2, rows);
        tv_transform(rows, batch, values);
        for (uint32_t f = 0; f < TV_FILTERS; f += 4) {
            const uint32_t *w = tv_four_weights(layer, f, weights, bytes), *v = values;
            const uint32_t filters = TV_FILTERS - f < 4 ? TV_FILTERS - f : 4;
            tv_channel channels[4];
            for (uint32_t i = 0; i < filters; i++) channels[i] = tv_channel_of(&layer->tail, f + i);
            for (uint32_t t = 0; t < tiles; t += 2, v += TV_PLACES * TV_VALUE_STEP) {
                const uint32_t row = top + t / TV_TILE_COLUMNS, column = t % TV_TILE_COLUMNS, count = tiles - t < 2 ? 1 : 2;
                TV_MAC(v, w, sums, sums + 8 * TV_PLACES, 4 * TV_DEPTH);
                for (uint32_t i = 0; i < filters; i++)
                    if (TV_POOL && channels[i].multiplier < 0) tv_result_pair(channels + i, sums + i, row, column, count, y + f + i, 1);
                    else tv_result_pair(channels + i, sums + i, row, column, count, y + f + i, 0);
            }
        }
    }
}
