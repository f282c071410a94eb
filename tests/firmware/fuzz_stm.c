/* ST's protocol from the host's side: its messages, packets and what must come back, by code of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tv_port.h"
#include "tv_protocol.h"
#include "fuzz.h"

#define FAIL(...) do { fprintf(stderr, __VA_ARGS__); fputc('\n', stderr); abort(); } while (0)

static uint8_t message[4096];
static uint32_t count;

static void varint(uint32_t n)
{
    for (; n > 127; n >>= 7) message[count++] = (uint8_t)(n | 128);
    message[count++] = (uint8_t)n;
}

static void number(uint32_t field, uint32_t n) { varint(field << 3); varint(n); }

static void bytes(uint32_t field, const void *data, uint32_t n)
{
    varint(field << 3 | 2);
    varint(n);
    memcpy(message + count, data, n);
    count += n;
}

static void request(uint32_t id, uint32_t command, uint32_t parameter, const char *name, uint32_t option)
{
    count = 0;
    number(1, id), number(2, command), number(3, parameter), bytes(4, name, (uint32_t)strlen(name)), number(5, option);
}

/* Feed the message in packets; each but the last must be asked on with 0xAA. Return where the answer begins in `out`. */
static uint32_t deliver(int damage)
{
    static uint8_t body[4200], wire[33];
    uint32_t n = 0, m = count;
    for (; m > 127; m >>= 7) body[n++] = (uint8_t)(m | 128);
    body[n++] = (uint8_t)m;
    memcpy(body + n, message, count);
    n += count;
    if (damage == 1) for (uint32_t k = below(4) + 1; k--;) body[below(n)] ^= (uint8_t)(1u << below(8));
    for (uint32_t at = 0; at < n; at += 32) {
        uint32_t part = n - at < 32 ? n - at : 32, before = out_count, send = 33;
        memset(wire, 0, sizeof wire);
        wire[0] = (uint8_t)part;
        memcpy(wire + 1, body + at, part);
        if (damage == 2 && below(3) == 0) wire[below(33)] ^= (uint8_t)(1u << below(8));
        if (damage == 3 && below(3) == 0) send = below(33);
        feed(wire, send);
        if (!damage && at + 32 < n && (out_count != before + 1 || out[before] != 0xAA)) FAIL("a packet was not asked on");
    }
    return damage ? 0 : (n - 1) / 32;
}

static uint32_t take_varint(const uint8_t *p, uint32_t *at, uint32_t end)
{
    uint64_t n = 0;
    for (int shift = 0;; shift += 7) {
        if (*at >= end || shift > 63) FAIL("an answer ends in a number");
        n |= (uint64_t)(p[*at] & 127) << shift;
        if (!(p[(*at)++] & 128)) return (uint32_t)n;
    }
}

/* Look a field up in a message; the last of that number. Return its value, or its length with `where` set. */
static uint32_t field(const uint8_t *p, uint32_t n, uint32_t wanted, const uint8_t **where)
{
    uint32_t found = ~0u;
    for (uint32_t at = 0; at < n;) {
        uint32_t key = take_varint(p, &at, n), value = 0, length = 0;
        if ((key & 7) == 0) value = take_varint(p, &at, n);
        else if ((key & 7) == 2) value = length = take_varint(p, &at, n);
        else if ((key & 7) == 5) length = 4;
        else FAIL("a field of a strange type");
        if (length > n - at) FAIL("a field longer than its message");
        if (key >> 3 == wanted) { found = value; if (where) *where = p + at; }
        at += length;
    }
    return found;
}

/* Take one message out of the packets in `out` from `at` on; return its length, 0 at the end. */
static uint8_t response[4096];
static uint32_t next_response(uint32_t *at)
{
    uint32_t n = 0;
    while (*at < out_count) {
        const uint8_t *p = out + *at;
        if (out_count - *at < 33 || (p[0] & 127) > 32 || (!(p[0] & 128) && p[0] != 32)) FAIL("a broken packet");
        for (uint32_t i = (p[0] & 127) + 1; i < 33; i++) if (p[i]) FAIL("a packet is not padded with zeros");
        memcpy(response + n, p + 1, p[0] & 127);
        n += p[0] & 127;
        *at += 33;
        if (p[0] & 128) return n;
    }
    if (n) FAIL("a message without its last packet");
    return 0;
}

/* The one answer to a request: its state, with the payload's field number. */
static uint32_t only_answer(uint32_t at, uint32_t id, uint32_t wanted)
{
    const uint8_t *inner;
    uint32_t n = next_response(&at);
    if (n == 0 || field(response, n, 1, 0) != id) FAIL("no answer with the request's number");
    if (field(response, n, wanted, &inner) == ~0u) FAIL("an answer without field %u", wanted);
    if (at != out_count) FAIL("more than one answer");
    return field(response, n, 2, 0);
}

