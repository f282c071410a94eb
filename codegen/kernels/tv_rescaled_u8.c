#include "tv_intrinsics.h"
#include "tv_kernels.h"

/* A value of input k in the result's levels; the generator has proven that the sum fits. */
static uint8_t rescaled(const tv_rescaled_u8_layer *layer, uint32_t k, uint8_t x)
{
    const int32_t half = (int32_t)1 << (layer->shift - 1);
    return tv_usat8((x * layer->multipliers[k] + layer->offsets[k] + half) >> layer->shift);
}

void tv_maximum_u8(const tv_rescaled_u8_layer *layer, const uint8_t *const *x, uint8_t *y)
{
    for (uint32_t i = 0; i < layer->count; i++) {
        uint8_t largest = 0;
        for (uint32_t k = 0; k < layer->inputs; k++) {
            const uint8_t v = rescaled(layer, k, x[k][i]);
            if (v > largest) largest = v;
        }
        y[i] = largest;
    }
}

void tv_concatenate_u8(const tv_rescaled_u8_layer *layer, const uint8_t *const *x, uint8_t *y)
{
    for (uint32_t i = 0; i < layer->count; i++)
        for (uint32_t k = 0; k < layer->inputs; k++) {
            const uint32_t channels = (uint32_t)layer->channels[k];
            const uint8_t *from = x[k] + i * channels;
            for (uint32_t c = 0; c < channels; c++) *y++ = rescaled(layer, k, from[c]);
        }
}
