#include "tv_float.h"

void tv_add_f32(const tv_add_f32_layer *layer, const float *const *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) {
        float sum = layer->first * x[0][i];
        for (uint32_t k = 1; k < layer->inputs; k++) sum += layer->rest * x[k][i];
        y[i] = tv_activate(sum, layer->activation, layer->slope, layer->high);
    }
}

void tv_affine_f32(const tv_affine_f32_layer *layer, const float *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) y[i] = layer->scale * x[i] + layer->shift;
}

void tv_multiply_f32(const tv_broadcast *b, const float *const *x, float *y)
{
    for (uint32_t i = 0; i < b->height; i++)
        for (uint32_t j = 0; j < b->width; j++)
            for (uint32_t c = 0; c < b->channels; c++)
                *y++ = x[0][i * b->row[0] + j * b->column[0] + c * b->channel[0]] * x[1][i * b->row[1] + j * b->column[1] + c * b->channel[1]];
}

void tv_maximum_f32(const tv_maximum_f32_layer *layer, const float *const *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) {
        float largest = x[0][i];
        for (uint32_t k = 1; k < layer->inputs; k++) largest = x[k][i] > largest ? x[k][i] : largest;
        y[i] = largest;
    }
}
