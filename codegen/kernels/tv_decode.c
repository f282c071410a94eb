#include "tv_decode.h"
#include "tv_intrinsics.h"

#define ENTRIES (1u << TV_CODE_BITS)

void tv_decode_table(const tv_code *code, tv_decoder *decoder)
{
    const int8_t *value = code->values;
    uint32_t at = 0;
    for (uint32_t length = 1; length <= TV_CODE_BITS; length++)
        for (uint32_t n = code->counts[length - 1]; n; n--, value++)
            for (uint32_t i = ENTRIES >> length; i && at < ENTRIES; i--, at++) {
                decoder->table[at] = (uint8_t)*value;
                decoder->lengths[at] = (uint8_t)length;
            }
    for (at = 0; at < ENTRIES; at++) {
        uint32_t total = decoder->lengths[at], count = 1, entry = decoder->table[at] & 0xFFu;
        for (; count < 3; count++) {
            const uint32_t next = at << total & (ENTRIES - 1u), length = decoder->lengths[next];
            if (total + length > TV_CODE_BITS) break;
            entry |= (decoder->table[next] & 0xFFu) << 8 * count;
            total += length;
        }
        decoder->table[at] = entry | total << 24 | count << 28;
    }
}

/* Reads two bytes at a time and never beyond the stream: what follows it are zeros. */
TV_HOT void tv_decode(const tv_code *code, tv_decoder *decoder, int first, int8_t *to, uint32_t count)
{
    const uint32_t *const table = decoder->table;
    const uint8_t *at = first ? code->stream : decoder->at;
    const uint8_t *const last = code->stream + code->bytes;
    uint32_t window = first ? 0 : decoder->window, held = first ? 0 : decoder->held, entry = first ? 0 : decoder->beyond;
    int8_t *const end = to + count;
    tv_store(to, entry);
    to += first ? 0 : decoder->more;
    while (to < end) {
        if (held < 16) {
            if (at != last) window |= ((uint32_t)at[0] << 8 | at[1]) << (16 - held), at += 2;
            held += 16;
        }
        entry = table[window >> (32u - TV_CODE_BITS)];
        const uint32_t bits = entry >> 24 & 15u;
        tv_store(to, entry);
        to += entry >> 28;
        window <<= bits;
        held -= bits;
    }
    decoder->at = at, decoder->window = window, decoder->held = held;
    decoder->more = (uint32_t)(to - end);
    decoder->beyond = tv_load(end);
}
