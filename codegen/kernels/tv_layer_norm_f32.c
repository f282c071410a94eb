#include "tv_kernels.h"

/* 1 / sqrt(v), v above 0, without a library: v by powers of four to 0.5..2, a line within 15 % of it there, four of Newton's steps. */
static float inverse_root(float v)
{
    float scale = 1.0f;
    if (!(v < 3.0e38f)) return 0.0f;
    while (v > 2.0f) {
        v *= 0.25f;
        scale *= 0.5f;
    }
    while (v < 0.5f) {
        v *= 4.0f;
        scale *= 2.0f;
    }
    float y = 1.6f - 0.5f * v;
    for (uint32_t i = 0; i < 4u; i++) y *= 1.5f - 0.5f * v * y * y;
    return scale * y;
}

void tv_layer_norm_f32(const tv_layer_norm_f32_layer *layer, const float *x, float *y)
{
    const uint32_t n = layer->count;
    for (uint32_t r = 0; r < layer->rows; r++, x += n, y += n) {
        float mean = 0.0f, variance = 0.0f;
        for (uint32_t i = 0; i < n; i++) mean += x[i];
        mean /= (float)n;
        for (uint32_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
        const float inverse = inverse_root(variance / (float)n + layer->epsilon);
        for (uint32_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * layer->gain[i] + layer->shift[i];
    }
}
