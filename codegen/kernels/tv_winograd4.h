/* F(4x4, 3x3) of Winograd (Lavin and Gray, arXiv 1509.09308): 36 products for 16 results instead of 144, and yet exact.
 *
 *     acc = A' [ (G w G') * (B' x B) ] A, with the fractions of G taken out: G = D^-1 H, D = diag(4, 6, 6, 24, 24, 1),
 *     576 acc = (A' E) [ (H w H') * (B' x B) ] (E A), E = 24 D^-1 = diag(6, 4, 4, 1, 1, 24)
 *
 *     B' = 4  0 -5  0  1  0     H = 1  0  0     A' = 1  1  1  1  1  0
 *          0  4  4 -1 -1  0         1  1  1          0  1 -1  2 -2  0
 *          0 -4  4  1 -1  0         1 -1  1          0  1  1  4  4  0
 *          0 -2 -1  2  1  0         1  2  4          0  1 -1  8 -8  1
 *          0  2 -1 -2  1  0         1 -2  4
 *          0  4  0 -5  0  1         0  0  1
 * Values stay within +-68 * 255 and weights within +-49 * 127, so both fit 16 bits. A' E has rows with a common factor of 1, 2, 4, 4,
 * which is left out. What comes out is 9 * 64 acc / (factors) modulo 2^32; 9 has an inverse there, so 64 acc / (factors) is known
 * exactly if 64 acc fits 32 bits, which the generator proves from the weights. */
#define TV_TILE 4
#include "tv_winograd.h"

#define TV_A_NINTH 0x38E38E39u                           /* 9 * this = 1 modulo 2^32 */

/* B' of six packed values: two halves in one word, added as whole words; tv_mend puts the halves right in the end. */
#define TV_SUMS_6(d0, d1, d2, d3, d4, d5, t0, t1, t2, t3, t4, t5)                                          \
    do {                                                                                                   \
        const uint32_t p_ = (d2 << 2) - d4, q_ = (d1 << 2) - d3, r_ = d4 - d2, s_ = d3 - d1;               \
        t0 = r_ + ((d0 - d2) << 2), t1 = p_ + q_, t2 = p_ - q_;                                            \
        t3 = r_ + (s_ << 1), t4 = r_ - (s_ << 1), t5 = (d5 - d3) - (s_ << 2);                              \
    } while (0)

/* Whether the M4's own transforms can take the shape: see tv_winograd4_m4.h. */
#define TV_FITS_OFFSETS (2 * TV_LINE + 5 * TV_PADDED_CHANNELS <= 4080 && 12 * TV_TOGETHER * TV_PADDED_CHANNELS <= 4080 && TV_TILE_COLUMNS <= 65535)
#define TV_EVEN_TILES (TV_POOL ? TV_OUT_HEIGHT % 2 == 0 && TV_OUT_WIDTH % 2 == 0 : TV_OUT_HEIGHT % 4 == 0 && TV_OUT_WIDTH % 4 == 0)
#define TV_VALUES_IN_M4 (TV_DSP && TV_FITS_OFFSETS)
#define TV_RESULTS_IN_M4 (TV_DSP && TV_EVEN_TILES && TV_WITH_TAIL && 4 * TV_FILTERS <= 4080 && TV_OUT_WIDTH * TV_FILTERS <= 65535)
#if TV_DSP
#include "tv_winograd4_m4.h"
#endif

#if TV_VALUES_IN_M4

TV_VALUES_M4(tv_values_even, "")
TV_VALUES_M4(tv_values_odd, ", ror #8")

TV_HOT static void tv_transform(const uint8_t *rows, uint32_t batch, uint32_t *values)
{
    const int32_t back = 4 - 4 * TV_PLACES * TV_VALUE_STEP, on = TV_TOGETHER == 4 ? back : -4;
    for (uint32_t r = 0; r < batch; r++, rows += TV_TILE * TV_LINE) {
        const uint32_t t = r * TV_TILE_COLUMNS;
        for (uint32_t c = 0; c < TV_PADDED_CHANNELS; c += 4) {
            uint32_t *to = tv_tile_values(values + c / 2 * TV_TOGETHER, t);
            tv_values_even(rows + c, to, t & 1u ? on : back, t & 1u ? back : on);
            tv_values_odd(rows + c, to + TV_TOGETHER, t & 1u ? on : back, t & 1u ? back : on);
        }
    }
}

