/* A convolution in halves of words: what the filters meet is gathered into columns of int16, two at a time; weights are int16.
 * See tv_fixed.h. TV_MAC, and the window: TV_KERNEL_HEIGHT, TV_KERNEL_WIDTH, TV_STRIDE_Y, TV_STRIDE_X, TV_POOL_HEIGHT,
 * TV_POOL_WIDTH, TV_POOL_STRIDE_Y, TV_POOL_STRIDE_X; TV_BLOCK results at a time, whole pool windows.
 *
 * weights [F/4][TV_DEPTH][4] words. A row of the kernel is KERNEL_WIDTH * CHANNELS bytes; each four of them, 0 1 2 3, become the
 * words (0, 2) and (1, 3), as UXTB16 gives them; what is left over: one (0, -), two (0, 1), three (0, 2) (1, -).
 * Where TV_EXPAND is 1 they are int8, [F/4][rows][4 filters][bytes of a row, in fours].
 * scratch: words of four filters [TV_DEPTH][4] if TV_EXPAND, sums [TV_BLOCK][4], columns [TV_BLOCK / 2][TV_DEPTH][2], bytes of four
 * filters if TV_INDEX_BITS (a decoder behind them if TV_CODED), and the padded input if TV_COPY. */
#include "tv_fixed.h"

void TV_MAC(const uint32_t *x, const uint32_t *w, int32_t *m, const int32_t *end, uint32_t w_step);
void TV_NAME(const tv_fixed_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

#define TV_RUN (TV_KERNEL_WIDTH * TV_CHANNELS)
#define TV_FOUR_BYTES (4 * TV_KERNEL_HEIGHT * ((TV_RUN + 3) / 4 * 4))        /* int8 weights of four filters */
#define TV_AREA (TV_POOL_HEIGHT * TV_POOL_WIDTH)

/* What the filters meet at one place, into every second word from `to`. */
static inline void tv_column(const uint8_t *x, uint32_t row, uint32_t column, uint32_t *to)
{
    const uint8_t *from = x + (row * TV_STRIDE_Y * TV_PADDED_WIDTH + column * TV_STRIDE_X) * TV_CHANNELS;
    for (uint32_t p = 0; p < TV_KERNEL_HEIGHT; p++, from += TV_PADDED_WIDTH * TV_CHANNELS) {
        uint32_t i = 0;
        for (; i + 4 <= TV_RUN; i += 4, to += 4) {
            const uint32_t bytes = tv_load(from + i);
            to[0] = tv_uxtb16(bytes);
            to[2] = tv_uxtb16_ror8(bytes);
        }
#if TV_RUN % 4 == 1
        to[0] = from[i], to += 2;
#elif TV_RUN % 4 == 2
        to[0] = from[i] | (uint32_t)from[i + 1] << 16, to += 2;
#elif TV_RUN % 4 == 3
        to[0] = from[i] | (uint32_t)from[i + 2] << 16, to[2] = from[i + 1], to += 4;
#endif
    }
}

/* Results are numbered window by window of the pool: result n is number n % area of output n / area. */
TV_HOT static void tv_columns(const uint8_t *x, uint32_t first, uint32_t count, uint32_t *to)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t output = (first + i) / TV_AREA, inside = (first + i) % TV_AREA;
        tv_column(x, output / TV_OUT_WIDTH * TV_POOL_STRIDE_Y + inside / TV_POOL_WIDTH,
                  output % TV_OUT_WIDTH * TV_POOL_STRIDE_X + inside % TV_POOL_WIDTH, to + (i >> 1) * 2 * TV_DEPTH + (i & 1));
    }
}

/* One filter's results from its sums, every fourth of m. */
static inline void tv_filter(const tv_channel *c, const int32_t *m, uint32_t outputs, uint8_t *y, int falling)
{
    for (uint32_t n = 0; n < outputs; n++, y += TV_FILTERS) {
        int32_t best = *m;
        m += 4;
        for (uint32_t i = 1; i < TV_AREA; i++, m += 4) best = tv_larger(best, *m, falling);
        *y = tv_result(c, best, 0);
    }
}

