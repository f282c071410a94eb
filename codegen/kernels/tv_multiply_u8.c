#include "tv_intrinsics.h"
#include "tv_kernels.h"

void tv_multiply_u8(const tv_multiply_u8_layer *layer, const uint8_t *const *x, uint8_t *y)
{
    const tv_broadcast *b = &layer->shape;
    for (uint32_t i = 0; i < b->height; i++)
        for (uint32_t j = 0; j < b->width; j++) {
            const uint8_t *p = x[0] + i * b->row[0] + j * b->column[0], *q = x[1] + i * b->row[1] + j * b->column[1];
            for (uint32_t c = 0; c < b->channels; c++, p += b->channel[0], q += b->channel[1]) {
                const int32_t product = (*p - layer->zeros[0]) * (*q - layer->zeros[1]);
                *y++ = tv_usat8(tv_smmulr(tv_add(tv_shift_left(product, layer->shift), layer->offset), layer->multiplier));
            }
        }
}
