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

static inline int32_t tv_lite_limit(int32_t v, int32_t low, int32_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* The result of accumulator `acc` of filter f, 0..255. */
static inline int32_t tv_finish(const tv_lite_tail *tail, uint32_t f, int32_t acc)
{
    const int32_t v = tv_lite_multiply(tv_add(acc, tail->bias[f]), tail->multiplier[f], tail->exponent[f]);
    return tv_lite_limit(tv_add(v, tail->zero), tail->low, tail->high);
}

/* Which of two accumulators gives the larger result. */
static inline int32_t tv_better(const tv_lite_tail *tail, uint32_t f, int32_t a, int32_t b)
{
    (void)tail, (void)f;
    return a < b ? b : a;
}

#endif
