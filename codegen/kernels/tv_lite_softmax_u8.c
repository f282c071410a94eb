#include "tv_lite.h"

/* (2ab + 2^31) >> 32 */
static int32_t product(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31); }

/* v << n, limited to 32 bits */
static int32_t raise(int32_t v, uint32_t n)
{
    const int64_t wide = (int64_t)v * ((int64_t)1 << n);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* 1 / (1 + fraction / 2^31), 31 bits below the point: Newton's method from 48/17 - 32/17 d. */
static int32_t reciprocal(int32_t fraction)
{
    const int32_t half = (int32_t)(((int64_t)fraction + INT32_MAX + 1) / 2);
    int32_t x = 1515870810 + product(half, -1010580540);
    for (uint32_t i = 0; i < 3; i++) x += raise(product(x, ((int32_t)1 << 29) - product(half, x)), 2);
    return raise(x, 1);
}

void tv_lite_softmax_u8(const tv_lite_softmax_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    uint32_t top = 0, sum = 0, headroom = 0;
    for (uint32_t i = 0; i < layer->count; i++) top = x[i] > top ? x[i] : top;
    for (uint32_t i = 0; i < layer->count; i++) sum += ((uint32_t)layer->exponentials[top - x[i]] + (1u << 11)) >> 12;
    for (; !(sum & 0x80000000u); headroom++) sum <<= 1;
    const int32_t scale = reciprocal((int32_t)(sum & 0x7fffffffu));
    const uint32_t right = 12u - headroom + 31u - 8u;
    for (uint32_t i = 0; i < layer->count; i++) {
        const int64_t v = product(scale, layer->exponentials[top - x[i]]);
        const int32_t q = (int32_t)((v + ((int64_t)1 << (right - 1))) >> right);
        y[i] = (uint8_t)tv_lite_limit(q, 0, 255);
    }
}
