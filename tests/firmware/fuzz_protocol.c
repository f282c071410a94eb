/* Feed the device side with right, damaged and hostile bytes; run under sanitizers. usage: fuzz FRAMES SEED
 * Every answer must be a whole frame with a right CRC (by code of its own here), and a right ECHO must come back exactly. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "tv_port.h"
#include "tv_protocol.h"
#include "fuzz.h"

#define WINDOW 0x20000000u
#define WINDOW_BYTES 0x10000u

uint8_t *input, out[1 << 16];
uint32_t out_count;
int stm_seen;
static uint32_t resets, calls, bauds;
static const char *const layer_names[] = { "one", "two" };
static const uint32_t layer_cycles[] = { 1, 2 };

const tv_app_info tv_app = { .name = "fuzz", .input_shape = { 4, 4, 3, 0 }, .input_count = INPUTS, .input_types = 7, .output_type = TV_I32,
                             .output_count = 10, .input_scale = 1, .output_scale = 1, .layer_count = 2, .layer_names = layer_names,
                             .layer_cycles = layer_cycles };
void tv_app_init(void) { }
void *tv_app_input(int type) { return type <= TV_F32 ? input : 0; }
int tv_app_infer(int type, void *output)
{
    int32_t sum = 0;
    for (int i = 0; i < INPUTS * (type == TV_F32 ? 4 : 1); i++) sum += input[i];
    for (int i = 0; i < 10; i++) ((int32_t *)output)[i] = sum + i;
    return sum % 97 == 0 ? 5 : 0;
}
void tv_app_scores(const void *output, uint8_t *scores) { memcpy(scores, output, 10); }
int32_t tv_app_call(uint32_t f, const uint8_t *in, uint32_t n, uint8_t *result)
{
    calls++;
    if (f > 3) return -1;
    memcpy(result, in, n > 500 ? 500 : n);
    return (int32_t)(n > 500 ? 500 : n);
}
uint32_t tv_cycles(void) { static uint32_t c; return c += 7; }
uint32_t tv_cycles_cold(void) { return tv_cycles(); }

void tv_board(tv_board_info *b) { memset(b, 0, sizeof *b); b->clock_hz = 1000; }
uint32_t tv_stack_used(void) { return 1; }
uint32_t tv_line_overruns(void) { return 0; }
void tv_putc(uint8_t byte) { if (out_count < sizeof out) out[out_count++] = byte; else abort(); }
void tv_flush(void) { }
uint32_t tv_baud(void) { return 115200; }
int tv_set_baud(uint32_t baud) { bauds++; return baud < 1200 || baud > 7500000 ? -1 : 0; }
void tv_led(int on) { (void)on; }
void tv_reset(void) { resets++; }
int tv_memory_ok(uint32_t address, uint32_t count, int write)
{
    (void)write;
    return address >= WINDOW && address - WINDOW <= WINDOW_BYTES && count <= WINDOW_BYTES - (address - WINDOW);
}

static uint64_t state;
uint32_t random32(void)
{
    state ^= state << 13; state ^= state >> 7; state ^= state << 17;
    return (uint32_t)(state >> 16);
}
uint32_t below(uint32_t n) { return random32() % n; }

static uint32_t crc_bitwise(const uint8_t *p, uint32_t n)
{
    uint32_t crc = ~0u;
    while (n--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

static uint32_t make_frame(uint8_t *wire, uint8_t version, uint8_t type, uint32_t sequence, const uint8_t *payload, uint32_t n, uint32_t claim)
{
    static uint8_t body[4096];
    uint32_t count = 12 + n + 4, at = 0, code;
    const tv_header header = { version, type, 0, sequence, claim };
    memcpy(body, &header, 12);
    memcpy(body + 12, payload, n);
    uint32_t crc = crc_bitwise(body, 12 + n);
    memcpy(body + 12 + n, &crc, 4);
    wire[at++] = 0;
    code = at++;
    for (uint32_t i = 0; i < count; i++) {
        if (body[i]) wire[at++] = body[i];
        if (!body[i] || at - code == 255) {
            if (!body[i] || i + 1 < count) { wire[code] = (uint8_t)(at - code); code = at++; }
            else { wire[code] = 255; code = 0; }
        }
    }
    if (code) wire[code] = (uint8_t)(at - code);
    wire[at++] = 0;
    return at;
}

/* Decode the answers in `out`; return the number of whole frames, and the last one that answers `sequence`. */
static uint8_t answer[4096];
static uint32_t answer_count;
static int check_output(uint32_t sequence, int student)
{
    static uint8_t body[4096];
    int frames = 0;
    answer_count = 0;
    for (uint32_t i = 0, start = 0; i < out_count; i++) {
        if (out[i]) continue;
        uint32_t n = 0, j = start;
        while (j < i) {
            uint32_t code = out[j++];
            for (uint32_t k = 1; k < code; k++) {
                if (j >= i) { if (student) goto next; fprintf(stderr, "a broken answer\n"); abort(); }
                body[n++] = out[j++];
            }
            if (code < 255 && j < i) body[n++] = 0;
        }
        if (n) {
            uint32_t length, crc, seq;
            if (n < 16) { if (student) goto next; abort(); }
            memcpy(&length, body + 8, 4), memcpy(&seq, body + 4, 4), memcpy(&crc, body + n - 4, 4);
            if (length != n - 16 || crc != crc_bitwise(body, n - 4)) { if (student) goto next; fprintf(stderr, "a wrong answer\n"); abort(); }
            frames++;
            if (seq == sequence) { memcpy(answer, body, n); answer_count = n; }
        }
next:
        start = i + 1;
    }
    return frames;
}

