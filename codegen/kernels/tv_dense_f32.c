#include "tv_float.h"

#define CHUNK 64u        /* shared weights are looked up so many at a time */

/* Four partial sums: less rounding than one, and no waiting for the adder. */
static void accumulate(const float *x, const float *weights, uint32_t count, float sums[4])
{
    uint32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        sums[0] += weights[i] * x[i];
        sums[1] += weights[i + 1] * x[i + 1];
        sums[2] += weights[i + 2] * x[i + 2];
        sums[3] += weights[i + 3] * x[i + 3];
    }
    for (; i < count; i++) sums[0] += weights[i] * x[i];
}

void tv_dense_f32(const tv_dense_f32_layer *layer, const float *x, float *y)
{
    const float *codebook = (const float *)layer->shared.codebook;
    for (uint32_t o = 0; o < layer->outputs; o++) {
        float sums[4] = { 0.0f, 0.0f, 0.0f, 0.0f };
        if (!codebook) {
            accumulate(x, layer->weights + o * layer->inputs, layer->inputs, sums);
        } else {
            tv_index_reader reader = tv_read_indices(&layer->shared, o);
            const float *entries = codebook + o * layer->shared.codebook_step;
            for (uint32_t first = 0; first < layer->inputs; first += CHUNK) {
                float weights[CHUNK];
                const uint32_t count = layer->inputs - first < CHUNK ? layer->inputs - first : CHUNK;
                for (uint32_t i = 0; i < count; i++) weights[i] = entries[tv_next_index(&reader)];
                accumulate(x + first, weights, count, sums);
            }
        }
        y[o] = tv_finish_f32(&layer->tail, o, (sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
}
