#include "tv_intrinsics.h"
#include "tv_kernels.h"

/* The generator has proven that each sum fits. */
void tv_prelu_u8(const tv_prelu_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    const tv_broadcast *b = &layer->shape;
    const int32_t start = layer->offset + ((int32_t)1 << (layer->shift - 1));
    for (uint32_t i = 0; i < b->height; i++)
        for (uint32_t j = 0; j < b->width; j++) {
            const int32_t *slope = layer->slopes + i * b->row[1] + j * b->column[1];
            for (uint32_t c = 0; c < b->channels; c++, slope += b->channel[1]) {
                const int32_t d = *x++ - layer->input_zero;
                *y++ = tv_usat8((d * (d < 0 ? *slope : layer->multiplier) + start) >> layer->shift);
            }
        }
}
