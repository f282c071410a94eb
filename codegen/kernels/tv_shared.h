/* Reading weights that are indices into a codebook. */
#ifndef TV_SHARED_H
#define TV_SHARED_H

#include "tv_kernels.h"

#define TV_ROUND_UP(n, multiple) (((n) + (multiple) - 1u) / (multiple) * (multiple))

#ifndef TV_CODED                         /* 1 where some of the network's weights are stored by a prefix code */
#define TV_CODED 0
#endif
#if TV_CODED
#include "tv_decode.h"

/* All `count` weights of a layer to `to`, a multiple of 4 bytes from there on the decoder. */
static inline const int8_t *tv_decode_all(const tv_shared *shared, uint32_t count, int8_t *to)
{
    const tv_code *const code = (const tv_code *)shared->codebook;
    tv_decoder *const decoder = tv_decoder_behind(to, (count + 3u) & ~3u);
    tv_decode_table(code, decoder);
    tv_decode(code, decoder, 1, to, count);
    return to;
}
#endif

/* Walks the packed indices of one filter. */
typedef struct {
    const uint8_t *at;
    uint32_t bits, held, word;           /* `held` bits of `word` are yet to be used */
} tv_index_reader;

static inline tv_index_reader tv_read_indices(const tv_shared *shared, uint32_t filter)
{
    const uint32_t start = filter * shared->row_bits;
    tv_index_reader r = { shared->indices + start / 8u, shared->bits, 0, 0 };
    if (start & 7u) {
        r.word = *r.at++;
        r.held = 8u - (start & 7u);
    }
    return r;
}

static inline uint32_t tv_next_index(tv_index_reader *r)
{
    if (r->held < r->bits) {
        r->word = r->word << 8 | *r->at++;
        r->held += 8;
    }
    r->held -= r->bits;
    return r->word >> r->held & ((1u << r->bits) - 1u);
}

#endif
