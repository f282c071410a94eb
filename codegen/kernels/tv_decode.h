/* Weights that are stored by a prefix code: see tv_code. */
#ifndef TV_DECODE_H
#define TV_DECODE_H

#include "tv_kernels.h"

#define TV_CODE_BITS 10u                 /* of the longest code */
#define TV_CODE_SLACK 8u                 /* bytes behind what is decoded that are written to, at most, in whole words */

/* table: for each TV_CODE_BITS bits the one to three weights whose codes they begin with, low byte first; their codes' bits in bits 24..27,
 * how many in bits 28..29. lengths: bits of the first code. */
typedef struct {
    const uint8_t *at;
    uint32_t window, held;               /* bits to come, the first the highest: `held` of them */
    uint32_t beyond, more;               /* weights decoded beyond what was asked for, and how many */
    uint32_t table[1u << TV_CODE_BITS];
    uint8_t lengths[1u << TV_CODE_BITS];
} tv_decoder;

/* Where a decoder has its place: behind `count` weights, a multiple of 4, that it decodes to `to`. */
static inline tv_decoder *tv_decoder_behind(int8_t *to, uint32_t count)
{
    return (tv_decoder *)(void *)(to + count + TV_CODE_SLACK);
}

/* Make the table of a code. */
void tv_decode_table(const tv_code *code, tv_decoder *decoder);

/* The next `count` weights, of a decoder that has a table, to `to`; from the first on where `first` is not 0. */
void tv_decode(const tv_code *code, tv_decoder *decoder, int first, int8_t *to, uint32_t count);

#endif
