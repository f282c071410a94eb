#include "tv_kernels.h"

void tv_level_table_u8(const tv_level_table_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    for (uint32_t i = 0; i < layer->pixels; i++) {
        const uint8_t *table = layer->table;
        for (uint32_t c = 0; c < layer->channels; c++, table += layer->step) *y++ = table[*x++];
    }
}