TV_HOT static void tv_finish_four(const tv_tail_u8 *tail, uint32_t f, const int32_t *m, uint32_t outputs, uint8_t *y)
{
    const uint32_t filters = TV_FILTERS - f < 4 ? TV_FILTERS - f : 4;
    for (uint32_t i = 0; i < filters; i++) {
        const tv_channel c = tv_channel_of(tail, f + i);
        if (TV_AREA > 1 && c.multiplier < 0) tv_filter(&c, m + i, outputs, y + f + i, 1);
        else tv_filter(&c, m + i, outputs, y + f + i, 0);
    }
}

#if TV_EXPAND
/* Four filters' int8 weights, [rows][4][bytes], to words [TV_DEPTH][4]. */
TV_HOT static void tv_widen_four(const int8_t *from, uint32_t *to)
{
    for (uint32_t i = 0; i < 4 * TV_DEPTH; i++) to[i] = 0;
    for (uint32_t p = 0; p < TV_KERNEL_HEIGHT; p++, to += 4 * ((TV_RUN + 1) / 2))
        for (uint32_t f = 0; f < 4; f++)
            for (uint32_t i = 0; i < TV_RUN; i += 4, from += 4) {
                const uint32_t bytes = tv_load(from), left = TV_RUN - i;
                uint32_t *at = to + 2 * i + f;
                if (left == 2) at[0] = (tv_sxtb16(bytes) & 0xFFFFu) | tv_sxtb16_ror8(bytes) << 16;
                else at[0] = tv_sxtb16(bytes);
                if (left > 2) at[4] = tv_sxtb16_ror8(bytes);
            }
}
#endif

TV_HOT void TV_NAME(const tv_fixed_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    uint32_t *weights = (uint32_t *)scratch;
    int32_t *sums = (int32_t *)(weights + (TV_EXPAND ? 4 * TV_DEPTH : 0));
    uint32_t *columns = (uint32_t *)(sums + 4 * TV_BLOCK);
    int8_t *bytes = (int8_t *)(columns + TV_BLOCK * TV_DEPTH);
#if TV_COPY
    uint8_t *padded = (uint8_t *)bytes + (TV_INDEX_BITS ? TV_FOUR_BYTES : 0) + TV_DECODER_BYTES;
    tv_pad(x, 0, TV_PADDED_HEIGHT, padded);
    x = padded;
#endif
#if TV_INDEX_BITS
    tv_prepare_four(layer, TV_FOUR_BYTES, bytes);
#endif
    for (uint32_t first = 0; first < TV_OUT_HEIGHT * TV_OUT_WIDTH * TV_AREA; first += TV_BLOCK) {
        const uint32_t left = TV_OUT_HEIGHT * TV_OUT_WIDTH * TV_AREA - first, count = left < TV_BLOCK ? left : TV_BLOCK;
        tv_columns(x, first, count, columns);
        for (uint32_t f = 0; f < TV_FILTERS; f += 4) {
#if TV_INDEX_BITS
            tv_widen_four(tv_look_up_four(layer, f, TV_FOUR_BYTES, bytes), weights);
#elif TV_EXPAND
            tv_widen_four((const int8_t *)layer->weights + f / 4 * TV_FOUR_BYTES, weights);
#endif
#if TV_EXPAND
            TV_MAC(columns, weights, sums, sums + 4 * ((count + 1) & ~1u), 0);
#else
            TV_MAC(columns, (const uint32_t *)layer->weights + f * TV_DEPTH, sums, sums + 4 * ((count + 1) & ~1u), 0);
#endif
            tv_finish_four(&layer->tail, f, sums, count / TV_AREA, y + first / TV_AREA * TV_FILTERS);
        }
    }
    (void)weights, (void)bytes;
}
