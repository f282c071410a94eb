/* The inner loop of the kernels for fixed shapes: products of two columns of values with four filters, TV_UNROLL * TV_CHUNKS
 * words deep, two products a word. A file of its own, tv_mac_UxN.c, makes it for each depth that a network needs.
 *
 *     m[b][column][filter] = sum_k x[b][k][column] . w[b][k][filter]        from m up to end, b by b
 *
 * x [blocks][depth][2], w [depth][4], which moves on by w_step words after each block (0: the same filters again). The dot is of
 * two halves of a word; sums wrap modulo 2^32. Either may be the weights: with x [places][depth][2 filters] and w
 * [places][depth][4 tiles] each weight is read for four tiles at once.
 *
 * tv_mac_UxN_B.c makes it for Winograd's places: TV_BLOCKS = B blocks at one go, a count of blocks that B divides, and
 * w_step = 4 * depth, whatever is passed. */
#include "tv_intrinsics.h"
#include "tv_kernels.h"

#if TV_DSP

/* Eight sums, two values, two weights and two addresses are the fourteen registers that there are; addresses of results and what
 * counts stay on the stack. r0 x, r1 w, r2 r3 values, r12 lr weights, r4-r7 and r8-r11 the sums of each column.
 * Loads in groups are pipelined: 16 cycles for 16 products. */
#define TV_TEXT_(x) #x
#define TV_TEXT(x) TV_TEXT_(x)
#define TV_DEEP TV_TEXT(TV_UNROLL)

#define TV_FOUR(op, a, b, c, d)                    \
    op(a, "r2", "r12") op(b, "r2", "lr") op(c, "r3", "r12") op(d, "r3", "lr")
#define TV_SMUAD(sum, x, w) "smuad " sum ", " x ", " w "\n\t"
#define TV_SMLAD(sum, x, w) "smlad " sum ", " x ", " w ", " sum "\n\t"
#define TV_WORD(op)                                \
    "ldr    r2, [r0, #8*tv_k]\n\t"                 \
    "ldr    r3, [r0, #8*tv_k+4]\n\t"               \
    "ldr    r12, [r1, #16*tv_k]\n\t"               \
    "ldr    lr, [r1, #16*tv_k+4]\n\t"              \
    TV_FOUR(op, "r4", "r5", "r8", "r9")            \
    "ldr    r12, [r1, #16*tv_k+8]\n\t"             \
    "ldr    lr, [r1, #16*tv_k+12]\n\t"             \
    TV_FOUR(op, "r6", "r7", "r10", "r11")          \
    ".set tv_k, tv_k + 1\n\t"

/* What runs from flash has to fit its cache of 1 KB: 16 words of products at one go. */
#if TV_BLOCKS > 1 && TV_BLOCKS * TV_UNROLL > 16 && !defined(TV_RAMCODE)
#undef TV_BLOCKS
#define TV_BLOCKS 1
#endif

#if TV_BLOCKS && defined(__ARM_FP)
/* m and end wait in s0 and s1, which costs a cycle where the stack costs two. */
#define TV_PRODUCTS                                \
    TV_WORD(TV_SMUAD)                              \
    ".rept " TV_DEEP " - 1\n\t"                    \
    TV_WORD(TV_SMLAD)                              \
    ".endr\n\t"                                    \
    "vmov   r12, s0\n\t"                           \
    "stm    r12!, {r4, r5, r6, r7, r8, r9, r10, r11}\n\t"