static void whole_image(void)
{
    static const uint32_t modes[] = { 1, 3, 7, 5, 9 + 512, 1 + 512, 1 };
    uint32_t id = random32() | 1, mode = modes[below(7)], constant = mode & 512, layers = mode & 6 ? tv_app.layer_count : 0;
    uint8_t image[INPUTS * 4];
    for (uint32_t i = 0; i < sizeof image; i++) image[i] = (uint8_t)random32();
    for (uint32_t i = 4; constant && i < sizeof image; i++) image[i] = image[i - 4];
    out_count = 0;
    request(id, 11, mode, below(2) ? "fuzz" : "", below(2));
    if (only_answer(deliver(0), id, 12) != 1) FAIL("RUN was refused");
    out_count = count = 0;
    number(1, 0), number(2, constant ? 4 : sizeof image), number(3, 0), bytes(4, image, constant ? 4 : sizeof image);
    if (only_answer(deliver(0), id, 12) != 2) FAIL("an image was refused");
    if (memcmp(input, image, sizeof image)) FAIL("the image is not what was sent");
    int32_t raw[10];
    int status = tv_app_infer(TV_F32, raw);              /* before the board does: its outputs go where the image lay */
    out_count = count = 0;
    number(1, 0), number(2, 0);
    uint32_t at = deliver(0), n, ops = 0;
    while ((n = next_response(&at)) != 0) {
        const uint8_t *tensor, *data, *values;
        if (field(response, n, 1, 0) != id) FAIL("an answer to another request");
        if (status) {
            if (field(response, n, 2, 0) != 4 || field(response, n, 12, 0) == ~0u || at != out_count) FAIL("a failure that is not told");
            return;
        }
        if (field(response, n, 16, 0) != ~0u) { ops++; continue; }
        uint32_t size = field(response, n, 17, &tensor), inner = field(tensor, size, 2, &data);
        uint32_t length = field(data, inner, 4, &values);
        if (field(response, n, 2, 0) != 3 || at != out_count || length != (mode & 8 ? 0 : 40)) FAIL("no outputs at the end");
        for (uint32_t i = 0; i < length / 4; i++) {
            float y;
            memcpy(&y, values + 4 * i, 4);
            if (y != (float)raw[i]) FAIL("output %u is wrong", i);
        }
        if (ops != layers + 1) FAIL("%u operators of %u", ops, layers + 1);
        return;
    }
    FAIL("no outputs");
}

static void right(void)
{
    static const struct { uint32_t command, parameter, answer, state; } asked[] = {
        { 0, 0, 10, 0 }, { 1, 0, 11, 0 }, { 10, 0, 22, 0 }, { 10, 1, 12, 4 }, { 200, 0, 12, 4 }, { 20, 0, 12, 4 }, { 12, 0, 12, 4 } };
    if (below(3) == 0) {
        whole_image();
        return;
    }
    uint32_t i = below(7), id = random32() | 1;
    out_count = 0;
    request(id, asked[i].command, asked[i].parameter, "", 0);
    if (only_answer(deliver(0), id, asked[i].answer) != asked[i].state) FAIL("command %u: wrong state", asked[i].command);
}

/* Whatever comes of it must leave a board that the next one can speak to: the callers see to that. */
static void damaged(void)
{
    static uint8_t noise[400];
    static const uint8_t commands[] = { 0, 1, 10, 11, 20 };
    if (below(4) == 0) {
        for (uint32_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)random32();
        noise[0] = (uint8_t)(1 + below(32));
        feed(noise, 1 + below(sizeof noise));
        return;
    }
    count = 0;
    for (uint32_t i = 0; i < INPUTS * 4; i++) noise[i] = below(2) ? (uint8_t)random32() : 0;
    if (below(2)) request(random32(), commands[below(5)], below(16), below(2) ? "fuzz" : "somebody else's network", 0);
    else number(1, 0), number(2, INPUTS * 4), number(3, 0), bytes(4, noise, below(3) ? INPUTS * 4 : below(400));
    deliver(1 + (int)below(3));
}

uint32_t fuzz_stm(int clean)
{
    if (clean) {
        listen_anew();
        right();
    } else {
        if (below(2)) listen_anew();
        damaged();
        if (below(3) == 0) tv_main_step(-1);
        if (out_count > sizeof out / 2) FAIL("a flood of answers");
    }
    out_count = 0;
    return 1;
}
