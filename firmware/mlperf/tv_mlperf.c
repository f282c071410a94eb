/* MLPerf Tiny's commands for a network, in place of tv_main.c and its protocols: the benchmark's runner drives it as it is.
 * A command ends in '%', every answer with "m-ready". Bytes of an input come as hexadecimal digits; times are microseconds of the
 * core's cycle counter. Built by `tinyvgg firmware build --protocol mlperf`. */
#include <string.h>
#include "tv_port.h"
#include "tv_protocol.h"

#define COMMAND_BYTES 160u
#define INPUT_BYTES 32768u               /* the largest input of the benchmark: 27,648 */
#define READY "m-ready\r\n"

static char command[COMMAND_BYTES];
static uint8_t input[INPUT_BYTES], scores[TV_OUTPUT_BYTES];
static union { uint8_t bytes[TV_OUTPUT_BYTES]; uint32_t aligned; } output;
static uint32_t expected, loaded, last_cycles, clock_hz;
static uint64_t cycles;
uint32_t tv_last_sequence;

/* --- text --------------------------------------------------------------------------------------------------------------- */
static void put(const char *text)
{
    while (*text) tv_putc((uint8_t)*text++);
}

static void put_number(uint32_t n)
{
    char digits[10];
    int count = 0;
    do digits[count++] = (char)('0' + n % 10u);
    while (n /= 10u);
    while (count) tv_putc((uint8_t)digits[--count]);
}

static void put_value(const char *before, uint32_t n, const char *after)
{
    put(before);
    put_number(n);
    put(after);
}

static void put_hex(uint8_t byte)
{
    tv_putc((uint8_t)"0123456789abcdef"[byte >> 4]);
    tv_putc((uint8_t)"0123456789abcdef"[byte & 15]);
}

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next word of the command and where the one after it begins; "" at the end. */
static const char *word(char **rest)
{
    char *start = *rest;
    while (*start == ' ') start++;
    char *end = start;
    while (*end && *end != ' ') end++;
    *rest = *end ? end + 1 : end;
    *end = 0;
    return start;
}

/* The decimal number that `text` is, or -1. */
static int32_t number(const char *text)
{
    int32_t n = 0;
    if (!*text) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > 100000000) return -1;
        n = 10 * n + (*text - '0');
    }
    return n;
}

static int is(const char *text, const char *other)
{
    while (*text && *text == *other) text++, other++;
    return *text == *other;
}

/* --- time --------------------------------------------------------------------------------------------------------------- */
/* The counter wraps after 35 s at 120 MHz: called once an inference at least. */
static void count_cycles(void)
{
    uint32_t now = tv_cycles();
    cycles += now - last_cycles;
    last_cycles = now;
}

static void timestamp(void)
{
    count_cycles();
    uint32_t per_us = clock_hz / 1000000u;
    uint32_t high = (uint32_t)(cycles >> 20) / per_us, rest = (uint32_t)(cycles >> 20) % per_us;   /* 32-bit divisions only */
    put_value("m-lap-us-", (high << 20) + ((rest << 20) + (uint32_t)(cycles & 0xFFFFFu)) / per_us, "\r\n");
}

/* --- commands ----------------------------------------------------------------------------------------------------------- */
static const char *model(void)
{
    const uint16_t *s = tv_app.input_shape;
    if (s[0] == 32 && s[1] == 32 && s[2] == 3 && tv_app.output_count == 10) return "ic01";
    if (s[0] == 49 && s[1] == 10 && tv_app.output_count == 12) return "kws01";
    if (s[0] == 96 && s[1] == 96 && s[2] == 3 && tv_app.output_count == 2) return "vww01";
    return tv_app.name;
}

static void results(void)
{
    tv_app_scores(output.bytes, scores);
    put("m-results-[");
    for (uint32_t i = 0; i < tv_app.output_count; i++) {
        uint32_t thousandths = (scores[i] * 1000u + 127u) / 255u;
        put_value(i ? "," : "", thousandths / 1000u, ".");
        tv_putc((uint8_t)('0' + thousandths / 100u % 10u));
        tv_putc((uint8_t)('0' + thousandths / 10u % 10u));
        tv_putc((uint8_t)('0' + thousandths % 10u));
    }
    put("]\r\n");
}

/* The image may lie where the network works: each inference gets it anew. */
static int infer_once(void)
{
    uint8_t *place = tv_app_input(TV_U8);
    if (!place) return -1;
    memcpy(place, input, tv_app.input_count);
    int status = tv_app_infer(TV_U8, output.bytes);
    count_cycles();
    return status;
}

