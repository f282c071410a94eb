/* The transforms of tv_winograd4.h in the Cortex-M4's own registers: compilers spill half of them. Included where TV_DSP is 1 and
 * the shape lets offsets fit into instructions; what is computed, and in which order, is tv_winograd4.h's. */
#ifndef TV_WINOGRAD4_M4_H
#define TV_WINOGRAD4_M4_H

#define TV_UNUSED __attribute__((unused))

/* --- values -------------------------------------------------------------------------------------------------------------
 * r0 pixels, r1 values; r2-r7 six of a column, r8 r9 more; the stack holds six columns of six sums, and the two steps from a tile to
 * the next (to the pair's second half, to the next pair), the count of tiles, and the end of a line of three. */

/* TV_SUMS_6 in place: t0..t5 come out in a, c, p, b, e, f. */
#define TV_SUMS_M4(a, b, c, d, e, f, p, s)         \
    "rsb    " p ", " e ", " c ", lsl #2\n\t"       \
    "sub    " s ", " d ", " b "\n\t"               \
    "rsb    " b ", " d ", " b ", lsl #2\n\t"       \
    "sub    " a ", " a ", " c "\n\t"               \
    "sub    " e ", " e ", " c "\n\t"               \
    "sub    " f ", " f ", " d "\n\t"               \
    "add    " a ", " e ", " a ", lsl #2\n\t"       \
    "add    " c ", " p ", " b "\n\t"               \
    "sub    " p ", " p ", " b "\n\t"               \
    "add    " b ", " e ", " s ", lsl #1\n\t"       \
    "sub    " e ", " e ", " s ", lsl #1\n\t"       \
    "sub    " f ", " f ", " s ", lsl #2\n\t"

/* Column `j` from r0 (rows 0-2) and r12 (rows 3-5) to the stack; half is "" or ", ror #8". */
#define TV_COLUMN_M4(j, half)                                                      \
    "ldr    r2, [r0, #" #j "*" TV_TEXT(TV_PADDED_CHANNELS) "]\n\t"                 \
    "ldr    r3, [r0, #" #j "*" TV_TEXT(TV_PADDED_CHANNELS) "+" TV_LINE_TEXT "]\n\t" \
    "ldr    r4, [r0, #" #j "*" TV_TEXT(TV_PADDED_CHANNELS) "+2*" TV_LINE_TEXT "]\n\t" \
    "ldr    r5, [r12, #" #j "*" TV_TEXT(TV_PADDED_CHANNELS) "]\n\t"                \
    "ldr    r6, [r12, #" #j "*" TV_TEXT(TV_PADDED_CHANNELS) "+" TV_LINE_TEXT "]\n\t" \
    "ldr    r7, [r12, #" #j "*" TV_TEXT(TV_PADDED_CHANNELS) "+2*" TV_LINE_TEXT "]\n\t" \
    "uxtb16 r2, r2" half "\n\t"                    \
    "uxtb16 r3, r3" half "\n\t"                    \
    "uxtb16 r4, r4" half "\n\t"                    \
    "uxtb16 r5, r5" half "\n\t"                    \
    "uxtb16 r6, r6" half "\n\t"                    \
    "uxtb16 r7, r7" half "\n\t"                    \
    TV_SUMS_M4("r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9") \
    "str    r2, [sp, #24*" #j "]\n\t"              \
    "str    r4, [sp, #24*" #j "+4]\n\t"            \
    "str    r8, [sp, #24*" #j "+8]\n\t"            \
    "str    r3, [sp, #24*" #j "+12]\n\t"           \
    "str    r6, [sp, #24*" #j "+16]\n\t"           \
    "str    r7, [sp, #24*" #j "+20]\n\t"

#define TV_MEND_M4(r, j)                           \
    "and    r10, " r ", #0x8000\n\t"               \
    "add    " r ", " r ", r10, lsl #1\n\t"         \
    "str    " r ", [r1, #" #j "*" TV_PLACE_BYTES "]\n\t"

#define TV_ROW_M4(i)                               \
    "ldr    r2, [sp, #4*" #i "]\n\t"               \
    "ldr    r3, [sp, #4*" #i "+24]\n\t"            \
    "ldr    r4, [sp, #4*" #i "+48]\n\t"            \
    "ldr    r5, [sp, #4*" #i "+72]\n\t"            \
    "ldr    r6, [sp, #4*" #i "+96]\n\t"            \
    "ldr    r7, [sp, #4*" #i "+120]\n\t"           \
    TV_SUMS_M4("r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9") \
    TV_MEND_M4("r2", 0) TV_MEND_M4("r4", 1) TV_MEND_M4("r8", 2) TV_MEND_M4("r3", 3) TV_MEND_M4("r6", 4) TV_MEND_M4("r7", 5) \
    "addw   r1, r1, #6*" TV_PLACE_BYTES "\n\t"

