#include "tv_intrinsics.h"
#include "tv_kernels.h"

void tv_add_u8(const tv_add_u8_layer *layer, const uint8_t *const *x, uint8_t *y)
{
    const int32_t half = (int32_t)1 << (layer->shift - 1);
    for (uint32_t i = 0; i < layer->count; i++) {
        int32_t v = layer->offset;
        for (uint32_t k = 0; k < layer->inputs; k++) v = tv_add(v, x[k][i] * layer->multipliers[k]);
        y[i] = tv_usat8((v >> layer->shift) + ((v & ((half << 1) - 1)) >= half));
    }
}
