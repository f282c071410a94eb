/* The inner loops of integer convolutions and dense layers.
 *
 * Weights are int8 in blocks of two filters, [K/4][2][4]; K is a multiple of TV_UNROLL. Inputs are widened to int16 into patches:
 * what a filter meets at one place. Two patches lie interleaved, [K/4][2][4]. Within each four values a patch is ordered 0 2 1 3
 * where the DSP instructions are used: SXTB16 takes bytes 0 and 2 of a word of weights, and with a rotation bytes 1 and 3. */
#ifndef TV_DOT_H
#define TV_DOT_H

#include "tv_intrinsics.h"
#include "tv_shared.h"

#define TV_UNROLL 8u

/* Place of value k in a patch, alone and as the first of two that are interleaved (the second lies 4 further). */
#if TV_DSP
#define TV_PLACE(k) (((k) & ~3u) | ((k) & 1u) << 1 | ((k) >> 1 & 1u))
#else
#define TV_PLACE(k) (k)
#endif
#define TV_PLACE_OF_TWO(k) (TV_PLACE(k) + ((k) & ~3u))

/* Four bytes, widened, in the order of a patch. */
static inline void tv_widen(const uint8_t *from, int16_t *to)
{
#if TV_DSP
    const uint32_t bytes = tv_load(from), even = tv_uxtb16(bytes), odd = tv_uxtb16_ror8(bytes);
    memcpy(to, &even, 4);
    memcpy(to + 2, &odd, 4);
#else
    for (uint32_t i = 0; i < 4; i++) to[i] = from[i];
#endif
}

/* sums[2 * p + f] = sum_k patch_p[k] * weight_f[k] for two interleaved patches and the two filters in weights..end. */
void tv_dot_2x2(const int16_t *patches, const int8_t *weights, const int8_t *end, int32_t sums[4]);

/* sums[f] likewise for one patch. */
void tv_dot_1x2(const int16_t *patch, const int8_t *weights, const int8_t *end, int32_t sums[2]);

/* Look up filter f's `size` weights of a codebook as one of two in a block, [K/4][2][4], zeros after them. */
void tv_look_up(const tv_shared *shared, uint32_t f, uint32_t size, int8_t *to);

/* The weights of filters f and f + 1, f even, of `size` weights each: in place, or looked up into `scratch`; coded ones in order, from
 * filter 0 on. */
static inline const int8_t *tv_weights_pair(const int8_t *weights, const tv_shared *shared, uint32_t f, uint32_t filters,
                                            uint32_t size, int8_t *scratch)
{
    const uint32_t k = TV_ROUND_UP(size, TV_UNROLL);
    if (weights) return weights + f * k;
#if TV_CODED
    if (!shared->bits) {
        const tv_code *const code = (const tv_code *)shared->codebook;
        tv_decoder *const decoder = tv_decoder_behind(scratch, 2u * k);
        if (!f) tv_decode_table(code, decoder);
        tv_decode(code, decoder, !f, scratch, 2u * k);
        return scratch;
    }
#endif
    for (uint32_t i = 0; i < 2; i++) {
        if (f + i < filters) tv_look_up(shared, f + i, size, scratch + 4u * i);
        else for (uint32_t n = 0; n < k; n += 4) memset(scratch + 2u * n + 4, 0, 4);
    }
    return scratch;
}

#endif
