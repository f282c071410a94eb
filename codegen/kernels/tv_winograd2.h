/* F(2x2, 3x3) of Winograd (Lavin and Gray, arXiv 1509.09308): 16 products for 4 results instead of 36.
 *
 *     4 acc = A' [ (2G w 2G') * (B' x B) ] A       B' = 1  0 -1  0      2G = 2  0  0      A' = 1  1  1  0
 *                                                       0  1  1  0           1  1  1           0  1 -1 -1
 *                                                       0 -1  1  0           1 -1  1
 *                                                       0  1  0 -1           0  0  2
 * All is exact: 2G has integers only, values stay within +-4 * 255 and weights within +-9 * 127, so both fit 16 bits; the sums may
 * wrap modulo 2^32 as long as 4 acc fits, which the generator proves from the weights. */
#define TV_TILE 2
#include "tv_winograd.h"

/* Four channels of a column of four pixels, the even or the odd two. */
#define TV_LOAD_4(p, half)                                                                                 \
    const uint32_t d0 = half(tv_load(p)), d1 = half(tv_load((p) + TV_LINE)), d2 = half(tv_load((p) + 2 * TV_LINE)), \
                   d3 = half(tv_load((p) + 3 * TV_LINE))

/* One side of B': the four sums of a column into a[0..3]. */
#define TV_SUMS_4(a)                                                                                       \
    a[0] = tv_ssub16(d0, d2), a[1] = tv_sadd16(d1, d2), a[2] = tv_ssub16(d2, d1), a[3] = tv_ssub16(d1, d3)

#define TV_COLUMN_4(a, p)                                                                                  \
    do {                                                                                                   \
        if (odd) { TV_LOAD_4(p, tv_uxtb16_ror8); TV_SUMS_4(a); }                                           \
        else { TV_LOAD_4(p, tv_uxtb16); TV_SUMS_4(a); }                                                    \
    } while (0)

/* The values of a row of tiles for two of the four channels at `from`; the tiles share columns. */
static inline void tv_transform_pair(const uint8_t *from, uint32_t first, uint32_t *values, int odd)
{
    uint32_t a[4], b[4], c[4], d[4];
    TV_COLUMN_4(a, from);
    TV_COLUMN_4(b, from + TV_PADDED_CHANNELS);
    for (uint32_t t = first; t < first + TV_TILE_COLUMNS; t++) {
        uint32_t *to = tv_tile_values(values, t);
        from += 2 * TV_PADDED_CHANNELS;
        TV_COLUMN_4(c, from);
        TV_COLUMN_4(d, from + TV_PADDED_CHANNELS);
        for (uint32_t i = 0; i < 4; i++, to += 4 * TV_VALUE_STEP) {
            to[0] = tv_ssub16(a[i], c[i]);
            to[TV_VALUE_STEP] = tv_sadd16(b[i], c[i]);
            to[2 * TV_VALUE_STEP] = tv_ssub16(c[i], b[i]);
            to[3 * TV_VALUE_STEP] = tv_ssub16(b[i], d[i]);
            a[i] = c[i], b[i] = d[i];
        }
    }
}

TV_HOT static void tv_transform(const uint8_t *rows, uint32_t batch, uint32_t *values)
{
    for (uint32_t r = 0; r < batch; r++, rows += TV_TILE * TV_LINE)
        for (uint32_t c = 0; c < TV_PADDED_CHANNELS; c += 4) {
            tv_transform_pair(rows + c, r * TV_TILE_COLUMNS, values + c / 2 * TV_TOGETHER, 0);
            tv_transform_pair(rows + c, r * TV_TILE_COLUMNS, values + (c / 2 + 1) * TV_TOGETHER, 1);
        }
}

#if TV_EXPAND && !TV_EXPANDS_IN_M4
/* 2G of three weights, two channels at a time, to `to` and on in steps. */
static inline void tv_weights_4(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t *to, uint32_t step)
{
    const uint32_t ends = tv_sadd16(w0, w2);
    to[0] = tv_sadd16(w0, w0);
    to[step] = tv_sadd16(ends, w1);
    to[2 * step] = tv_ssub16(ends, w1);
    to[3 * step] = tv_sadd16(w2, w2);
}

static inline void tv_expand_pair(const int8_t *from, uint32_t *to, int odd)
{
    uint32_t w[12];
    for (uint32_t q = 0; q < 3; q++) {
        uint32_t column[3];
        for (uint32_t p = 0; p < 3; p++) {
            const uint32_t bytes = tv_load(from + 4 * (3 * p + q));
            column[p] = odd ? tv_sxtb16_ror8(bytes) : tv_sxtb16(bytes);
        }
        tv_weights_4(column[0], column[1], column[2], w + q, 3);
    }
    for (uint32_t i = 0; i < 4; i++, to += 16 * TV_DEPTH) tv_weights_4(w[3 * i], w[3 * i + 1], w[3 * i + 2], to, 4 * TV_DEPTH);
}
#endif

/* Both tiles of a pair, one filter: sums m at every eighth word, results to y where they lie on the map. */
static inline void tv_result_tile(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint8_t *y, int falling)
{
    int32_t u[4], v[4];
    for (uint32_t j = 0; j < 4; j++) {
        const int32_t m1 = m[8 * (4 + j)], m2 = m[8 * (8 + j)];
        u[j] = tv_add(tv_add(m[8 * j], m1), m2);
        v[j] = tv_subtract(tv_subtract(m1, m2), m[8 * (12 + j)]);
    }
    const int32_t y00 = tv_add(tv_add(u[0], u[1]), u[2]), y01 = tv_subtract(tv_subtract(u[1], u[2]), u[3]);
    const int32_t y10 = tv_add(tv_add(v[0], v[1]), v[2]), y11 = tv_subtract(tv_subtract(v[1], v[2]), v[3]);
#if TV_POOL
    if (row < TV_OUT_HEIGHT && column < TV_OUT_WIDTH)
        y[(row * TV_OUT_WIDTH + column) * TV_FILTERS] =
            tv_result(channel, tv_larger(tv_larger(y00, y01, falling), tv_larger(y10, y11, falling), falling), 2);
#else
    y += (2 * row * TV_OUT_WIDTH + 2 * column) * TV_FILTERS;
    const int right = TV_OUT_WIDTH % 2 == 0 || 2 * column + 1 < TV_OUT_WIDTH, below = TV_OUT_HEIGHT % 2 == 0 || 2 * row + 1 < TV_OUT_HEIGHT;
    y[0] = tv_result(channel, y00, 2);
    if (right) y[TV_FILTERS] = tv_result(channel, y01, 2);
    if (below) y[TV_OUT_WIDTH * TV_FILTERS] = tv_result(channel, y10, 2);
    if (below && right) y[(TV_OUT_WIDTH + 1) * TV_FILTERS] = tv_result(channel, y11, 2);
    (void)falling;
#endif
}

static inline void tv_result_tiles(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint32_t count,
                                   uint8_t *y, int falling)
{
    for (; count--; m += TV_TILE_WORDS) tv_result_tile(channel, m, row, column++, y, falling);
}

#include "tv_winograd_run.h"
