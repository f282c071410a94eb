/* The requests of the tinyvgg protocol. Each may be repeated: doing it twice is doing it once. */
#include <string.h>
#include "tv_port.h"
#include "tv_protocol.h"

#ifndef TV_MEMORY_ACCESS
#define TV_MEMORY_ACCESS 0       /* READ, WRITE and CRC: for experiments, compiled in only on request */
#endif
#define DAMAGED_BEFORE_REVERT 8

uint32_t tv_last_sequence, tv_damaged_frames;

/* One buffer for small payloads in, one for answers out, each with room for the frame around it. Words, for alignment. */
static uint32_t small[TV_SMALL_BYTES / 4];
#define TV_ANSWER_BYTES (4 + TV_OUTPUT_BYTES > TV_SMALL_BYTES ? 4 + TV_OUTPUT_BYTES : TV_SMALL_BYTES)
static struct { tv_header header; uint8_t payload[TV_ANSWER_BYTES + 4]; } out;
static uint32_t silences;
static uint32_t old_baud;        /* to return to when nobody speaks at the new one; 0: none */

static uint32_t type_bytes(int type)
{
    return type == TV_F32 || type == TV_I32 ? 4 : type == TV_I16 ? 2 : 1;
}

static int is_image(const tv_header *h)
{
    return h->version == TV_PROTOCOL_VERSION && h->type >= TV_INFER && h->type <= TV_INFER + TV_F32;
}

uint8_t *tv_request_sink_small(const tv_header *h)
{
    return !is_image(h) && h->length <= TV_SMALL_BYTES ? (uint8_t *)small : 0;
}

uint8_t *tv_request_sink(const tv_header *h)
{
    if (!is_image(h)) return tv_request_sink_small(h);
    int type = h->type - TV_INFER;
    if (!(tv_app.input_types & TV_ACCEPTS(type)) || h->length != tv_app.input_count * type_bytes(type)) return 0;
    return tv_app_input(type);
}

/* --- sending -------------------------------------------------------------------------------------------------------- */
static void send_cobs(const uint8_t *data, uint32_t count)
{
    for (;;) {
        uint32_t run = 0;
        while (run < count && run < 254 && data[run]) run++;
        tv_putc((uint8_t)(run + 1));
        for (uint32_t i = 0; i < run; i++) tv_putc(data[i]);
        data += run;
        count -= run;
        if (count == 0) return;
        if (run < 254) {                 /* the block stands for the zero after it */
            data++;
            count--;
        }
    }
}

void tv_send_frame(uint8_t type, uint32_t sequence, const uint8_t *payload, uint32_t count)
{
    out.header = (tv_header){ TV_PROTOCOL_VERSION, type, 0, sequence, count };
    if (payload != out.payload) memcpy(out.payload, payload, count);
    uint32_t crc = ~tv_crc32(TV_CRC_START, (const uint8_t *)&out, TV_HEADER_BYTES + count);
    memcpy(out.payload + count, &crc, 4);
    tv_putc(0);
    send_cobs((const uint8_t *)&out, TV_HEADER_BYTES + count + 4);
    tv_putc(0);
}

static void answer(uint8_t request, uint32_t count)
{
    tv_send_frame(request | TV_ANSWER, tv_last_sequence, out.payload, count);
}

static void error(uint8_t code, uint32_t detail)
{
    uint32_t words[2] = { code, detail };
    tv_send_frame(TV_ERROR, tv_last_sequence, (const uint8_t *)words, sizeof words);
}

static uint32_t put(uint32_t at, const void *value, uint32_t count)
{
    memcpy(out.payload + at, value, count);
    return at + count;
}

/* --- the requests --------------------------------------------------------------------------------------------------- */
uint32_t tv_text_bytes(const char *text, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && text[n]) n++;
    return n;
}

