/* The inner loops of integer convolutions and dense layers.
 *
 * Patches are int16, weights int8 in blocks of two filters, [K/4][2][4]; K is a multiple of 4. Within each four values a patch
 * is ordered 0 2 1 3 where the DSP instructions are used: SXTB16 takes bytes 0 and 2 of a word of weights, and with a rotation
 * bytes 1 and 3. */
#ifndef TV_DOT_H
#define TV_DOT_H

#include "tv_intrinsics.h"
#include "tv_shared.h"

#define TV_ROUND_UP(n, multiple) (((n) + (multiple) - 1u) / (multiple) * (multiple))

#if TV_DSP

/* Place of value k in a patch. */
#define TV_PLACE(k) (((k) & ~3u) | ((k) & 1u) << 1 | ((k) >> 1 & 1u))

/* Four bytes, widened, in the order of a patch. */
static inline void tv_widen(const uint8_t *from, int16_t *to)
{
    const uint32_t bytes = tv_load(from), even = tv_uxtb16(bytes), odd = tv_uxtb16_ror8(bytes);
    memcpy(to, &even, 4);
    memcpy(to + 2, &odd, 4);
}

/* sums[2 * p + f] += sum_k patch_p[k] * weights_f[k] for two patches and two filters */
static inline void tv_dot_2x2(const int16_t *patch0, const int16_t *patch1, const int8_t *weights, uint32_t k, int32_t sums[4])
{
    int32_t s00 = sums[0], s01 = sums[1], s10 = sums[2], s11 = sums[3];
    const int8_t *end = weights + 2u * k;
    do {
        const uint32_t w0 = tv_load(weights), w1 = tv_load(weights + 4);
        uint32_t v0 = tv_sxtb16(w0), v1 = tv_sxtb16(w1), x0 = tv_load(patch0), x1 = tv_load(patch1);
        s00 = tv_smlad(x0, v0, s00);
        s01 = tv_smlad(x0, v1, s01);
        s10 = tv_smlad(x1, v0, s10);
        s11 = tv_smlad(x1, v1, s11);
        x0 = tv_load(patch0 + 2), x1 = tv_load(patch1 + 2);
        v0 = tv_sxtb16_ror8(w0), v1 = tv_sxtb16_ror8(w1);
        s00 = tv_smlad(x0, v0, s00);
        s01 = tv_smlad(x0, v1, s01);
        s10 = tv_smlad(x1, v0, s10);
        s11 = tv_smlad(x1, v1, s11);
        weights += 8, patch0 += 4, patch1 += 4;
    } while (weights != end);
    sums[0] = s00, sums[1] = s01, sums[2] = s10, sums[3] = s11;
}

#else

#define TV_PLACE(k) (k)

static inline void tv_widen(const uint8_t *from, int16_t *to)
{
    for (uint32_t i = 0; i < 4; i++) to[i] = from[i];
}

static inline void tv_dot_2x2(const int16_t *patch0, const int16_t *patch1, const int8_t *weights, uint32_t k, int32_t sums[4])
{
    uint32_t s00 = (uint32_t)sums[0], s01 = (uint32_t)sums[1], s10 = (uint32_t)sums[2], s11 = (uint32_t)sums[3];
    for (uint32_t i = 0; i < k; i += 4, weights += 8)
        for (uint32_t j = 0; j < 4; j++) {
            s00 += (uint32_t)(patch0[i + j] * weights[j]);
            s01 += (uint32_t)(patch0[i + j] * weights[4 + j]);
            s10 += (uint32_t)(patch1[i + j] * weights[j]);
            s11 += (uint32_t)(patch1[i + j] * weights[4 + j]);
        }
    sums[0] = tv_signed(s00), sums[1] = tv_signed(s01), sums[2] = tv_signed(s10), sums[3] = tv_signed(s11);
}

#endif

/* The weights of filters f and f + 1, f even, of `size` weights each: in place, or decoded to `scratch`. */
static inline const int8_t *tv_weights_pair(const int8_t *weights, const tv_shared *shared, uint32_t f, uint32_t filters,
                                            uint32_t size, int8_t *scratch)
{
    const uint32_t k = TV_ROUND_UP(size, 4u);
    if (!shared->codebook) return weights + f * k;
    memset(scratch, 0, 2u * k);
    for (uint32_t i = 0; i < 2 && f + i < filters; i++) {
        const int8_t *codebook = (const int8_t *)shared->codebook + (f + i) * shared->codebook_step;
        tv_index_reader reader = tv_read_indices(shared, f + i);
        int8_t *to = scratch + 4u * i;
        for (uint32_t n = 0; n < size; n++) to[(n >> 2) * 8u + (n & 3u)] = codebook[tv_next_index(&reader)];
    }
    return scratch;
}

#endif
