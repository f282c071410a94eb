/* TensorFlow Lite's rounding and tail: see tv_lite_tail. A kernel that includes this before tv_tail.h ends in it. */
#ifndef TV_LITE_H
#define TV_LITE_H
#define TV_TAIL_H                       /* in place of tv_tail.h */

#include "tv_intrinsics.h"
#include "tv_kernels.h"

/* v * multiplier / 2^31 * 2^exponent, where v shifted to the left fits 32 bits and exponent is -31..31: to the nearest, ties up, then by the power of two,
 * ties away from 0. */
static inline int32_t tv_lite_multiply(int32_t v, int32_t multiplier, int32_t exponent)
{
    const uint32_t right = (uint32_t)-exponent & 31u;
    const int64_t product = (int64_t)tv_shift_left(v, exponent > 0 ? (uint32_t)exponent & 31u : 0u) * multiplier;
    const int32_t high = tv_signed((uint32_t)((product + ((int64_t)1 << 30)) >> 31));
    if (exponent >= 0 || right == 0) return high;
    return tv_subtract(tv_add(high, (int32_t)1 << (right - 1u)), high < 0) >> right;
}

/* The same where v lies within 2^30 and exponent is -31..-1: SMMULR is the first of the two roundings. */
static inline int32_t tv_lite_plain(int32_t v, int32_t multiplier, int32_t exponent)
{
    const int32_t high = tv_smmulr(tv_shift_left(v, 1), multiplier);
    return ((tv_add(high, high >> 31) >> ~exponent) + 1) >> 1;
}

/* The same for exponents of -31..30, rounded once: to the nearest, ties up. */
static inline int32_t tv_lite_single(int32_t v, int32_t multiplier, int32_t exponent)
{
    const uint32_t right = (uint32_t)(31 - exponent) & 63u;
    return tv_signed((uint32_t)(((int64_t)v * multiplier + ((int64_t)1 << (right - 1u))) >> right));
}

/* The one of these that `rounding` names. */
static inline int32_t tv_lite_scaled(int32_t v, int32_t multiplier, int32_t exponent, uint32_t rounding)
{
    if (rounding == TV_DOUBLE_PLAIN) return tv_lite_plain(v, multiplier, exponent);
    return rounding == TV_SINGLE ? tv_lite_single(v, multiplier, exponent) : tv_lite_multiply(v, multiplier, exponent);
}

static inline int32_t tv_lite_limit(int32_t v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* The tail's numbers of one filter. */
typedef struct {
    int32_t bias, multiplier, exponent;
} tv_numbers;

static inline tv_numbers tv_numbers_of(const tv_lite_tail *tail, uint32_t f)
{
    const tv_numbers n = { tail->bias[f], tail->multiplier[f], tail->exponent[f] };
    return n;
}

/* The result of accumulator `acc` of a filter with these numbers, 0..255. */
static inline int32_t tv_end(const tv_lite_tail *tail, const tv_numbers *n, int32_t acc)
{
    const int32_t v = tv_lite_scaled(tv_add(acc, n->bias), n->multiplier, n->exponent, tail->rounding);
    return tv_lite_limit(tv_add(v, tail->zero), tail->low, tail->high);
}

/* The same of filter f. */
static inline int32_t tv_finish(const tv_lite_tail *tail, uint32_t f, int32_t acc)
{
    const tv_numbers n = tv_numbers_of(tail, f);
    return tv_end(tail, &n, acc);
}

/* Which of two accumulators gives the larger result. */
static inline int32_t tv_better(const tv_lite_tail *tail, uint32_t f, int32_t a, int32_t b)
{
    (void)tail, (void)f;
    return a < b ? b : a;
}

#endif
