/* What the float kernels share: the tail of a layer, the gathering of a patch, the rows of its weights. */
#ifndef TV_FLOAT_H
#define TV_FLOAT_H

#include <string.h>
#include "tv_shared.h"

static inline float tv_activate(float v, tv_activation activation, float slope, float high)
{
    if (activation == TV_NONE) return v;
    if (activation == TV_LEAKY) return v < 0.0f ? slope * v : v;
    if (v < 0.0f) return 0.0f;
    return activation == TV_CLAMP && v > high ? high : v;
}

static inline float tv_finish_f32(const tv_tail_f32 *tail, uint32_t f, float sum)
{
    float v = tv_activate(sum + tail->bias[f], tail->activation, tail->slope, tail->high);
    return tail->gain ? tail->gain[f] * v + tail->shift[f] : v;
}

/* Row or column of the input that tap p of result r reads; at or above the size where it lies outside (negative wraps). */
static inline uint32_t tv_tap(uint32_t r, uint32_t stride, uint32_t p, uint32_t dilation, uint32_t padding)
{
    return r * stride + p * dilation - padding;
}

/* The weights of filter f: in place, or decoded to `scratch`. `filter_size` weights make a filter. */
static inline const float *tv_weights_f32(const float *weights, const tv_shared *shared, uint32_t f, uint32_t filter_size, float *scratch)
{
    if (!shared->codebook) return weights + f * filter_size;
    const float *codebook = (const float *)shared->codebook + f * shared->codebook_step;
    tv_index_reader reader = tv_read_indices(shared, f);
    for (uint32_t k = 0; k < filter_size; k++) scratch[k] = codebook[tv_next_index(&reader)];
    return scratch;
}

#endif
