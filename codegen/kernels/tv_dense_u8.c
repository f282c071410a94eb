#include "tv_dot.h"
#include "tv_tail.h"

/* Two filters at once over one widened input: the second patch of the 2x2 loop is left out. */
static inline void dot_1x2(const int16_t *patch, const int8_t *weights, uint32_t k, int32_t sums[2])
{
#if TV_DSP
    int32_t s0 = 0, s1 = 0;
    const int8_t *end = weights + 2u * k;
    do {
        const uint32_t w0 = tv_load(weights), w1 = tv_load(weights + 4), x0 = tv_load(patch), x1 = tv_load(patch + 2);
        s0 = tv_smlad(x0, tv_sxtb16(w0), s0);
        s1 = tv_smlad(x0, tv_sxtb16(w1), s1);
        s0 = tv_smlad(x1, tv_sxtb16_ror8(w0), s0);
        s1 = tv_smlad(x1, tv_sxtb16_ror8(w1), s1);
        weights += 8, patch += 4;
    } while (weights != end);
    sums[0] = s0, sums[1] = s1;
#else
    uint32_t s0 = 0, s1 = 0;
    for (uint32_t i = 0; i < k; i += 4, weights += 8)
        for (uint32_t j = 0; j < 4; j++) {
            s0 += (uint32_t)(patch[i + j] * weights[j]);
            s1 += (uint32_t)(patch[i + j] * weights[4 + j]);
        }
    sums[0] = tv_signed(s0), sums[1] = tv_signed(s1);
#endif
}

static void widen(const uint8_t *x, uint32_t count, int16_t *patch)
{
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) tv_widen(x + i, patch + i);
    if (i == count) return;
    memset(patch + i, 0, 4 * sizeof(int16_t));
    for (; i < count; i++) patch[TV_PLACE(i)] = x[i];
}

/* The rounded results of outputs o and o + 1. */
static void pair(const tv_dense_u8_layer *layer, const int16_t *patch, uint32_t o, int8_t *decoded, int32_t result[2])
{
    int32_t sums[2];
    const int8_t *weights = tv_weights_pair(layer->weights, &layer->shared, o, layer->outputs, layer->inputs, decoded);
    dot_1x2(patch, weights, TV_ROUND_UP(layer->inputs, 4u), sums);
    result[0] = tv_finish(&layer->tail, o, sums[0]);
    result[1] = o + 1 < layer->outputs ? tv_finish(&layer->tail, o + 1, sums[1]) : 0;
}

void tv_dense_u8(const tv_dense_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    int16_t *patch = (int16_t *)scratch;
    int8_t *decoded = (int8_t *)(patch + TV_ROUND_UP(layer->inputs, 4u));
    widen(x, layer->inputs, patch);
    for (uint32_t o = 0; o < layer->outputs; o += 2) {
        int32_t result[2];
        pair(layer, patch, o, decoded, result);
        y[o] = tv_usat8(result[0]);
        if (o + 1 < layer->outputs) y[o + 1] = tv_usat8(result[1]);
    }
}

void tv_dense_s16(const tv_dense_u8_layer *layer, const uint8_t *x, int16_t *y, void *scratch)
{
    int16_t *patch = (int16_t *)scratch;
    int8_t *decoded = (int8_t *)(patch + TV_ROUND_UP(layer->inputs, 4u));
    widen(x, layer->inputs, patch);
    for (uint32_t o = 0; o < layer->outputs; o += 2) {
        int32_t result[2];
        pair(layer, patch, o, decoded, result);
        y[o] = tv_ssat16(result[0]);
        if (o + 1 < layer->outputs) y[o + 1] = tv_ssat16(result[1]);
    }
}