static void hello(void)
{
    tv_board_info b;
    tv_board(&b);
    const uint32_t words[] = { b.device_id, b.clock_hz, tv_baud(), b.flash_bytes, b.ram_bytes, b.flash_used, b.ram_static,
                               b.stack_bytes, tv_app.arena_bytes, b.reset_cause, tv_app.input_count, tv_app.layer_count };
    const uint8_t bytes[] = { TV_PROTOCOL_VERSION, TV_MEMORY_ACCESS, tv_app.input_types, tv_app.output_type };
    uint32_t n = put(0, bytes, sizeof bytes), name = tv_text_bytes(tv_app.name, 63);
    n = put(n, words, sizeof words);
    n = put(n, tv_app.input_shape, 8);
    n = put(n, &tv_app.input_scale, 4);
    n = put(n, &tv_app.input_zero, 4);
    n = put(n, &tv_app.input_low, 4);
    n = put(n, &tv_app.input_high, 4);
    n = put(n, &tv_app.output_scale, 4);
    n = put(n, &tv_app.output_zero, 4);
    const uint16_t counts[2] = { tv_app.output_count, (uint16_t)name };
    n = put(n, counts, 4);
    n = put(n, tv_app.sha256, 32);
    answer(TV_HELLO, put(n, tv_app.name, name));
}

static void usage(void)
{
    tv_board_info b;
    tv_board(&b);
    uint32_t unused = 0;
    while (unused < tv_app.arena_bytes && tv_app.arena[tv_app.arena_bytes - 1 - unused] == 0xA5u) unused++;
    const uint32_t words[] = { b.flash_used, b.ram_static, b.stack_bytes, tv_stack_used(), tv_app.arena_bytes,
                               tv_app.arena_bytes - unused, tv_line_overruns(), tv_damaged_frames };
    answer(TV_USAGE, put(0, words, sizeof words));
}

/* From layer `first` as many as fit: each 4 bytes of cycles, 1 of name length, the name. */
static void profile(uint32_t first)
{
    const uint32_t head[2] = { first, tv_app.layer_count };
    uint32_t n = put(0, head, 8);
    for (uint32_t i = first; i < tv_app.layer_count; i++) {
        uint8_t length = (uint8_t)tv_text_bytes(tv_app.layer_names[i], 63);
        if (n + 5 + length > TV_SMALL_BYTES) break;
        n = put(n, &tv_app.layer_cycles[i], 4);
        n = put(n, &length, 1);
        n = put(n, tv_app.layer_names[i], length);
    }
    answer(TV_PROFILE, n);
}

static void infer(const tv_receiver *r)
{
    int type = r->header.fields.type - TV_INFER;
    if (!(tv_app.input_types & TV_ACCEPTS(type))) return error(TV_ERROR_INPUT_TYPE, tv_app.input_types);
    if (r->header.fields.length != tv_app.input_count * type_bytes(type))
        return error(TV_ERROR_LENGTH, tv_app.input_count * type_bytes(type));
    if (!r->payload) return error(TV_ERROR_DAMAGED, 0);          /* came while a student image was under way: send it again */
    tv_send_frame(TV_ACCEPTED, tv_last_sequence, out.payload, 0);
    tv_led(1);
    uint32_t start = tv_cycles_cold();
    int status = tv_app_infer(type, tv_output);
    uint32_t cycles = tv_cycles() - start;
    tv_led(0);
    if (status & TV_HARMED) return error(TV_ERROR_HARMED, (uint32_t)status & 0xFFFFu);
    if (status) return error(TV_ERROR_NETWORK, (uint32_t)status);
    uint32_t n = put(0, &cycles, 4);
    answer((uint8_t)(TV_INFER + type), put(n, tv_output, tv_app.output_count * type_bytes(tv_app.output_type)));
}

static void set_baud(uint32_t baud)
{
    uint32_t before = tv_baud();
    if (tv_set_baud(baud)) return error(TV_ERROR_BAUD, baud);
    uint32_t actual = tv_baud();
    tv_set_baud(before);                 /* the answer goes out at the old rate */
    answer(TV_SET_BAUD, put(0, &actual, 4));
    tv_flush();
    tv_set_baud(baud);
    old_baud = before;
    silences = 0;
    tv_damaged_frames = 0;
}

