/* The tail of the integer convolutions and dense layers: see tv_tail_u8. */
#ifndef TV_TAIL_H
#define TV_TAIL_H

#include "tv_intrinsics.h"
#include "tv_kernels.h"

/* The rounded result of accumulator `acc` of filter f, not yet limited to 8 or 16 bits. */
static inline int32_t tv_finish(const tv_tail_u8 *tail, uint32_t f, int32_t acc)
{
    int32_t v = tv_shift_left(tail->bias ? tv_add(acc, tail->bias[f]) : acc, tail->shift);
    if (tail->activation != TV_NONE && v < 0)
        v = tail->activation == TV_LEAKY ? tv_smmulr(tv_shift_left(v, 1), tail->slope) : 0;
    if (tail->activation == TV_CLAMP && v > tail->high[f]) v = tail->high[f];
    return tv_smmulr(tv_add(v, tail->offset[f]), tail->multiplier[f]);
}

/* What stands for a filter where its results are many: its number; TensorFlow Lite's tail (tv_lite.h) has what it reads here. */
typedef struct {
    uint32_t f;
} tv_numbers;

static inline tv_numbers tv_numbers_of(const tv_tail_u8 *tail, uint32_t f)
{
    const tv_numbers n = { f };
    (void)tail;
    return n;
}

static inline int32_t tv_end(const tv_tail_u8 *tail, const tv_numbers *n, int32_t acc) { return tv_finish(tail, n->f, acc); }

/* Which of two accumulators gives the larger result: every step of the tail rises with it, or falls where multiplier < 0. */
static inline int32_t tv_better(const tv_tail_u8 *tail, uint32_t f, int32_t a, int32_t b)
{
    return (tail->multiplier[f] < 0) == (a < b) ? a : b;
}

#endif
