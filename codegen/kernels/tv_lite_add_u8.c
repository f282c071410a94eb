#include "tv_lite.h"

/* v * multiplier / 2^31 * 2^exponent of a v within 2^30, exponent -31..0. */
static inline int32_t scaled(int32_t v, int32_t multiplier, int32_t exponent, uint32_t rounding)
{
    if (rounding == TV_SINGLE) return tv_lite_single(v, multiplier, exponent);
    return exponent ? tv_lite_plain(v, multiplier, exponent) : tv_smmulr(tv_shift_left(v, 1), multiplier);
}

static inline uint8_t sum_of(const tv_lite_add_u8_layer *layer, int32_t a, int32_t b, uint32_t rounding)
{
    const int32_t left = scaled((a - layer->zeros[0]) * (1 << 20), layer->multipliers[0], layer->exponents[0], rounding);
    const int32_t right = scaled((b - layer->zeros[1]) * (1 << 20), layer->multipliers[1], layer->exponents[1], rounding);
    const int32_t v = scaled(left + right, layer->multipliers[2], layer->exponents[2], rounding);
    return (uint8_t)tv_lite_limit(v + layer->zero, layer->low, layer->high);
}

TV_HOT void tv_lite_add_u8(const tv_lite_add_u8_layer *given, const uint8_t *const *x, uint8_t *y)
{
    const tv_lite_add_u8_layer layer = *given;                           /* a copy, which no store to y can change */
    const uint8_t *a = x[0], *b = x[1];
    uint32_t i = 0;
    if (layer.rounding == TV_SINGLE) {
        for (; i < layer.count; i++) y[i] = sum_of(&layer, a[i], b[i], TV_SINGLE);
        return;
    }
    for (; i + 4 <= layer.count; i += 4) {
        const uint32_t four = tv_load(a + i), other = tv_load(b + i);
        uint32_t word = 0;
        for (uint32_t k = 0; k < 32; k += 8)
            word |= (uint32_t)sum_of(&layer, (int32_t)(four >> k & 255u), (int32_t)(other >> k & 255u), TV_DOUBLE) << k;
        tv_store(y + i, word);
    }
    for (; i < layer.count; i++) y[i] = sum_of(&layer, a[i], b[i], TV_DOUBLE);
}
