#include "tv_float.h"

void tv_add_f32(const tv_add_f32_layer *layer, const float *const *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) {
        float sum = x[0][i];
        for (uint32_t k = 1; k < layer->inputs; k++) sum += x[k][i];
        y[i] = tv_activate(sum, layer->activation, layer->slope, layer->high);
    }
}

void tv_affine_f32(const tv_affine_f32_layer *layer, const float *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) y[i] = layer->scale * x[i] + layer->shift;
}
