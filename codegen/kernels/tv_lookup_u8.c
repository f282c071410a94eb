#include "tv_kernels.h"

void tv_lookup_u8(const tv_lookup_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    const uint8_t *table = layer->table;
    uint32_t i = 0;
    for (; i + 4 <= layer->count; i += 4) {
        const uint8_t a = table[x[i]], b = table[x[i + 1]], c = table[x[i + 2]], d = table[x[i + 3]];
        y[i] = a;
        y[i + 1] = b;
        y[i + 2] = c;
        y[i + 3] = d;
    }
    for (; i < layer->count; i++) y[i] = table[x[i]];
}
