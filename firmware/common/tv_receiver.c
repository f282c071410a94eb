/* COBS frames, byte by byte: 0x00, COBS(header, payload, CRC-32), 0x00. */
#include "tv_protocol.h"

/* Nibble table of 0xEDB88320: 64 bytes of flash instead of 1 KiB, fast enough for any UART. */
static const uint32_t crc_table[16] = {
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C
};

static inline uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    crc = crc_table[crc & 15] ^ (crc >> 4);
    return crc_table[crc & 15] ^ (crc >> 4);
}

uint32_t tv_crc32(uint32_t crc, const uint8_t *data, uint32_t count)
{
    while (count--) crc = crc_byte(crc, *data++);
    return crc;
}

void tv_receiver_start(tv_receiver *r)
{
    r->payload = 0;
    r->position = 0;
    r->crc = TV_CRC_START;
    r->left = r->code = r->broken = 0;
}

int tv_receiver_between_frames(const tv_receiver *r)
{
    return r->code == 0 && !r->broken;
}

/* One decoded byte: header, then payload, then the four bytes of the CRC. */
static void take(tv_receiver *r, uint8_t byte)
{
    uint32_t p = r->position++;
    r->crc = crc_byte(r->crc, byte);
    if (p < TV_HEADER_BYTES) {
        r->header.bytes[p] = byte;
        if (p == TV_HEADER_BYTES - 1) r->payload = r->sink(&r->header.fields);
        return;
    }
    p -= TV_HEADER_BYTES;
    if (p < r->header.fields.length) {
        if (r->payload) r->payload[p] = byte;
    } else if (p - r->header.fields.length >= 4) {
        r->broken = 1;
    }
}

static tv_event finish(const tv_receiver *r)
{
    if (r->code == 0 && !r->broken) return TV_NOTHING;          /* two delimiters in a row */
    if (r->broken || r->left || r->position < TV_HEADER_BYTES + 4) return TV_DAMAGED;
    if (r->position - (TV_HEADER_BYTES + 4) != r->header.fields.length || r->crc != TV_CRC_RESIDUE) return TV_DAMAGED;
    return TV_FRAME;
}

/* After TV_FRAME header and payload may be read until the next push; the delimiter that ends a frame opens the next. */
tv_event tv_receiver_push(tv_receiver *r, uint8_t byte)
{
    if (byte == 0) {
        tv_event event = finish(r);
        uint8_t *payload = r->payload;
        tv_receiver_start(r);
        r->payload = payload;
        return event;
    }
    if (r->broken) return TV_NOTHING;
    if (r->left) {
        r->left--;
        take(r, byte);
    } else {
        if (r->code && r->code != 0xFF) take(r, 0);             /* a block of fewer than 254 bytes stands for a zero after it */
        r->code = byte;
        r->left = (uint8_t)(byte - 1);
    }
    return TV_NOTHING;
}