TV_HOT __attribute__((naked, noinline)) void TV_MAC(const uint32_t *x __attribute__((unused)), const uint32_t *w __attribute__((unused)),
                                                    int32_t *m __attribute__((unused)), const int32_t *end __attribute__((unused)),
                                                    uint32_t w_step __attribute__((unused)))
{
    __asm__ volatile(
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "vmov   s0, r2\n\t"
        "vmov   s1, r3\n"
        "1:\n\t"
        ".set tv_k, 0\n\t"
        TV_PRODUCTS
#if TV_BLOCKS > 1
        "vmov   s0, r12\n\t"
        TV_PRODUCTS
#endif
#if TV_BLOCKS > 2
        "vmov   s0, r12\n\t"
        TV_PRODUCTS
        "vmov   s0, r12\n\t"
        TV_PRODUCTS
#endif
        "vmov   lr, s1\n\t"
        "vmov   s0, r12\n\t"
        "addw   r0, r0, #8*" TV_TEXT(TV_BLOCKS) "*" TV_DEEP "\n\t"
        "addw   r1, r1, #16*" TV_TEXT(TV_BLOCKS) "*" TV_DEEP "\n\t"
        "cmp    r12, lr\n\t"
        "bne    1b\n\t"
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
}

#else

TV_HOT __attribute__((naked, noinline)) void TV_MAC(const uint32_t *x __attribute__((unused)), const uint32_t *w __attribute__((unused)),
                                                    int32_t *m __attribute__((unused)), const int32_t *end __attribute__((unused)),
                                                    uint32_t w_step __attribute__((unused)))
{
    __asm__ volatile(
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "ldr    r4, [sp, #36]\n\t"
        "lsl    r4, r4, #2\n\t"
        "push   {r2, r3, r4}\n"                    /* m, end, bytes to the next weights; 8 bytes below: chunks to do */
        "1:\n\t"
        ".set tv_k, 0\n\t"
#if TV_CHUNKS == 1
        TV_WORD(TV_SMUAD)
        ".rept " TV_DEEP " - 1\n\t"
        TV_WORD(TV_SMLAD)
        ".endr\n\t"
        "ldr    r12, [sp]\n\t"
        "ldr    lr, [sp, #4]\n\t"
        "ldr    r2, [sp, #8]\n\t"
        "addw   r0, r0, #8*" TV_DEEP "\n\t"
        "add    r1, r1, r2\n\t"
#else
        "movs   r4, #0\n\t"
        "mov    r5, r4\n\t"
        "mov    r6, r4\n\t"
        "mov    r7, r4\n\t"
        "mov    r8, r4\n\t"
        "mov    r9, r4\n\t"
        "mov    r10, r4\n\t"
        "mov    r11, r4\n\t"
        "movs   r2, #" TV_TEXT(TV_CHUNKS) "\n\t"
        "push   {r1, r2}\n"
        "2:\n\t"
        ".rept " TV_DEEP "\n\t"
        TV_WORD(TV_SMLAD)
        ".endr\n\t"
        "ldr    r2, [sp, #4]\n\t"
        "addw   r0, r0, #8*" TV_DEEP "\n\t"
        "addw   r1, r1, #16*" TV_DEEP "\n\t"
        "subs   r2, r2, #1\n\t"
        "str    r2, [sp, #4]\n\t"
        "bne    2b\n\t"
        "pop    {r1, r2}\n\t"
        "ldr    r12, [sp]\n\t"
        "ldr    lr, [sp, #4]\n\t"
        "ldr    r2, [sp, #8]\n\t"
        "add    r1, r1, r2\n\t"
#endif
        "stm    r12!, {r4, r5, r6, r7, r8, r9, r10, r11}\n\t"
        "str    r12, [sp]\n\t"
        "cmp    r12, lr\n\t"
        "bne    1b\n\t"
        "add    sp, sp, #12\n\t"
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
}

#endif

#else

void TV_MAC(const uint32_t *x, const uint32_t *w, int32_t *m, const int32_t *end, uint32_t w_step)
{
    for (; m != end; m += 8, w += w_step) {
        for (uint32_t i = 0; i < 8; i++) m[i] = 0;
        for (uint32_t k = 0; k < TV_UNROLL * TV_CHUNKS; k++, x += 2)
            for (uint32_t f = 0; f < 4; f++) {
                m[f] = tv_smlad(x[0], w[4 * k + f], m[f]);
                m[4 + f] = tv_smlad(x[1], w[4 * k + f], m[4 + f]);
            }
    }
}

#endif
