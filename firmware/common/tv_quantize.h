/* The one rule by which a float32 pixel becomes a uint8 input, on the board and on the host (tinyvgg/images.py does the same):
 * q = floor(x * (1 / scale) + 0.5) + zero in float32, limited to 0..255; NaN becomes 0. Pixels q / 255 come back as q. */
#ifndef TV_QUANTIZE_H
#define TV_QUANTIZE_H

#include <stdint.h>

static inline uint8_t tv_quantize_u8(float x, float inverse_scale, int32_t zero)
{
    float scaled = x * inverse_scale;         /* two roundings, never a fused multiply-add: the host does the same */
    __asm__ volatile("" : "+m"(scaled));
    float y = scaled + 0.5f + (float)zero;
    if (!(y >= 0.0f)) return 0;
    return y >= 255.0f ? 255 : (uint8_t)y;
}

/* Quantise `count` floats; `to` may be the same memory as `from` (each byte is written after its float was read). */
static inline void tv_quantize(const float *from, uint8_t *to, uint32_t count, float scale, int32_t zero)
{
    const float inverse_scale = 1.0f / scale;
    for (uint32_t i = 0; i < count; i++) to[i] = tv_quantize_u8(from[i], inverse_scale, zero);
}

/* The same where the pixels' range begins at `low`, not at 0: q = floor((x - low) * (1 / scale) + 0.5). */
static inline void tv_quantize_from(const float *from, uint8_t *to, uint32_t count, float scale, float low)
{
    const float inverse_scale = 1.0f / scale;
    for (uint32_t i = 0; i < count; i++) to[i] = tv_quantize_u8(from[i] - low, inverse_scale, 0);
}

#endif