#else

static inline void tv_column_6(const uint8_t *p, uint32_t *a, int odd)
{
    uint32_t d[6];
    for (uint32_t i = 0; i < 6; i++) {
        const uint32_t bytes = tv_load(p + i * TV_LINE);
        d[i] = odd ? tv_uxtb16_ror8(bytes) : tv_uxtb16(bytes);
    }
    TV_SUMS_6(d[0], d[1], d[2], d[3], d[4], d[5], a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The values of a row of tiles for two of the four channels at `from`; neighbours share two columns. */
static inline void tv_transform_pair(const uint8_t *from, uint32_t first, uint32_t *values, int odd)
{
    uint32_t a[6][6];
    tv_column_6(from, a[4], odd);
    tv_column_6(from + TV_PADDED_CHANNELS, a[5], odd);
    for (uint32_t t = first; t < first + TV_TILE_COLUMNS; t++, from += 4 * TV_PADDED_CHANNELS) {
        uint32_t *to = tv_tile_values(values, t);
        for (uint32_t i = 0; i < 6; i++) a[0][i] = a[4][i], a[1][i] = a[5][i];
        for (uint32_t j = 2; j < 6; j++) tv_column_6(from + j * TV_PADDED_CHANNELS, a[j], odd);
        for (uint32_t i = 0; i < 6; i++, to += 6 * TV_VALUE_STEP) {
            uint32_t t0, t1, t2, t3, t4, t5;
            TV_SUMS_6(a[0][i], a[1][i], a[2][i], a[3][i], a[4][i], a[5][i], t0, t1, t2, t3, t4, t5);
            to[0] = tv_mend(t0), to[TV_VALUE_STEP] = tv_mend(t1), to[2 * TV_VALUE_STEP] = tv_mend(t2);
            to[3 * TV_VALUE_STEP] = tv_mend(t3), to[4 * TV_VALUE_STEP] = tv_mend(t4), to[5 * TV_VALUE_STEP] = tv_mend(t5);
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

#endif

#if TV_EXPAND && !TV_EXPANDS_IN_M4
/* H of three weights, two channels at a time, to `to` and on in steps. */
static inline void tv_weights_6(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t *to, uint32_t step)
{
    const uint32_t ends = tv_sadd16(w0, w2), twice = tv_sadd16(w1, w1), two = tv_sadd16(w2, w2);
    const uint32_t wide = tv_sadd16(w0, tv_sadd16(two, two));
    to[0] = w0;
    to[step] = tv_sadd16(ends, w1);
    to[2 * step] = tv_ssub16(ends, w1);
    to[3 * step] = tv_sadd16(wide, twice);
    to[4 * step] = tv_ssub16(wide, twice);
    to[5 * step] = w2;
}

static inline void tv_expand_pair(const int8_t *from, uint32_t *to, int odd)
{
    uint32_t w[18];
    for (uint32_t q = 0; q < 3; q++) {
        uint32_t column[3];
        for (uint32_t p = 0; p < 3; p++) {
            const uint32_t bytes = tv_load(from + 4 * (3 * p + q));
            column[p] = odd ? tv_sxtb16_ror8(bytes) : tv_sxtb16(bytes);
        }
        tv_weights_6(column[0], column[1], column[2], w + q, 3);
    }
    for (uint32_t i = 0; i < 6; i++, to += 24 * TV_DEPTH) tv_weights_6(w[3 * i], w[3 * i + 1], w[3 * i + 2], to, 4 * TV_DEPTH);
}
#endif

#if TV_RESULTS_IN_M4

TV_RESULTS_OF_M4(tv_rising_tiles, "lt")
#if TV_POOL
TV_RESULTS_OF_M4(tv_falling_tiles, "gt")
#endif

static inline void tv_result_tiles(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint32_t count,
                                   uint8_t *y, int falling)
{
    y += TV_TILE_STEP * (row * TV_OUT_WIDTH + column) * TV_FILTERS;
#if TV_POOL
    if (falling) {
        tv_falling_tiles(m, channel, y, count);
        return;
    }
#endif
    (void)falling;
    tv_rising_tiles(m, channel, y, count);
}

#else

/* A' E of six sums, each row without its common factor. */
#define TV_RESULTS_6(m0, m1, m2, m3, m4, m5, r0, r1, r2, r3)                                               \
    do {                                                                                                   \
        const uint32_t s_ = m1 + m2, d_ = m1 - m2, t_ = m3 + m4, e_ = m3 - m4;                             \
        r0 = t_ + (s_ << 2) + ((m0 + (m0 << 1)) << 1), r1 = e_ + (d_ << 1), r2 = s_ + t_;                  \
        r3 = d_ + (e_ << 1) + ((m5 + (m5 << 1)) << 1);                                                     \
    } while (0)

/* One tile, one filter: sums m at every eighth word, results to y where they lie on the map. Row and column factors leave
 * 6 - (0, 1, 2, 2)[row] - (0, 1, 2, 2)[column] bits below the accumulator's unit. */
static inline void tv_result_tile(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint8_t *y, int falling)
{
    uint32_t a[4][6], r[4][4];
    for (uint32_t j = 0; j < 6; j++, m += 8)
        TV_RESULTS_6((uint32_t)m[0], (uint32_t)m[48], (uint32_t)m[96], (uint32_t)m[144], (uint32_t)m[192], (uint32_t)m[240],
                     a[0][j], a[1][j], a[2][j], a[3][j]);
    for (uint32_t i = 0; i < 4; i++)
        TV_RESULTS_6(a[i][0], a[i][1], a[i][2], a[i][3], a[i][4], a[i][5], r[i][0], r[i][1], r[i][2], r[i][3]);
#define TV_ACC(i, j) tv_signed(r[i][j] * TV_A_NINTH)
#define TV_BITS(i, j) (6u - ((i) > 1 ? 2u : (i)) - ((j) > 1 ? 2u : (j)))
#if TV_POOL
    for (uint32_t i = 0; i < 4; i += 2)
        for (uint32_t j = 0; j < 4; j += 2) {
            const uint32_t pi = 2 * row + i / 2, pj = 2 * column + j / 2;
            if ((TV_OUT_HEIGHT % 2 && pi >= TV_OUT_HEIGHT) || (TV_OUT_WIDTH % 2 && pj >= TV_OUT_WIDTH)) continue;
            const int32_t left = tv_larger(TV_ACC(i, j) >> TV_BITS(i, j), TV_ACC(i + 1, j) >> TV_BITS(i + 1, j), falling);
            const int32_t right = tv_larger(TV_ACC(i, j + 1) >> TV_BITS(i, j + 1), TV_ACC(i + 1, j + 1) >> TV_BITS(i + 1, j + 1), falling);
            y[(pi * TV_OUT_WIDTH + pj) * TV_FILTERS] = tv_result(channel, tv_larger(left, right, falling), 0);
        }
#else
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++) {
            const uint32_t pi = 4 * row + i, pj = 4 * column + j;
            if ((TV_OUT_HEIGHT % 4 && pi >= TV_OUT_HEIGHT) || (TV_OUT_WIDTH % 4 && pj >= TV_OUT_WIDTH)) continue;
            y[(pi * TV_OUT_WIDTH + pj) * TV_FILTERS] = tv_result(channel, TV_ACC(i, j), TV_BITS(i, j));
        }
    (void)falling;
#endif
}

static inline void tv_result_tiles(const tv_channel *channel, const int32_t *m, uint32_t row, uint32_t column, uint32_t count,
                                   uint8_t *y, int falling)
{
    for (; count--; m += TV_TILE_WORDS) tv_result_tile(channel, m, row, column++, y, falling);
}

#endif

#include "tv_winograd_run.h"
