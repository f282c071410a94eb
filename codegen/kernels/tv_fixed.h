/* What the kernels for fixed shapes share. A generated file defines the shape of one layer as numbers and includes one of
 * tv_conv2d_s16.h, tv_winograd2.h, tv_winograd4.h, which define the function TV_NAME:
 *
 *     void TV_NAME(const tv_fixed_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);
 *
 * TV_HEIGHT TV_WIDTH TV_CHANNELS    input            TV_OUT_HEIGHT TV_OUT_WIDTH TV_FILTERS    output, after the pool
 * TV_TOP TV_LEFT                    padding          TV_ZERO       what padded pixels hold
 * TV_PADDED_HEIGHT TV_PADDED_WIDTH TV_PADDED_CHANNELS   the input as the kernel reads it, a copy where TV_COPY is 1
 * TV_ACTIVATION TV_SHIFT            of the tail      TV_EXPAND     1: the weights are widened or transformed to scratch, four
 *                                                                  filters at a time; 0: they are in flash as they are used
 * TV_INDEX_BITS                     where TV_EXPAND is 1: 0, or the weights are indices of so many bits into a codebook
 * TV_CODED                          1: they are stored by a prefix code, and layer->weights is their tv_code; TV_INDEX_BITS is 8 then
 * TV_LITE                           1: the tail is that of TensorFlow Lite, tv_lite_tail; TV_LITE_ROUNDING is its `rounding`, TV_LITE_LIMITS 1
 *                                   where low and high are others than 0 and 255
 * TV_DEPTH                          words of two products for one filter at one place (tv_mac.h) */
#ifndef TV_FIXED_H
#define TV_FIXED_H

#include "tv_intrinsics.h"
#include "tv_kernels.h"
#if TV_LITE
#include "tv_lite.h"
#define tv_fixed_layer tv_lite_fixed_layer
#define tv_tail_u8 tv_lite_tail
#endif

/* The tail's numbers of one filter. */
#if TV_LITE
typedef struct {
    int32_t bias, multiplier, exponent, zero, low, high;
} tv_channel;

static inline tv_channel tv_channel_of(const tv_lite_tail *tail, uint32_t f)
{
    const tv_channel c = { tail->bias[f], tail->multiplier[f], tail->exponent[f], tail->zero, tail->low, tail->high };
    return c;
}

/* The result of an accumulator that carries `scale` bits below its unit, which are 0. */
static inline uint8_t tv_result(const tv_channel *c, int32_t acc, uint32_t scale)
{
    const int32_t v = tv_lite_scaled(tv_add(acc >> scale, c->bias), c->multiplier, c->exponent, TV_LITE_ROUNDING);
    const uint8_t y = tv_usat8(tv_add(v, c->zero));
    return TV_LITE_LIMITS ? (uint8_t)tv_lite_limit(y, c->low, c->high) : y;
}
#else
typedef struct {
    int32_t bias, offset, multiplier, high, slope;
} tv_channel;

static inline tv_channel tv_channel_of(const tv_tail_u8 *tail, uint32_t f)
{
    const tv_channel c = { tail->bias ? tail->bias[f] : 0, tail->offset[f], tail->multiplier[f],
                           TV_ACTIVATION == TV_CLAMP ? tail->high[f] : 0, tail->slope };
    return c;
}

/* The result of an accumulator that carries `scale` bits below its unit, which are 0. */
static inline uint8_t tv_result(const tv_channel *c, int32_t acc, uint32_t scale)
{
    int32_t v = acc >> scale;
    if (TV_ACTIVATION != TV_NONE) v = tv_add(v, c->bias);
    if (TV_ACTIVATION == TV_RELU || TV_ACTIVATION == TV_CLAMP) v &= ~(v >> 31);
    if (TV_ACTIVATION == TV_LEAKY) {
        v = tv_shift_left(v, TV_SHIFT);
        if (v < 0) v = tv_smmulr(tv_shift_left(v, 1), c->slope);
        return tv_usat8(tv_smmulr(tv_add(v, c->offset), c->multiplier));
    }
    if (TV_ACTIVATION == TV_CLAMP) {
        v = tv_shift_left(v, TV_SHIFT);
        if (v > c->high) v = c->high;
        return tv_usat8(tv_smmulr(tv_add(v, c->offset), c->multiplier));
    }
    return tv_usat8(tv_smmulr(tv_add(tv_shift_left(v, TV_SHIFT), c->offset), c->multiplier));
}

#endif

/* Which of two accumulators gives the larger result: the smaller one where `falling`. */
static inline int32_t tv_larger(int32_t a, int32_t b, int falling)
{
    return falling ? (b < a ? b : a) : (b > a ? b : a);
}

