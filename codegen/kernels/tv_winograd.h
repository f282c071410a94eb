/* What the two Winograd kernels share: tiles of TV_TILE x TV_TILE results of a 3x3 convolution with stride 1, from transformed
 * values and weights. Both give the very integers of the direct sum: see tv_winograd2.h and tv_winograd4.h.
 *
 * TV_TILE_ROWS TV_TILE_COLUMNS   tiles of the map         TV_BATCH   rows of tiles at a time
 * TV_POOL                        1: a max-pool 2x2 with stride 2 follows
 * TV_WITH_TAIL, TV_WITH_RELU      1: the tail is bias, perhaps ReLU, and rounding; 1: there is a ReLU
 * TV_PADDED_WIDTH = TV_TILE_COLUMNS * TV_TILE + 2; TV_PADDED_CHANNELS a multiple of 4; TV_DEPTH half of it
 * TV_TOGETHER                    tiles multiplied at once: 2 by four filters, or 4 by two: then weights are read half as often.
 *                                4 only where TV_TILE_COLUMNS is 1, 2 or 4
 *
 * values  [TV_BATCH * TV_TILE_COLUMNS / TV_TOGETHER, rounded up][places of a tile][TV_DEPTH][TV_TOGETHER tiles] words: of each four
 *         channels 0 1 2 3 the words (0, 2) and (1, 3), as UXTB16 gives them
 * weights [filters / TV_ABREAST][places][TV_DEPTH][TV_ABREAST] words, filters rounded up to fours, TV_ABREAST = 8 / TV_TOGETHER; where
 *         TV_EXPAND is 1 int8 [F/4][C/4][4 filters][9][4 channels]
 * sums    [places][2 tiles][4 filters], or [places][2 filters][4 tiles]
 * scratch: sums, values, weights of four filters if TV_EXPAND, padded rows [TV_BATCH * TV_TILE + 2][TV_PADDED_WIDTH][channels], and
 * four filters' bytes if TV_INDEX_BITS, with a decoder behind them if TV_CODED */
#ifndef TV_WINOGRAD_H
#define TV_WINOGRAD_H

#include "tv_fixed.h"

#if TV_DSP
#pragma GCC diagnostic ignored "-Woverlength-strings"    /* C99 asks compilers for 4095 characters only; some here take more */
#endif

#define TV_PLACES ((TV_TILE + 2) * (TV_TILE + 2))
#define TV_ABREAST (8 / TV_TOGETHER)                     /* filters at once */
#define TV_GROUPS ((TV_BATCH * TV_TILE_COLUMNS + TV_TOGETHER - 1) / TV_TOGETHER)
#define TV_VALUE_STEP (TV_TOGETHER * TV_DEPTH)           /* words from a place to the next */
#define TV_PLACE_BYTES TV_TEXT(TV_TOGETHER) "*2*" TV_TEXT(TV_PADDED_CHANNELS)
#if TV_TOGETHER == 4
#define TV_TILE_WORDS 1                                  /* sums of a filter: from a tile to the next */
#define TV_FILTER_WORDS 4                                /* sums of a tile: from a filter to the next */
#else
#define TV_TILE_WORDS 4
#define TV_FILTER_WORDS 1
#endif
#define TV_LINE (TV_PADDED_WIDTH * TV_PADDED_CHANNELS)   /* bytes of a padded row */
#define TV_EXPANDS_IN_M4 (TV_EXPAND && TV_DSP && TV_DEPTH <= (TV_TILE == 4 ? 42 : 85))       /* offsets fit: tv_expand_m4.h */
#define TV_TEXT_(x) #x
#define TV_TEXT(x) TV_TEXT_(x)
#define TV_LINE_TEXT TV_TEXT(TV_PADDED_WIDTH) "*" TV_TEXT(TV_PADDED_CHANNELS)

void TV_MAC(const uint32_t *x, const uint32_t *w, int32_t *m, const int32_t *end, uint32_t w_step);
void TV_NAME(const tv_fixed_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

/* Where the values of tile t of the batch begin. */
static inline uint32_t *tv_tile_values(uint32_t *values, uint32_t t)
{
    return values + t / TV_TOGETHER * TV_PLACES * TV_VALUE_STEP + t % TV_TOGETHER;
}

/* (v & 0xFFFF8000) of a low half that went below 0 has borrowed one from the high half: give it back. */
static inline uint32_t tv_mend(uint32_t v) { return v + ((v & 0x8000u) << 1); }

#endif