void feed(const uint8_t *p, uint32_t n)
{
    while (n--) {
        tv_main_step(*p++);
        stm_seen |= tv_stm_active();
    }
}

/* Bring the board to where it listens to everybody: a right frame of ours ends what another left. */
void listen_anew(void)
{
    static uint8_t wire[256];
    feed(wire, make_frame(wire, 1, TV_ECHO, 1, wire, 0, 0));
    out_count = 0;
    stm_seen = 0;
}

/* One image in the student's protocol, right or with a byte lost. */
static void fuzz_student(int clean)
{
    static const uint8_t sync[2] = { 0xAB, 0xAB };
    static uint8_t image[INPUTS * 4];
    uint8_t scores[10];
    int32_t raw[10];
    for (uint32_t i = 0; i < sizeof image; i++) image[i] = (uint8_t)random32();
    listen_anew();
    feed(sync, 2);
    if (out_count != 2 || out[0] != 0xCD || out[1]) { fprintf(stderr, "0xAB was not acknowledged\n"); abort(); }
    uint32_t lost = clean ? 0 : 1 + below(sizeof image);
    feed(image, sizeof image - lost);
    if (clean) {
        int status = tv_app_infer(TV_F32, raw);
        tv_app_scores(raw, scores);
        memset(scores, 0, status ? 10 : 0);
    }
    if (clean ? out_count != 12 || memcmp(out + 2, scores, 10) : out_count != 2) { fprintf(stderr, "wrong scores\n"); abort(); }
    if (!clean) tv_main_step(-1);
    if (!clean && tv_student_active() && lost < sizeof image) { fprintf(stderr, "an image that was not ended still waits\n"); abort(); }
}

