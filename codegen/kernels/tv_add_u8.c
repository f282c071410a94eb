#include "tv_intrinsics.h"
#include "tv_kernels.h"

void tv_add_u8(const tv_add_u8_layer *layer, const uint8_t *const *x, uint8_t *y)
{
    const uint32_t shift = layer->shift;
    const int32_t start = layer->offset + ((int32_t)1 << (shift - 1));             /* fits, with all that is added: the generator has proven it */
    const uint32_t count = layer->count;                        /* y is bytes: whatever is read through a pointer, it might be */
    uint32_t i = 0;
    if (layer->inputs == 2) {
        const uint8_t *a = x[0], *b = x[1];
        const int32_t p = layer->multipliers[0], q = layer->multipliers[1];
        for (; i + 4 <= count; i += 4) {
            const uint32_t s = tv_load(a + i), t = tv_load(b + i);
            const uint32_t v0 = tv_usat8((start + (int32_t)(s & 255u) * p + (int32_t)(t & 255u) * q) >> shift);
            const uint32_t v1 = tv_usat8((start + (int32_t)(s >> 8 & 255u) * p + (int32_t)(t >> 8 & 255u) * q) >> shift);
            const uint32_t v2 = tv_usat8((start + (int32_t)(s >> 16 & 255u) * p + (int32_t)(t >> 16 & 255u) * q) >> shift);
            const uint32_t v3 = tv_usat8((start + (int32_t)(s >> 24) * p + (int32_t)(t >> 24) * q) >> shift);
            tv_store(y + i, v0 | v1 << 8 | v2 << 16 | v3 << 24);
        }
    }
    for (; i < count; i++) {
        int32_t v = start;
        for (uint32_t k = 0; k < layer->inputs; k++) v += x[k][i] * layer->multipliers[k];
        y[i] = tv_usat8(v >> shift);
    }
}
