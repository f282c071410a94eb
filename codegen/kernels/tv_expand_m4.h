/* Four filters' int8 weights of four channels to Winograd's words, in the Cortex-M4's registers: compilers spill, or move as much as they
 * add. Included where TV_DSP is 1 and the offsets fit into instructions; what is computed is tv_winograd2.h's and tv_winograd4.h's.
 *
 * r0 weights [4 filters][9][4 channels], r1 words [places][TV_DEPTH][4]; a column of three goes in, those of its sums that rows are made
 * of stay in r2 .. r12 and lr, no more than twelve. The stack holds how many filters are left, and where their weights begin. */
#ifndef TV_EXPAND_M4_H
#define TV_EXPAND_M4_H

#define TV_PLACE(n) "#16*" #n "*" TV_TEXT(TV_DEPTH)         /* bytes from a place to the n-th after it */

/* Three weights of two channels each, from r0 + the offsets; half is "" or ", ror #8". */
#define TV_THREE_M4(half, a, b, c, p, q, r)        \
    "ldr    " a ", [r0, #" #p "]\n\t"              \
    "ldr    " b ", [r0, #" #q "]\n\t"              \
    "ldr    " c ", [r0, #" #r "]\n\t"              \
    "sxtb16 " a ", " a half "\n\t"                 \
    "sxtb16 " b ", " b half "\n\t"                 \
    "sxtb16 " c ", " c half "\n\t"

#if TV_TILE == 4

/* Sums 1 to 4 of H of a column come out in t1 t2 t3 t4; e f t are free. */
#define TV_COLUMN_H_M4(a, b, c, e, f, t, t1, t2, t3, t4) \
    "sadd16 " e ", " a ", " c "\n\t"               \
    "sadd16 " f ", " c ", " c "\n\t"               \
    "sadd16 " f ", " f ", " f "\n\t"               \
    "sadd16 " f ", " a ", " f "\n\t"               \
    "sadd16 " t ", " b ", " b "\n\t"               \
    "sadd16 " t1 ", " e ", " b "\n\t"              \
    "ssub16 " t2 ", " e ", " b "\n\t"              \
    "sadd16 " t3 ", " f ", " t "\n\t"              \
    "ssub16 " t4 ", " f ", " t "\n\t"

/* H of a row to six places from `to` on; r10 is free. */
#define TV_ROW_H_M4(to, a, b, c)                   \
    "sadd16 r10, " a ", " c "\n\t"                 \
    "str    " a ", [" to "]\n\t"                   \
    "str    " c ", [" to ", " TV_PLACE(5) "]\n\t"  \
    "sadd16 " c ", " c ", " c "\n\t"               \
    "sadd16 " c ", " c ", " c "\n\t"               \
    "sadd16 " c ", " a ", " c "\n\t"               \
    "sadd16 " a ", " b ", " b "\n\t"               \
    "ssub16 " b ", r10, " b "\n\t"                 \
    "sadd16 r10, " b ", " a "\n\t"                 \
    "str    " b ", [" to ", " TV_PLACE(2) "]\n\t"  \
    "str    r10, [" to ", " TV_PLACE(1) "]\n\t"    \
    "sadd16 r10, " c ", " a "\n\t"                 \
    "ssub16 " c ", " c ", " a "\n\t"               \
    "str    r10, [" to ", " TV_PLACE(3) "]\n\t"    \
    "str    " c ", [" to ", " TV_PLACE(4) "]\n\t"

#define TV_NEXT_ROW_M4 "addw   r1, r1, " TV_PLACE(6) "\n\t"

/* The outer rows need no sums of columns. */
#define TV_WORDS_M4(half)                                                                                  \
    TV_THREE_M4(half, "r2", "r3", "r4", 0, 4, 8)                                                           \
    TV_ROW_H_M4("r1", "r2", "r3", "r4")                                                                    \
    TV_THREE_M4(half, "r2", "r3", "r4", 24, 28, 32)                                                        \
    "movw   r11, " TV_PLACE(30) "\n\t"                                                                     \
    "add    r11, r11, r1\n\t"                                                                              \
    TV_ROW_H_M4("r11", "r2", "r3", "r4")                                                                   \
    TV_THREE_M4(half, "r2", "r3", "r4", 0, 12, 24)                                                         \
    TV_COLUMN_H_M4("r2", "r3", "r4", "r10", "r11", "r12", "r2", "r5", "r3", "r4")                          \
    TV_THREE_M4(half, "r6", "r7", "r8", 4, 16, 28)                                                         \
    TV_COLUMN_H_M4("r6", "r7", "r8", "r10", "r11", "r12", "r6", "r9", "r7", "r8")                          \
    TV_THREE_M4(half, "r10", "r11", "r12", 8, 20, 32)                                                      \
    TV_COLUMN_H_M4("r10", "r11", "r12", "lr", "r12", "r10", "r0", "lr", "r11", "r12")                      \
    TV_NEXT_ROW_M4 TV_ROW_H_M4("r1", "r2", "r6", "r0")                                                     \
    TV_NEXT_ROW_M4 TV_ROW_H_M4("r1", "r5", "r9", "lr")                                                     \
    TV_NEXT_ROW_M4 TV_ROW_H_M4("r1", "r3", "r7", "r11")                                                    \
    TV_NEXT_ROW_M4 TV_ROW_H_M4("r1", "r4", "r8", "r12")                                                    \
    "movw   r2, " TV_PLACE(24) "-4\n\t"