static void call(uint32_t function, const uint8_t *in, uint32_t count)
{
    tv_send_frame(TV_ACCEPTED, tv_last_sequence, out.payload, 0);
    uint32_t start = tv_cycles_cold();
    int32_t n = tv_app_call(function, in, count, out.payload + 4);
    uint32_t cycles = tv_cycles() - start;
    if (n < 0) return error(TV_ERROR_FUNCTION, function);
    put(0, &cycles, 4);
    answer(TV_CALL, 4 + (uint32_t)n);
}

__attribute__((weak)) int32_t tv_app_call(uint32_t function, const uint8_t *in, uint32_t count, uint8_t *result)
{
    (void)function, (void)in, (void)count, (void)result;
    return -1;
}

#if TV_MEMORY_ACCESS
/* words: address, count (READ and CRC), or address and then the bytes (WRITE). */
static void memory(uint8_t type, const uint32_t *words, uint32_t length)
{
    uint32_t address = words[0], count = type == TV_WRITE ? length - 4 : words[1];
    if (!tv_memory_ok(address, count, type == TV_WRITE)) return error(TV_ERROR_ADDRESS, address);
    uint8_t *at = (uint8_t *)(uintptr_t)address;
    if (type == TV_READ) {
        if (count > TV_SMALL_BYTES) return error(TV_ERROR_LENGTH, TV_SMALL_BYTES);
        return answer(type, put(0, at, count));
    }
    if (type == TV_WRITE) memcpy(at, words + 1, count);
    uint32_t crc = ~tv_crc32(TV_CRC_START, at, count);
    answer(type, put(0, &crc, 4));
}
#endif

/* Payload lengths that a request may have. */
static int length_ok(uint8_t type, uint32_t n)
{
    switch (type) {
    case TV_HELLO: case TV_USAGE: case TV_RESET: return n == 0;
    case TV_SET_BAUD: case TV_PROFILE: return n == 4;
    case TV_READ: case TV_CRC: return n == 8;
    case TV_CALL: case TV_WRITE: return n >= 4;
    default: return 1;
    }
}

static void reset(void)
{
    answer(TV_RESET, 0);
    tv_flush();
    tv_reset();
}

void tv_answer(const tv_receiver *r)
{
    const tv_header *h = &r->header.fields;
    const uint8_t *in = r->payload;
    if (h->type & TV_ANSWER) return;     /* our own, sent back by a line that echoes: an answer to it would go round for ever */
    tv_last_sequence = h->sequence;
    tv_damaged_frames = old_baud ? 0 : tv_damaged_frames;
    old_baud = 0;
    if (h->version != TV_PROTOCOL_VERSION) return error(TV_ERROR_VERSION, TV_PROTOCOL_VERSION);
    if (is_image(h)) return infer(r);
    if (h->length > TV_SMALL_BYTES || !length_ok(h->type, h->length)) return error(TV_ERROR_LENGTH, TV_SMALL_BYTES);
    switch (h->type) {
    case TV_HELLO: return hello();
    case TV_ECHO: return answer(TV_ECHO, put(0, in, h->length));
    case TV_SET_BAUD: return set_baud(small[0]);
    case TV_USAGE: return usage();
    case TV_PROFILE: return profile(small[0]);
    case TV_CALL: return call(small[0], in + 4, h->length - 4);
    case TV_RESET: return reset();
    case TV_READ: case TV_WRITE: case TV_CRC:
#if TV_MEMORY_ACCESS
        return memory(h->type, small, h->length);
#else
        return error(TV_ERROR_DISABLED, h->type);
#endif
    default: return error(TV_ERROR_REQUEST, h->type);
    }
}

/* --- what the line did ---------------------------------------------------------------------------------------------- */
static void revert_baud(void)
{
    if (!old_baud) return;
    tv_set_baud(old_baud);
    old_baud = 0;
}

void tv_report_damage(void)
{
    tv_damaged_frames++;
    error(TV_ERROR_DAMAGED, tv_damaged_frames);
    if (old_baud && tv_damaged_frames >= DAMAGED_BEFORE_REVERT) revert_baud();
}

/* Called each half second of silence: the host has a second to speak at the new rate. */
void tv_line_silent(void)
{
    if (++silences >= 2) revert_baud();
}