/* from: four channels of the first pixel; step, other: bytes from the end of a tile's values to the next one's, in turn. */
#define TV_VALUES_M4(name, half)                                                                           \
TV_HOT static __attribute__((naked, noinline)) void name(const uint8_t *from TV_UNUSED, uint32_t *to TV_UNUSED, \
                                                         int32_t step TV_UNUSED, int32_t other TV_UNUSED)  \
{                                                                                                          \
    __asm__ volatile(                                                                                      \
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t"                                           \
        "sub    sp, sp, #156\n\t"                                                                          \
        "strd   r2, r3, [sp, #144]\n\t"                                                                    \
        "movw   r11, #" TV_TEXT(TV_TILE_COLUMNS) "\n\t"                                                    \
        "movw   r12, #3*" TV_LINE_TEXT "\n\t"                                                              \
        "add    r12, r12, r0\n\t"                                                                          \
        TV_COLUMN_M4(0, half) TV_COLUMN_M4(1, half)                                                        \
        "1:\n\t"                                                                                           \
        TV_COLUMN_M4(2, half) TV_COLUMN_M4(3, half) TV_COLUMN_M4(4, half) TV_COLUMN_M4(5, half)            \
        TV_ROW_M4(0) TV_ROW_M4(1) TV_ROW_M4(2) TV_ROW_M4(3) TV_ROW_M4(4) TV_ROW_M4(5)                      \
        "ldrd   r8, r9, [sp, #144]\n\t"                                                                    \
        "add    r1, r1, r8\n\t"                                                                            \
        "strd   r9, r8, [sp, #144]\n\t"                                                                    \
        "subs   r11, r11, #1\n\t"                                                                          \
        "beq    2f\n\t"                                                                                    \
        "add    lr, sp, #96\n\t"                             /* columns 4 and 5 are the next tile's 0 and 1 */ \
        "ldm    lr!, {r2, r3, r4, r5, r6, r7}\n\t"                                                         \
        "stm    sp, {r2, r3, r4, r5, r6, r7}\n\t"                                                          \
        "ldm    lr, {r2, r3, r4, r5, r6, r7}\n\t"                                                          \
        "add    lr, sp, #24\n\t"                                                                           \
        "stm    lr, {r2, r3, r4, r5, r6, r7}\n\t"                                                          \
        "addw   r0, r0, #4*" TV_TEXT(TV_PADDED_CHANNELS) "\n\t"                                            \
        "addw   r12, r12, #4*" TV_TEXT(TV_PADDED_CHANNELS) "\n\t"                                          \
        "b      1b\n"                                                                                      \
        "2:\n\t"                                                                                           \
        "add    sp, sp, #156\n\t"                                                                          \
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}\n");                                           \
}

/* --- results ------------------------------------------------------------------------------------------------------------
 * r0 sums, r1 results, r2 the inverse of nine; the stack holds A' E of the six columns, [4][6], the tail's three numbers, the count
 * of tiles and where the tile's results begin. */

/* TV_RESULTS_6 in place: r0..r3 come out in a, e, t, b. */
#define TV_RESULTS_M4(a, b, c, d, e, f, t)         \
    "add    " t ", " b ", " c "\n\t"               \
    "sub    " b ", " b ", " c "\n\t"               \
    "add    " c ", " d ", " e "\n\t"               \
    "sub    " d ", " d ", " e "\n\t"               \
    "add    " a ", " a ", " a ", lsl #1\n\t"       \
    "add    " f ", " f ", " f ", lsl #1\n\t"       \
    "add    " e ", " c ", " t ", lsl #2\n\t"       \
    "add    " t ", " t ", " c "\n\t"               \
    "add    " a ", " e ", " a ", lsl #1\n\t"       \
    "add    " e ", " d ", " b ", lsl #1\n\t"       \
    "add    " b ", " b ", " d ", lsl #1\n\t"       \
    "add    " b ", " b ", " f ", lsl #1\n\t"

#define TV_BACK_COLUMN_M4(j)                       \
    "ldr    r3, [r0, #32*" #j "]\n\t"              \
    "ldr    r4, [r0, #32*" #j "+192]\n\t"          \
    "ldr    r5, [r0, #32*" #j "+384]\n\t"          \
    "ldr    r6, [r0, #32*" #j "+576]\n\t"          \
    "ldr    r7, [r0, #32*" #j "+768]\n\t"          \
    "ldr    r11, [r0, #32*" #j "+960]\n\t"         \
    TV_RESULTS_M4("r3", "r4", "r5", "r6", "r7", "r11", "r9") \
    "str    r3, [sp, #4*" #j "]\n\t"               \
    "str    r7, [sp, #4*" #j "+24]\n\t"            \
    "str    r9, [sp, #4*" #j "+48]\n\t"            \
    "str    r4, [sp, #4*" #j "+72]\n\t"

#define TV_BACK_ROW_M4(i, a, b, c, d, e, f, t)     \
    "ldr    " a ", [sp, #24*" #i "]\n\t"           \
    "ldr    " b ", [sp, #24*" #i "+4]\n\t"         \
    "ldr    " c ", [sp, #24*" #i "+8]\n\t"         \
    "ldr    " d ", [sp, #24*" #i "+12]\n\t"        \
    "ldr    " e ", [sp, #24*" #i "+16]\n\t"        \
    "ldr    " f ", [sp, #24*" #i "+20]\n\t"        \
    TV_RESULTS_M4(a, b, c, d, e, f, t)             \
    "mul    " a ", " a ", r2\n\t"                  \
    "mul    " e ", " e ", r2\n\t"                  \
    "mul    " t ", " t ", r2\n\t"                  \
    "mul    " b ", " b ", r2\n\t"

/* a = the larger of a and b << shift; worse is "lt", or "gt" where results fall. */
#define TV_LARGER_M4(worse, a, b)                  \
    "cmp    " a ", " b "\n\t"                      \
    "it     " worse "\n\t"                         \
    "mov" worse "  " a ", " b "\n\t"
#define TV_LARGER_SHIFTED_M4(worse, a, b, shift)   \
    "cmp    " a ", " b ", lsl #" #shift "\n\t"     \
    "it     " worse "\n\t"                         \
    "lsl" worse "  " a ", " b ", #" #shift "\n\t"

#define TV_CONSTANTS_M4                            \
    "ldr    r8, [sp, #96]\n\t"                     \
    "ldr    r10, [sp, #100]\n\t"                   \
    "ldr    r12, [sp, #104]\n\t"

/* The tail of tv_result, from `bits` below the accumulator's unit, to the address r1 + at. */
#define TV_BIASED_M4(v, bits)                      \
    "add    " v ", r8, " v ", asr #" #bits "\n\t"
#define TV_PLAIN_M4(v, bits)                       \
    "asr    " v ", " v ", #" #bits "\n\t"
#define TV_RELU_M4(v)                              \
    "bic    " v ", " v ", " v ", asr #31\n\t"
#define TV_STORE_M4(v, at)                         \
    "add    " v ", r10, " v ", lsl #" TV_TEXT(TV_SHIFT) "\n\t" \
    "smmulr " v ", " v ", r12\n\t"                 \
    "usat   " v ", #8, " v "\n\t"                  \
    "strb   " v ", [r1, #" #at "*" TV_TEXT(TV_FILTERS) "]\n\t"
#if TV_WITH_RELU
#define TV_FINISH_M4(v, bits, at) TV_BIASED_M4(v, bits) TV_RELU_M4(v) TV_STORE_M4(v, at)
#else
#define TV_FINISH_M4(v, bits, at) TV_PLAIN_M4(v, bits) TV_STORE_M4(v, at)
#endif

#define TV_NEXT_LINE_M4                            \
    "movw   r3, #" TV_TEXT(TV_OUT_WIDTH) "*" TV_TEXT(TV_FILTERS) "\n\t" \
    "add    r1, r1, r3\n\t"

#if TV_POOL
#define TV_ROWS_M4(i, k, worse)                                                                            \
    TV_BACK_ROW_M4(i, "r3", "r4", "r5", "r6", "r7", "r11", "r9")                                           \
    TV_BACK_ROW_M4(k, "r5", "r6", "r8", "r10", "r11", "r12", "lr")
#define TV_TILE_M4(worse)                                                                                  \
    TV_ROWS_M4(0, 1, worse)                                                                                \
    TV_LARGER_M4(worse, "r7", "r5") TV_LARGER_SHIFTED_M4(worse, "r3", "r7", 1)                             \
    TV_LARGER_SHIFTED_M4(worse, "r3", "r11", 2)                                                            \
    TV_LARGER_M4(worse, "r9", "r4") TV_LARGER_M4(worse, "lr", "r6") TV_LARGER_SHIFTED_M4(worse, "r9", "lr", 1) \
    TV_CONSTANTS_M4 TV_FINISH_M4("r3", 6, 0) TV_FINISH_M4("r9", 4, 1)                                      \
    TV_NEXT_LINE_M4                                                                                        \
    TV_ROWS_M4(2, 3, worse)                                                                                \
    TV_LARGER_M4(worse, "r3", "r5") TV_LARGER_M4(worse, "r7", "r11") TV_LARGER_SHIFTED_M4(worse, "r3", "r7", 1) \
    TV_LARGER_M4(worse, "r9", "r4") TV_LARGER_M4(worse, "lr", "r6") TV_LARGER_M4(worse, "r9", "lr")        \
    TV_CONSTANTS_M4 TV_FINISH_M4("r3", 4, 0) TV_FINISH_M4("r9", 2, 1)
#define TV_TILE_STEP 2
#else
#define TV_LINE_M4(i, b0, b1, b2, b3)                                                                      \
    TV_BACK_ROW_M4(i, "r3", "r4", "r5", "r6", "r7", "r11", "r9")                                           \
    TV_FINISH_M4("r3", b0, 0) TV_FINISH_M4("r7", b1, 1) TV_FINISH_M4("r9", b2, 2) TV_FINISH_M4("r4", b3, 3)
#define TV_TILE_M4(worse)                                                                                  \
    TV_CONSTANTS_M4                                                                                        \
    TV_LINE_M4(0, 6, 5, 4, 4) TV_NEXT_LINE_M4                                                              \
    TV_LINE_M4(1, 5, 4, 3, 3) TV_NEXT_LINE_M4                                                              \
    TV_LINE_M4(2, 4, 3, 2, 2) TV_NEXT_LINE_M4                                                              \
    TV_LINE_M4(3, 4, 3, 2, 2)
#define TV_TILE_STEP 4
#endif

/* `count` tiles of a line, one filter: sums m at every eighth word, the next tile's four words further. */
#define TV_RESULTS_OF_M4(name, worse)                                                                      \
TV_HOT static __attribute__((naked, noinline)) void name(const int32_t *m TV_UNUSED, const tv_channel *channel TV_UNUSED, \
                                                         uint8_t *y TV_UNUSED, uint32_t count TV_UNUSED)   \
{                                                                                                          \
    __asm__ volatile(                                                                                      \
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t"                                           \
        "sub    sp, sp, #120\n\t"                                                                          \
        "ldm    r1, {r4, r5, r6}\n\t"                                                                      \
        "str    r4, [sp, #96]\n\t"                                                                         \
        "str    r5, [sp, #100]\n\t"                                                                        \
        "str    r6, [sp, #104]\n\t"                                                                        \
        "str    r3, [sp, #108]\n\t"                                                                        \
        "mov    r1, r2\n\t"                                                                                \
        "movw   r2, #0x8E39\n\t"                                                                           \
        "movt   r2, #0x38E3\n"                                                                             \
        "1:\n\t"                                                                                           \
        "str    r1, [sp, #112]\n\t"                                                                        \
        TV_BACK_COLUMN_M4(0) TV_BACK_COLUMN_M4(1) TV_BACK_COLUMN_M4(2)                                     \
        TV_BACK_COLUMN_M4(3) TV_BACK_COLUMN_M4(4) TV_BACK_COLUMN_M4(5)                                     \
        TV_TILE_M4(worse)                                                                                  \
        "ldr    r3, [sp, #108]\n\t"                                                                        \
        "ldr    r1, [sp, #112]\n\t"                                                                        \
        "movw   r4, #" TV_TEXT(TV_TILE_STEP) "*" TV_TEXT(TV_FILTERS) "\n\t"                                \
        "add    r1, r1, r4\n\t"                                                                            \
        "add    r0, r0, #4*" TV_TEXT(TV_TILE_WORDS) "\n\t"                                                  \
        "subs   r3, r3, #1\n\t"                                                                            \
        "str    r3, [sp, #108]\n\t"                                                                        \
        "bne    1b\n\t"                                                                                    \
        "add    sp, sp, #120\n\t"                                                                          \
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}\n");                                           \
}

#endif
