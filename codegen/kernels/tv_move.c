#include <string.h>
#include "tv_kernels.h"

void tv_copy(const void *x, void *y, uint32_t bytes)
{
    if (x != y) memcpy(y, x, bytes);
}

void tv_pad2d(const tv_move_layer *layer, const void *x, void *y)
{
    const uint32_t line = layer->out_width * layer->pixel, kept = layer->in_width * layer->pixel, left = layer->left * layer->pixel;
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    for (uint32_t i = 0; i < layer->out_height; i++, to += line) {
        memset(to, layer->value, line);
        if (i < layer->top || i - layer->top >= layer->in_height) continue;
        memcpy(to + left, from, kept);
        from += kept;
    }
}

void tv_crop2d(const tv_move_layer *layer, const void *x, void *y)
{
    const uint32_t line = layer->in_width * layer->pixel, kept = layer->out_width * layer->pixel;
    const uint8_t *from = (const uint8_t *)x + layer->top * line + layer->left * layer->pixel;
    uint8_t *to = (uint8_t *)y;
    for (uint32_t i = 0; i < layer->out_height; i++) memcpy(to + i * kept, from + i * line, kept);
}

void tv_permute(const tv_permute_layer *layer, const void *x, void *y)
{
    const uint8_t *from = (const uint8_t *)x;
    uint8_t *to = (uint8_t *)y;
    for (uint32_t a = 0; a < layer->sizes[0]; a++)
        for (uint32_t b = 0; b < layer->sizes[1]; b++)
            for (uint32_t c = 0; c < layer->sizes[2]; c++, to += layer->item)
                memcpy(to, from + (a * layer->steps[0] + b * layer->steps[1] + c * layer->steps[2]) * layer->item, layer->item);
}

void tv_concatenate(const void *const *x, void *y, uint32_t count, const uint32_t *widths, uint32_t inputs)
{
    uint8_t *to = (uint8_t *)y;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < inputs; to += widths[k], k++) memcpy(to, (const uint8_t *)x[k] + i * widths[k], widths[k]);
}
