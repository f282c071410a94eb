#include "tv_kernels.h"

float tv_exp(float x)
{
    if (!(x > -87.0f)) return 0.0f;
    const float t = x * 1.44269504f;
    const int32_t k = (int32_t)(t - 0.5f);                               /* the nearest integer: x is not above 0 */
    const float r = (x - (float)k * 0.693145752f) - (float)k * 1.42860677e-6f;   /* x - k ln 2, in two steps: |r| <= 0.3466 */
    const float p = 1.0f + r * (1.0f + r * (0.5f + r * (0.166666667f + r * (0.0416666667f + r * (0.00833333333f + r * 0.00138888889f)))));
    union { uint32_t bits; float value; } power = { (uint32_t)(k + 127) << 23 };
    return p * power.value;
}

static void normalise(float *y, uint32_t count)
{
    float sum = 0.0f;
    for (uint32_t i = 0; i < count; i++) sum += y[i];
    for (uint32_t i = 0; i < count; i++) y[i] /= sum;
}

void tv_softmax_f32(const tv_softmax_f32_layer *layer, const float *x, float *y)
{
    float top = x[0];
    for (uint32_t i = 1; i < layer->count; i++) top = x[i] > top ? x[i] : top;
    for (uint32_t i = 0; i < layer->count; i++) y[i] = tv_exp(x[i] - top);
    normalise(y, layer->count);
}

void tv_channel_softmax_f32(const tv_channel_softmax_f32_layer *layer, const float *x, float *y)
{
    for (uint32_t i = 0; i < layer->rows; i++) tv_softmax_f32(&layer->row, x + i * layer->row.count, y + i * layer->row.count);
}

void tv_softmax_s16_f32(const tv_softmax_scaled_layer *layer, const int16_t *x, float *y)
{
    int32_t top = x[0];
    for (uint32_t i = 1; i < layer->count; i++) top = x[i] > top ? x[i] : top;
    for (uint32_t i = 0; i < layer->count; i++) y[i] = tv_exp(layer->scale * (float)(x[i] - top));
    normalise(y, layer->count);
}

void tv_softmax_u8_f32(const tv_softmax_scaled_layer *layer, const uint8_t *x, float *y)
{
    int32_t top = x[0];
    for (uint32_t i = 1; i < layer->count; i++) top = x[i] > top ? x[i] : top;
    for (uint32_t i = 0; i < layer->count; i++) y[i] = tv_exp(layer->scale * (float)(x[i] - top));
    normalise(y, layer->count);
}

static float sigmoid(float x)
{
    const float e = tv_exp(x < 0.0f ? x : -x);
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

void tv_sigmoid_f32(const tv_softmax_f32_layer *layer, const float *x, float *y)
{
    for (uint32_t i = 0; i < layer->count; i++) y[i] = sigmoid(x[i]);
}

void tv_sigmoid_s16_f32(const tv_sigmoid_scaled_layer *layer, const int16_t *x, float *y)
{
    for (uint32_t i = 0; i < layer->softmax.count; i++) y[i] = sigmoid(layer->softmax.scale * (float)(x[i] - layer->zero));
}

void tv_sigmoid_u8_f32(const tv_sigmoid_scaled_layer *layer, const uint8_t *x, float *y)
{
    for (uint32_t i = 0; i < layer->softmax.count; i++) y[i] = sigmoid(layer->softmax.scale * (float)(x[i] - layer->zero));
}