#if TV_CODED
#include "tv_decode.h"
#define TV_DECODER_BYTES (sizeof(tv_decoder) + TV_CODE_SLACK)
#else
#define TV_DECODER_BYTES 0
#endif

#if TV_CODED
/* Four filters' `count` weights, in order from filter 0 on, by the decoder behind them, which has a table. */
static inline const int8_t *tv_look_up_four(const tv_fixed_layer *layer, uint32_t f, uint32_t count, int8_t *to)
{
    tv_decode((const tv_code *)layer->weights, tv_decoder_behind(to, count), !f, to, count);
    return to;
}

static inline void tv_prepare_four(const tv_fixed_layer *layer, uint32_t count, int8_t *to)
{
    tv_decode_table((const tv_code *)layer->weights, tv_decoder_behind(to, count));
}
#elif TV_INDEX_BITS
static inline void tv_prepare_four(const tv_fixed_layer *layer, uint32_t count, int8_t *to) { (void)layer, (void)count, (void)to; }

/* Four filters' `count` weights, a multiple of 8, looked up to `to`; each index has TV_INDEX_BITS bits (1..4), first in the high ones. */
TV_HOT static const int8_t *tv_look_up_four(const tv_fixed_layer *layer, uint32_t f, uint32_t count, int8_t *to)
{
    const uint8_t *at = (const uint8_t *)layer->weights + f / 4 * (count / 8) * TV_INDEX_BITS;
    const int8_t *const codebook = layer->codebook;
    for (uint32_t n = 0; n < count; n += 8) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < TV_INDEX_BITS; i++) word = word << 8 | *at++;
        for (uint32_t i = 0; i < 8; i++) to[n + i] = codebook[word >> (7 - i) * TV_INDEX_BITS & ((1u << TV_INDEX_BITS) - 1u)];
    }
    return to;
}
#endif

#if TV_COPY
/* Copy whole words, or bytes where a pixel is none. The words keep the machine's order of bytes: tv_load would turn them round. */
static inline uint8_t *tv_put(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
    uint32_t i = 0, a, b, c, d;
    for (; i + 16 <= bytes; i += 16) {
        memcpy(&a, from + i, 4), memcpy(&b, from + i + 4, 4), memcpy(&c, from + i + 8, 4), memcpy(&d, from + i + 12, 4);
        memcpy(to + i, &a, 4), memcpy(to + i + 4, &b, 4), memcpy(to + i + 8, &c, 4), memcpy(to + i + 12, &d, 4);
    }
    for (; i + 4 <= bytes; i += 4) {
        memcpy(&a, from + i, 4);
        memcpy(to + i, &a, 4);
    }
    for (; i < bytes; i++) to[i] = from[i];
    return to + bytes;
}

static inline uint8_t *tv_fill(uint8_t *to, uint32_t bytes)
{
    const uint32_t zero = TV_ZERO * 0x01010101u;
    uint32_t i = 0;
    for (; i + 4 <= bytes; i += 4) memcpy(to + i, &zero, 4);
    for (; i < bytes; i++) to[i] = TV_ZERO;
    return to + bytes;
}

/* Rows first..first+count-1 of the padded input, [count][TV_PADDED_WIDTH][TV_PADDED_CHANNELS]. */
TV_HOT static void tv_pad(const uint8_t *x, uint32_t first, uint32_t count, uint8_t *to)
{
    const uint32_t right = (TV_PADDED_WIDTH > TV_LEFT + TV_WIDTH ? TV_PADDED_WIDTH - TV_LEFT - TV_WIDTH : 0) * TV_PADDED_CHANNELS;
    const uint32_t columns = TV_PADDED_WIDTH - TV_LEFT < TV_WIDTH ? TV_PADDED_WIDTH - TV_LEFT : TV_WIDTH;
    for (uint32_t r = first; r < first + count; r++) {
        if (r - TV_TOP >= TV_HEIGHT) {                                   /* wraps above the map */
            to = tv_fill(to, TV_PADDED_WIDTH * TV_PADDED_CHANNELS);
            continue;
        }
        const uint8_t *from = x + (r - TV_TOP) * TV_WIDTH * TV_CHANNELS;
        to = tv_fill(to, TV_LEFT * TV_PADDED_CHANNELS);
        if (TV_CHANNELS == TV_PADDED_CHANNELS) to = tv_put(to, from, columns * TV_CHANNELS);
        else
            for (uint32_t j = 0; j < columns; j++, from += TV_CHANNELS)
                to = tv_fill(tv_put(to, from, TV_CHANNELS), TV_PADDED_CHANNELS - TV_CHANNELS);
        to = tv_fill(to, right);
    }
}
#endif

#endif