static void infer(char *rest)
{
    const char *first = word(&rest), *second = word(&rest);
    int32_t n = *first ? number(first) : 1, warm = *second ? number(second) : 10;
    if (n <= 0 || warm < 0) {
        put(n <= 0 ? "e-[Inference iterations must be >0]\r\n" : "e-[Inference warmup must be >=0]\r\n");
        return;
    }
    int status = 0;
    put_value("m-warmup-start-", (uint32_t)warm, "\r\n");
    while (warm-- > 0) status |= infer_once();
    put("m-warmup-done\r\n");
    put_value("m-infer-start-", (uint32_t)n, "\r\n");
    timestamp();
    while (n-- > 0) status |= infer_once();
    timestamp();
    put("m-infer-done\r\n");
    if (status) put_value("e-[The network refused its input: status ", (uint32_t)status, "]\r\n");
    else results();
}

static void print_buffer(void)
{
    for (uint32_t i = 0; i < loaded; i++) {
        put(i % 8 ? "-" : "m-buffer-");
        put_hex(input[i]);
        if (i % 8 == 7 || i + 1 == loaded) put("\r\n");
    }
}

static void load_bytes(const char *digits)
{
    for (; *digits; digits += 2) {
        int high = digit(digits[0]), low = digit(digits[1]);
        if (high < 0 || low < 0) {
            put(digits[1] ? "e-[Invalid hex digit]\r\n" : "e-[Insufficient number of hex digits]\r\n");
            return;
        }
        if (loaded >= expected) {
            put("e-[More bytes than 'db load' announced]\r\n");
            return;
        }
        input[loaded++] = (uint8_t)(high << 4 | low);
        if (loaded == expected) put("m-load-done\r\n");
    }
}

static void buffer(char *rest)
{
    const char *action = word(&rest);
    if (is(action, "load")) {
        int32_t n = number(word(&rest));
        if (n <= 0 || (uint32_t)n > sizeof input) {
            put_value("e-[Command 'db load' takes 1 to ", sizeof input, " bytes]\r\n");
            return;
        }
        expected = (uint32_t)n;
        loaded = 0;
        put_value("m-[Expecting ", expected, " bytes]\r\n");
    } else if (is(action, "print")) {
        print_buffer();
    } else if (*action) {
        load_bytes(action);
    } else {
        put("e-[Command 'db' requires a subcommand]\r\n");
    }
}

static void answer(void)
{
    char *rest = command;
    const char *name = word(&rest);
    if (is(name, "name")) put("m-name-dut-[tinyvgg]\r\n");
    else if (is(name, "timestamp")) timestamp();
    else if (is(name, "profile")) {
        put("m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[");
        put(model());
        put("]\r\n");
    } else if (is(name, "help")) put("name, profile, timestamp, db load N, db HH.., db print, infer N W, results\r\n");
    else if (is(name, "db")) buffer(rest);
    else if (is(name, "infer")) infer(rest);
    else if (is(name, "results")) results();
    else {
        put("e-[Unknown command: ");
        put(name);
        put("]\r\n");
    }
    put(READY);
}

/* What the board reports of a fault (faults.c), as a line of this protocol. */
void tv_send_frame(uint8_t type, uint32_t sequence, const uint8_t *payload, uint32_t count)
{
    uint32_t words[2] = { 0, 0 };
    (void)type, (void)sequence;
    if (count >= sizeof words) memcpy(words, payload, sizeof words);
    put_value("e-[Fault: exception ", words[0], ", pc ");
    for (int shift = 24; shift >= 0; shift -= 8) put_hex((uint8_t)(words[1] >> shift));
    put("]\r\n");
}

int main(void)
{
    tv_board_info board;
    tv_board(&board);
    clock_hz = board.clock_hz;
    last_cycles = tv_cycles();
    tv_app_init();
    put("m-timestamp-mode-performance\r\n");
    timestamp();
    put("m-init-done\r\n" READY);
    for (uint32_t length = 0;;) {
        int byte = tv_getc(1000000u);
        if (byte < 0 || byte == '\r' || byte == '\n') continue;
        if (byte != '%') {
            if (length < sizeof command) command[length] = (char)byte;
            if (length <= sizeof command) length++;
            continue;
        }
        if (length >= sizeof command) {
            put("e-[Command is too long]\r\n" READY);
        } else {
            command[length] = 0;
            answer();
        }
        length = 0;
    }
}
