#include "tv_lite.h"

static int32_t part(const tv_lite_add_u8_layer *layer, uint32_t k, uint8_t x)
{
    return tv_lite_multiply(((int32_t)x - layer->zeros[k]) * (1 << 20), layer->multipliers[k], layer->exponents[k]);
}

void tv_lite_add_u8(const tv_lite_add_u8_layer *layer, const uint8_t *const *x, uint8_t *y)
{
    const uint8_t *a = x[0], *b = x[1];
    for (uint32_t i = 0; i < layer->count; i++) {
        const int32_t v = tv_lite_multiply(part(layer, 0, a[i]) + part(layer, 1, b[i]), layer->multipliers[2], layer->exponents[2]);
        y[i] = (uint8_t)tv_lite_limit(v + layer->zero, layer->low, layer->high);
    }
}
