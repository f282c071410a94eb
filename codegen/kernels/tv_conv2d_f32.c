#include "tv_float.h"

#define PIXELS 4u        /* results of the convolution at a time: one weight is loaded for four of them */

/* Copy what the filters meet at result (row, column) to `patch`, in the order of the weights; 0 outside the map. */
static void gather(const tv_window *w, const float *x, uint32_t row, uint32_t column, float *patch)
{
    const uint32_t c = w->in_channels;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = tv_tap(row, w->stride_y, p, w->dilation_y, w->pad_top);
        for (uint32_t q = 0; q < w->kernel_width; q++, patch += c) {
            const uint32_t at = tv_tap(column, w->stride_x, q, w->dilation_x, w->pad_left);
            if (y < w->in_height && at < w->in_width) memcpy(patch, x + (y * w->in_width + at) * c, c * sizeof(float));
            else memset(patch, 0, c * sizeof(float));
        }
    }
}

/* sums[i] = sum_k patches[i][k] * weights[k] */
static void correlate(const float *patches, const float *weights, uint32_t k, float sums[PIXELS])
{
    const float *a = patches, *b = a + k, *c = b + k, *d = c + k;
    float sa = 0.0f, sb = 0.0f, sc = 0.0f, sd = 0.0f;
    for (uint32_t i = 0; i < k; i++) {
        const float w = weights[i];
        sa += w * a[i];
        sb += w * b[i];
        sc += w * c[i];
        sd += w * d[i];
    }
    sums[0] = sa, sums[1] = sb, sums[2] = sc, sums[3] = sd;
}

/* Results are numbered window by window of the pool: result n is number n % area of output n / area. */
void tv_conv2d_f32(const tv_conv2d_f32_layer *layer, const float *x, float *y, void *scratch)
{
    const tv_window *w = &layer->window;
    const uint32_t k = (uint32_t)w->kernel_height * w->kernel_width * w->in_channels, filters = w->out_channels;
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width, results = (uint32_t)w->out_height * w->out_width * area;
    float *patches = (float *)scratch, *row = patches + PIXELS * k;
    for (uint32_t first = 0; first < results; first += PIXELS) {
        const uint32_t count = results - first < PIXELS ? results - first : PIXELS;
        for (uint32_t i = 0; i < PIXELS; i++) {
            const uint32_t n = first + (i < count ? i : count - 1), output = n / area, inside = n % area;
            const uint32_t top = output / w->out_width * w->pool_stride_y, left = output % w->out_width * w->pool_stride_x;
            gather(w, x, top + inside / w->pool_width, left + inside % w->pool_width, patches + i * k);
        }
        for (uint32_t f = 0; f < filters; f++) {
            float sums[PIXELS];
            correlate(patches, tv_weights_f32(layer->weights, &layer->shared, f, k, row), k, sums);
            for (uint32_t i = 0; i < count; i++) {
                const float v = tv_finish_f32(&layer->tail, f, sums[i]);
                float *out = y + (first + i) / area * filters + f;
                if ((first + i) % area == 0 || v > *out) *out = v;
            }
        }
    }
}
