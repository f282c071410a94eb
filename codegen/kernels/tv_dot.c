#include "tv_dot.h"

/* Eight weights from the `bits` bytes that hold their indices; inlined for each number of bits, a constant then. */
static inline void look_up_eight(const uint8_t *at, const int8_t *codebook, uint32_t bits, int8_t *to)
{
    uint32_t word = 0;
    for (uint32_t i = 0; i < bits; i++) word = word << 8 | at[i];
    for (uint32_t i = 0; i < 8; i++) to[i + (i & 4u)] = codebook[word >> (7u - i) * bits & ((1u << bits) - 1u)];
}

/* Look up as many eights of `size` weights as there are; return how many weights that is. */
static uint32_t look_up_eights(const uint8_t *at, const int8_t *codebook, uint32_t bits, uint32_t size, int8_t *to)
{
    uint32_t n = 0;
    if (bits == 4) for (; n + 8 <= size; n += 8, at += 4) look_up_eight(at, codebook, 4, to + 2u * n);
    if (bits == 3) for (; n + 8 <= size; n += 8, at += 3) look_up_eight(at, codebook, 3, to + 2u * n);
    if (bits == 2) for (; n + 8 <= size; n += 8, at += 2) look_up_eight(at, codebook, 2, to + 2u * n);
    return n;
}

void tv_look_up(const tv_shared *shared, uint32_t f, uint32_t size, int8_t *to)
{
    const int8_t *codebook = (const int8_t *)shared->codebook + f * shared->codebook_step;
    tv_index_reader reader = tv_read_indices(shared, f);
    uint32_t n = 0;
    if (!reader.held) {
        n = look_up_eights(reader.at, codebook, reader.bits, size, to);
        reader.at += n / 8u * reader.bits;
    }
    for (; n < size; n++) to[(n >> 2) * 8u + (n & 3u)] = codebook[tv_next_index(&reader)];
    for (; n < TV_ROUND_UP(size, TV_UNROLL); n++) to[(n >> 2) * 8u + (n & 3u)] = 0;
}

#if TV_DSP

/* Loads in groups are pipelined, and fourteen registers are just enough; compilers spread the one and spill the other.
 * 20 cycles for 16 products. r0 patches, r1 weights, r2 end, r3-r6 values, r7-r9 weights, r10-r12 and lr sums. */
#define QUAD                                \
    "ldm    r0!, {r3, r4, r5, r6}\n\t"      \
    "ldm    r1!, {r7, r8}\n\t"              \
    "sxtb16 r9, r7\n\t"                     \
    "smlad  r10, r3, r9, r10\n\t"           \
    "smlad  r12, r5, r9, r12\n\t"           \
    "sxtb16 r7, r7, ror #8\n\t"             \
    "smlad  r10, r4, r7, r10\n\t"           \
    "smlad  r12, r6, r7, r12\n\t"           \
    "sxtb16 r9, r8\n\t"                     \
    "smlad  r11, r3, r9, r11\n\t"           \
    "smlad  lr, r5, r9, lr\n\t"             \
    "sxtb16 r8, r8, ror #8\n\t"             \
    "smlad  r11, r4, r8, r11\n\t"           \
    "smlad  lr, r6, r8, lr\n\t"

__attribute__((naked, noinline)) void tv_dot_2x2(const int16_t *patches __attribute__((unused)), const int8_t *weights __attribute__((unused)),
                                                 const int8_t *end __attribute__((unused)), int32_t sums[4] __attribute__((unused)))
{
    __asm__ volatile(
        "push   {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "movs   r3, #0\n\t"
        "mov    r10, r3\n\t"
        "mov    r11, r3\n\t"
        "mov    r12, r3\n\t"
        "mov    lr, r3\n"
        "1:\n\t"
        QUAD
        QUAD
        "cmp    r1, r2\n\t"
        "bne    1b\n\t"
        "ldr    r3, [sp]\n\t"
        "stm    r3, {r10, r11, r12, lr}\n\t"
        "pop    {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
}

/* Eight weights of each filter. r3-r6 values, r7-r10 weights, r11 one of them widened, r12 and lr sums. */
#define EIGHT                               \
    "ldm    r0!, {r3, r4, r5, r6}\n\t"      \
    "ldm    r1!, {r7, r8, r9, r10}\n\t"     \
    "sxtb16 r11, r7\n\t"                    \
    "smlad  r12, r3, r11, r12\n\t"          \
    "sxtb16 r7, r7, ror #8\n\t"             \
    "smlad  r12, r4, r7, r12\n\t"           \
    "sxtb16 r11, r8\n\t"                    \
    "smlad  lr, r3, r11, lr\n\t"            \
    "sxtb16 r8, r8, ror #8\n\t"             \
    "smlad  lr, r4, r8, lr\n\t"             \
    "sxtb16 r11, r9\n\t"                    \
    "smlad  r12, r5, r11, r12\n\t"          \
    "sxtb16 r9, r9, ror #8\n\t"             \
    "smlad  r12, r6, r9, r12\n\t"           \
    "sxtb16 r11, r10\n\t"                   \
    "smlad  lr, r5, r11, lr\n\t"            \
    "sxtb16 r10, r10, ror #8\n\t"           \
    "smlad  lr, r6, r10, lr\n\t"

__attribute__((naked, noinline)) void tv_dot_1x2(const int16_t *patch __attribute__((unused)), const int8_t *weights __attribute__((unused)),
                                                 const int8_t *end __attribute__((unused)), int32_t sums[2] __attribute__((unused)))
{
    __asm__ volatile(
        "push   {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "mov    r12, #0\n\t"
        "mov    lr, r12\n\t"
        "sub    r3, r2, r1\n\t"
        "tst    r3, #16\n\t"               /* an odd number of eights: begin with the second */
        "bne    2f\n"
        "1:\n\t"
        EIGHT
        "2:\n\t"
        EIGHT
        "cmp    r1, r2\n\t"
        "bne    1b\n\t"
        "ldr    r3, [sp]\n\t"
        "strd   r12, lr, [r3]\n\t"
        "pop    {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
}

#else

void tv_dot_2x2(const int16_t *patches, const int8_t *weights, const int8_t *end, int32_t sums[4])
{
    uint32_t s00 = 0, s01 = 0, s10 = 0, s11 = 0;
    for (; weights != end; weights += 8, patches += 8)
        for (uint32_t j = 0; j < 4; j++) {
            s00 += (uint32_t)(patches[j] * weights[j]);
            s01 += (uint32_t)(patches[j] * weights[4 + j]);
            s10 += (uint32_t)(patches[4 + j] * weights[j]);
            s11 += (uint32_t)(patches[4 + j] * weights[4 + j]);
        }
    sums[0] = tv_signed(s00), sums[1] = tv_signed(s01), sums[2] = tv_signed(s10), sums[3] = tv_signed(s11);
}

void tv_dot_1x2(const int16_t *patch, const int8_t *weights, const int8_t *end, int32_t sums[2])
{
    uint32_t s0 = 0, s1 = 0;
    for (; weights != end; weights += 8, patch += 4)
        for (uint32_t j = 0; j < 4; j++) {
            s0 += (uint32_t)(patch[j] * weights[j]);
            s1 += (uint32_t)(patch[j] * weights[4 + j]);
        }
    sums[0] = tv_signed(s0), sums[1] = tv_signed(s1);
}

#endif