int main(int argc, char **argv)
{
    uint32_t frames = argc > 1 ? (uint32_t)atol(argv[1]) : 100000, right = 0, damaged = 0, silences = 0, students = 0, both[2] = { 0, 0 };
    state = argc > 2 ? (uint64_t)atol(argv[2]) * 0x9E3779B97F4A7C15u + 1 : 88172645463325252u;
    input = malloc(INPUTS * 4);                  /* exactly: the sanitizer sees one byte too many */
    if (mmap((void *)(uintptr_t)WINDOW, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)
        == MAP_FAILED) return 3;
    tv_main_start();
    static uint8_t wire[16384], payload[4096];
    static const uint8_t types[] = { 1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x00, 0x7F, 0xFF };
    for (uint32_t f = 0; f < frames; f++) {
        /* One of ours, one of each of the others: begun where the one before left the board, or anew. */
        fuzz_student(below(4) != 0);
        for (int clean, i = 0; i < (int)below(3); i++) {
            clean = below(2) != 0;
            both[clean] += fuzz_stm(clean);
        }
        both[0] += fuzz_stm(0);
        if (below(2)) { feed(payload, below(40)); tv_main_step(-1); }
        else tv_main_step(0);            /* what is damaged is told at the delimiter after it */
        uint8_t type = below(20) ? types[below(sizeof types)] : (uint8_t)random32();
        uint32_t n = type >= 0x10 && type <= 0x12 && below(4) ? INPUTS * (type == 0x12 ? 4 : 1)
                     : type == 2 ? below(513) : below(6) ? 4 * below(4) : below(700);
        for (uint32_t i = 0; i < n; i++) payload[i] = below(3) ? (uint8_t)random32() : 0;
        if ((type & 0xF0) == 0x20 && n >= 8 && below(4)) {
            uint32_t words[2] = { WINDOW + below(WINDOW_BYTES + 64), below(WINDOW_BYTES) };
            memcpy(payload, words, 8);
        }
        int kind = (int)below(10), clean = kind < 4, echo = clean && type == 2;
        uint32_t claim = kind == 9 ? random32() : n, sequence = random32();
        uint32_t count = make_frame(wire, clean || below(8) ? 1 : (uint8_t)random32(), type, sequence, payload, n, claim);
        if (kind == 4) for (uint32_t k = below(4) + 1; k--;) wire[below(count)] ^= (uint8_t)(1u << below(8));
        if (kind == 5) { uint32_t at = below(count); memmove(wire + at, wire + at + 1, count-- - at - 1); }
        if (kind == 6) { uint32_t at = below(count); memmove(wire + at + 1, wire + at, count++ - at); }
        if (kind == 7) count = below(count);
        if (kind == 8) for (count = below(600); count && below(600);) { uint32_t k = below(count); wire[k] = below(5) ? (uint8_t)random32() : 0xAB; }
        int student = tv_student_active();
        out_count = 0;
        stm_seen = tv_stm_active();
        feed(wire, count);
        int answers = check_output(sequence, student || tv_student_active() || stm_seen || kind == 8);
        if (echo && !student) {
            if (answer_count != n + 16 || answer[1] != 0x82 || memcmp(answer + 12, payload, n)) { fprintf(stderr, "an ECHO was not answered\n"); abort(); }
        }
        /* Damage may have met a delimiter only, so an answer is allowed; one to other bytes than were sent is not. */
        if (!clean && type == 2 && answer_count && answer[1] == 0x82 && (answer_count != n + 16 || memcmp(answer + 12, payload, n))) {
            fprintf(stderr, "a damaged frame was believed\n");
            abort();
        }
        if (clean && type >= 0x80 && !student && answers) { fprintf(stderr, "an answer was answered\n"); abort(); }
        if (clean && type < 0x80 && (student ? 0 : answers < 1)) { fprintf(stderr, "no answer to type %u length %u\n", type, n); abort(); }
        right += clean;
        damaged += !clean;
        students += tv_student_active();
        if (below(3) == 0) { tv_main_step(-1); silences++; }
        else if (!clean) { out_count = 0; tv_main_step(0); if (tv_student_active()) tv_main_step(-1); }
    }
    printf("{\"frames\": %u, \"right\": %u, \"damaged\": %u, \"silences\": %u, \"in_student_mode\": %u, \"stm_right\": %u, \"stm_damaged\": %u, \"calls\": %u, \"resets\": %u}\n",
           frames, right, damaged, silences, students, both[1], both[0], calls, resets);
    free(input);
    return 0;
}
