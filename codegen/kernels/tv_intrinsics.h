/* The Cortex-M4's DSP instructions, with plain C99 that gives the same bits where there are none.
 *
 * A word holds two signed halves: low = bits 0..15, high = bits 16..31. Sums wrap modulo 2^32, as the instructions do.
 * TV_DSP is 1 where the instructions are used; -DTV_DSP=0 asks for plain C.
 * Right shifts of negative numbers are arithmetic here, as in every compiler for the targets of this code. */
#ifndef TV_INTRINSICS_H
#define TV_INTRINSICS_H

#include <stdint.h>
#include <string.h>

#ifndef TV_DSP
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__) && defined(__GNUC__)
#define TV_DSP 1
#else
#define TV_DSP 0
#endif
#endif

/* Four bytes from any address, little-endian. */
static inline uint32_t tv_load(const void *from)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    const uint8_t *b = (const uint8_t *)from;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
#else
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
#endif
}

/* The same four bytes back. */
static inline void tv_store(void *to, uint32_t word)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    uint8_t *b = (uint8_t *)to;
    b[0] = (uint8_t)word, b[1] = (uint8_t)(word >> 8), b[2] = (uint8_t)(word >> 16), b[3] = (uint8_t)(word >> 24);
#else
    memcpy(to, &word, 4);
#endif
}

/* The number whose two's complement is `bits`: what a cast does on every machine, without leaving it to the compiler. */
static inline int32_t tv_signed(uint32_t bits)
{
    return bits < 0x80000000u ? (int32_t)bits : -(int32_t)(~bits) - 1;
}

#if TV_DSP

/* sum + a.low * b.low + a.high * b.high */
static inline int32_t tv_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t y;
    __asm__("smlad %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
    return y;
}

/* sum + a.low * b.low, sum + a.high * b.high */
static inline int32_t tv_smlabb(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t y;
    __asm__("smlabb %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
    return y;
}

static inline int32_t tv_smlatt(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t y;
    __asm__("smlatt %0, %1, %2, %3" : "=r"(y) : "r"(a), "r"(b), "r"(sum));
    return y;
}

/* (a * b + 2^31) >> 32: the rounding of the integer model */
static inline int32_t tv_smmulr(int32_t a, int32_t b)
{
    int32_t y;
    __asm__("smmulr %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

/* a + b and a - b in each half */
static inline uint32_t tv_sadd16(uint32_t a, uint32_t b)
{
    uint32_t y;
    __asm__("sadd16 %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

static inline uint32_t tv_ssub16(uint32_t a, uint32_t b)
{
    uint32_t y;
    __asm__("ssub16 %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}

/* bytes 0 and 2, sign-extended to halves */
static inline uint32_t tv_sxtb16(uint32_t bytes)
{
    uint32_t y;
    __asm__("sxtb16 %0, %1" : "=r"(y) : "r"(bytes));
    return y;
}

/* bytes 1 and 3, sign-extended to halves */
static inline uint32_t tv_sxtb16_ror8(uint32_t bytes)
{
    uint32_t y;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(y) : "r"(bytes));
    return y;
}

/* bytes 0 and 2, zero-extended to halves */
static inline uint32_t tv_uxtb16(uint32_t bytes)
{
    uint32_t y;
    __asm__("uxtb16 %0, %1" : "=r"(y) : "r"(bytes));
    return y;
}

/* bytes 1 and 3, zero-extended to halves */
static inline uint32_t tv_uxtb16_ror8(uint32_t bytes)
{
    uint32_t y;
    __asm__("uxtb16 %0, %1, ror #8" : "=r"(y) : "r"(bytes));
    return y;
}

/* limit to 0..255 */
static inline uint8_t tv_usat8(int32_t v)
{
    uint32_t y;
    __asm__("usat %0, #8, %1" : "=r"(y) : "r"(v));
    return (uint8_t)y;
}

/* limit to -32768..32767 */
static inline int16_t tv_ssat16(int32_t v)
{
    int32_t y;
    __asm__("ssat %0, #16, %1" : "=r"(y) : "r"(v));
    return (int16_t)y;
}

#else

static inline int32_t tv_low(uint32_t word) { return (int16_t)(word & 0xFFFFu); }
static inline int32_t tv_high(uint32_t word) { return (int16_t)(word >> 16); }

static inline int32_t tv_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    uint32_t low = (uint32_t)(tv_low(a) * tv_low(b)), high = (uint32_t)(tv_high(a) * tv_high(b));
    return tv_signed((uint32_t)sum + low + high);
}

static inline int32_t tv_smlabb(uint32_t a, uint32_t b, int32_t sum) { return tv_signed((uint32_t)sum + (uint32_t)(tv_low(a) * tv_low(b))); }
static inline int32_t tv_smlatt(uint32_t a, uint32_t b, int32_t sum) { return tv_signed((uint32_t)sum + (uint32_t)(tv_high(a) * tv_high(b))); }

static inline int32_t tv_smmulr(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}

static inline uint32_t tv_sadd16(uint32_t a, uint32_t b) { return ((a + b) & 0xFFFFu) | ((a >> 16) + (b >> 16)) << 16; }
static inline uint32_t tv_ssub16(uint32_t a, uint32_t b) { return ((a - b) & 0xFFFFu) | ((a >> 16) - (b >> 16)) << 16; }
static inline uint32_t tv_extend(uint32_t byte) { return (byte ^ 0x80u) - 0x80u; }
static inline uint32_t tv_sxtb16(uint32_t v) { return (tv_extend(v & 255u) & 0xFFFFu) | tv_extend(v >> 16 & 255u) << 16; }
static inline uint32_t tv_sxtb16_ror8(uint32_t v) { return tv_sxtb16(v >> 8); }
static inline uint32_t tv_uxtb16(uint32_t v) { return v & 0x00FF00FFu; }
static inline uint32_t tv_uxtb16_ror8(uint32_t v) { return v >> 8 & 0x00FF00FFu; }
static inline uint8_t tv_usat8(int32_t v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }
static inline int16_t tv_ssat16(int32_t v) { return (int16_t)(v < -32768 ? -32768 : v > 32767 ? 32767 : v); }

#endif

/* a + b, a - b and a << n modulo 2^32, as the ADD, SUB and LSL of the core */
static inline int32_t tv_add(int32_t a, int32_t b) { return tv_signed((uint32_t)a + (uint32_t)b); }
static inline int32_t tv_subtract(int32_t a, int32_t b) { return tv_signed((uint32_t)a - (uint32_t)b); }
static inline int32_t tv_shift_left(int32_t a, uint32_t n) { return tv_signed((uint32_t)a << n); }

#endif