#else

/* 2G of a column: sums 0 to 3 come out in a, b, x, c; t is free. */
#define TV_COLUMN_H_M4(a, b, c, x, t)              \
    "sadd16 " t ", " a ", " c "\n\t"               \
    "sadd16 " a ", " a ", " a "\n\t"               \
    "sadd16 " c ", " c ", " c "\n\t"               \
    "ssub16 " x ", " t ", " b "\n\t"               \
    "sadd16 " b ", " t ", " b "\n\t"

/* 2G of a row to four places from r1 on; r0 is free. */
#define TV_ROW_H_M4(a, b, c)                       \
    "sadd16 r0, " a ", " c "\n\t"                  \
    "sadd16 " a ", " a ", " a "\n\t"               \
    "sadd16 " c ", " c ", " c "\n\t"               \
    "str    " a ", [r1]\n\t"                       \
    "str    " c ", [r1, " TV_PLACE(3) "]\n\t"      \
    "ssub16 " a ", r0, " b "\n\t"                  \
    "sadd16 r0, r0, " b "\n\t"                     \
    "str    r0, [r1, " TV_PLACE(1) "]\n\t"         \
    "str    " a ", [r1, " TV_PLACE(2) "]\n\t"

#define TV_NEXT_ROW_M4 "movw   r0, " TV_PLACE(4) "\n\t" "add    r1, r1, r0\n\t"

#define TV_WORDS_M4(half)                                                                                  \
    TV_THREE_M4(half, "r2", "r3", "r4", 0, 12, 24)                                                         \
    TV_COLUMN_H_M4("r2", "r3", "r4", "r5", "r10")                                                          \
    TV_THREE_M4(half, "r6", "r7", "r8", 4, 16, 28)                                                         \
    TV_COLUMN_H_M4("r6", "r7", "r8", "r9", "r10")                                                          \
    TV_THREE_M4(half, "r10", "r11", "r12", 8, 20, 32)                                                      \
    TV_COLUMN_H_M4("r10", "r11", "r12", "lr", "r0")                                                        \
    TV_ROW_H_M4("r2", "r6", "r10") TV_NEXT_ROW_M4                                                          \
    TV_ROW_H_M4("r3", "r7", "r11") TV_NEXT_ROW_M4                                                          \
    TV_ROW_H_M4("r5", "r9", "lr") TV_NEXT_ROW_M4                                                           \
    TV_ROW_H_M4("r4", "r8", "r12")                                                                         \
    "movw   r2, " TV_PLACE(12) "-4\n\t"

#endif

#define TV_EXPAND_M4(name, half)                                                                           \
TV_HOT static __attribute__((naked, noinline)) void name(const int8_t *from __attribute__((unused)),       \
                                                         uint32_t *to __attribute__((unused)))             \
{                                                                                                          \
    __asm__ volatile(                                                                                      \
        "push   {r4, r5, r6, r7, r8, r9, r10, r11, r12, lr}\n\t"                                           \
        "sub    sp, sp, #8\n\t"                                                                            \
        "movs   r2, #4\n\t"                                                                                \
        "str    r2, [sp]\n"                                                                                \
        "1:\n\t"                                                                                           \
        "str    r0, [sp, #4]\n\t"                                                                          \
        TV_WORDS_M4(half)                                                                                  \
        "ldr    r0, [sp, #4]\n\t"                                                                          \
        "ldr    r3, [sp]\n\t"                                                                              \
        "sub    r1, r1, r2\n\t"                                                                            \
        "add    r0, r0, #36\n\t"                                                                           \
        "subs   r3, r3, #1\n\t"                                                                            \
        "str    r3, [sp]\n\t"                                                                              \
        "bne    1b\n\t"                                                                                    \
        "add    sp, sp, #8\n\t"                                                                            \
        "pop    {r4, r5, r6, r7, r8, r9, r10, r11, r12, pc}\n");                                           \
}

TV_EXPAND_M4(tv_expand_even, "")
TV_EXPAND_M4(tv_expand_odd, ", ror #8")

#endif
