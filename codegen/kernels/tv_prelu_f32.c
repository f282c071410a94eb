#include "tv_kernels.h"

void tv_prelu_f32(const tv_prelu_f32_layer *layer, const float *x, float *y)
{
    const tv_broadcast *b = &layer->shape;
    for (uint32_t i = 0; i < b->height; i++)
        for (uint32_t j = 0; j < b->width; j++) {
            const float *slope = layer->slopes + i * b->row[1] + j * b->column[1];
            for (uint32_t c = 0; c < b->channels; c++, slope += b->channel[1], x++) *y++ = *x < 0.0f ? *slope * *x : *x;
        }
}
