#include "tv_dot.h"
#include "tv_tail.h"

static void widen(const uint8_t *x, uint32_t count, int16_t *patch)
{
    uint32_t i = 0;
    memset(patch + (count & ~(TV_UNROLL - 1u)), 0, (TV_ROUND_UP(count, TV_UNROLL) - (count & ~(TV_UNROLL - 1u))) * sizeof(int16_t));
    for (; i + 4 <= count; i += 4) tv_widen(x + i, patch + i);
    for (; i < count; i++) patch[TV_PLACE(i)] = x[i];
}

/* The rounded results of outputs o and o + 1. */
static void pair(const tv_dense_u8_layer *layer, const int16_t *patch, uint32_t o, int8_t *decoded, int32_t result[2])
{
    int32_t sums[2];
    const int8_t *weights = tv_weights_pair(layer->weights, &layer->shared, o, layer->outputs, layer->inputs, decoded);
    tv_dot_1x2(patch, weights, weights + 2u * TV_ROUND_UP(layer->inputs, TV_UNROLL), sums);
    result[0] = tv_finish(&layer->tail, o, sums[0]);
    result[1] = o + 1 < layer->outputs ? tv_finish(&layer->tail, o + 1, sums[1]) : 0;
}

void tv_dense_u8(const tv_dense_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    int16_t *patch = (int16_t *)scratch;
    int8_t *decoded = (int8_t *)(patch + TV_ROUND_UP(layer->inputs, TV_UNROLL));
    widen(x, layer->inputs, patch);
    for (uint32_t o = 0; o < layer->outputs; o += 2) {
        int32_t result[2];
        pair(layer, patch, o, decoded, result);
        y[o] = tv_usat8(result[0]);
        if (o + 1 < layer->outputs) y[o + 1] = tv_usat8(result[1]);
    }
}

#ifndef TV_LITE_H                       /* whose results all have 8 bits */
void tv_dense_s16(const tv_dense_u8_layer *layer, const uint8_t *x, int16_t *y, void *scratch)
{
    int16_t *patch = (int16_t *)scratch;
    int8_t *decoded = (int8_t *)(patch + TV_ROUND_UP(layer->inputs, TV_UNROLL));
    widen(x, layer->inputs, patch);
    for (uint32_t o = 0; o < layer->outputs; o += 2) {
        int32_t result[2];
        pair(layer, patch, o, decoded, result);
        y[o] = tv_ssat16(result[0]);
        if (o + 1 < layer->outputs) y[o + 1] = tv_ssat16(result[1]);
    }
}
#endif
