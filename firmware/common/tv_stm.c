/* ST's protocol (stm32msg 3.1), as its validation firmware speaks it to stm_ai_runner: docs/protocol-stm.md.
 * Packets of 33 bytes carry protocol buffers; the few messages that are needed are read and written here, byte by byte. */
#include <string.h>
#include "tv_port.h"
#include "tv_protocol.h"

#define PACKET_BYTES 32u                 /* after the byte that says how many of them count */
#define LAST_PACKET 0x80u
#define NEXT_PACKET 0xAAu
#define FLOATS 0x00821040u               /* ST's words for element types */
#define BYTES 0x00040440u
#define BATCH_FIRST (2u << 24)           /* a shape of batch, rows, columns, channels */
#define SLACK_BYTES 128u                 /* of a message beside the image in it */

enum { SYNC = 0, SYS_INFO = 1, NETWORK_INFO = 10, NETWORK_RUN = 11 };
enum { IDLE, WAITING, PROCESSING, DONE, FAILED };
enum { NO_ERROR = 0, WRONG_SIZE = 1, WRONG_FORMAT = 2, WRONG_STATE = 3, WRONG_PARAMETER = 4, NETWORK_FAILED = 10 };
enum { PER_LAYER = 2, PER_LAYER_WITH_DATA = 4, WITHOUT_OUTPUT = 8, CONSTANT_INPUT = 512 };
enum { ANSWER_SYNC = 10, ANSWER_SYSTEM = 11, ANSWER_ACK = 12, ANSWER_OPERATOR = 16, ANSWER_TENSOR = 17, ANSWER_MODEL = 22 };
enum { IS_INPUT = 1, IS_OUTPUT = 2, IS_MEMORY = 8, IS_LAST = 256, HAS_NO_DATA = 512 };
/* Speed is the line's: what is called from many places is there once. */
#define ONCE __attribute__((noinline)) static

enum { VARINT = 0, COUNTED = 2, FIXED = 5 };

/* --- writing messages ----------------------------------------------------------------------------------------------- */
static struct { uint8_t count, bytes[PACKET_BYTES]; } packet;
static uint32_t counting, counted;       /* how deep bytes are counted instead of sent, and how many there were */

ONCE void send_packet(uint8_t last)
{
    tv_putc(packet.count | last);
    for (uint32_t i = 0; i < PACKET_BYTES; i++) tv_putc(i < packet.count ? packet.bytes[i] : 0);
    packet.count = 0;
}

ONCE void put_byte(uint8_t byte)
{
    if (counting) {
        counted++;
        return;
    }
    if (packet.count == PACKET_BYTES) send_packet(0);
    packet.bytes[packet.count++] = byte;
}

ONCE void put_varint(uint64_t n)
{
    for (; n > 127u; n >>= 7) put_byte((uint8_t)(n | 128u));
    put_byte((uint8_t)n);
}

ONCE void put_number(uint32_t field, uint64_t n)
{
    put_varint(field << 3 | VARINT);
    put_varint(n);
}

ONCE void put_bytes(uint32_t field, const void *bytes, uint32_t count)
{
    put_varint(field << 3 | COUNTED);
    put_varint(count);
    for (uint32_t i = 0; i < count; i++) put_byte(((const uint8_t *)bytes)[i]);
}

ONCE void put_text(uint32_t field, const char *text)
{
    put_bytes(field, text, tv_text_bytes(text, 64));
}

ONCE void put_float(uint32_t field, float x)
{
    uint8_t bytes[4];
    memcpy(bytes, &x, 4);
    put_varint(field << 3 | FIXED);
    for (int i = 0; i < 4; i++) put_byte(bytes[i]);
}

/* A message within a message begins with its length: `body` is run twice, to count and to send. */
ONCE void put_message(uint32_t field, void (*body)(void))
{
    const uint32_t before = counted;
    counting++;
    body();
    const uint32_t length = counted - before;
    counting--;
    counted = before;
    put_varint(field << 3 | COUNTED);
    put_varint(length);
    body();
}

static uint32_t request_id;

ONCE void respond(uint32_t state, uint32_t field, void (*body)(void))
{
    put_number(1, request_id);
    put_number(2, state);
    put_message(field, body);
    send_packet(LAST_PACKET);
    counted = 0;
}

/* --- what is said --------------------------------------------------------------------------------------------------- */
#define RUNTIME (1u | 1u << 16)          /* ST's runtime, of whose names none is ours; GCC and its kin */
#define OBSERVES 1u

static void sync(void)
{
    put_number(1, 3u << 8 | 1u);
    put_number(4, tv_app.layer_count ? OBSERVES : 0u);
    put_number(5, RUNTIME);
}

static void system_info(void)
{
    tv_board_info b;
    tv_board(&b);
    put_number(1, b.device_id & 0xFFFu);
    put_number(2, b.clock_hz);
    put_number(3, b.clock_hz);
    put_number(4, b.core_settings);
}

static struct { uint32_t parameter, error; } acknowledgement;

static void acknowledgement_body(void)
{
    put_number(1, acknowledgement.parameter);
    put_number(2, acknowledgement.error);
}

ONCE void acknowledge(uint32_t state, uint32_t error, uint32_t parameter)
{
    acknowledgement.parameter = parameter;
    acknowledgement.error = error;
    respond(state, ANSWER_ACK, acknowledgement_body);
}

static struct { const char *name; uint32_t format, count, flags, address, n, shape[4]; } tensor;

ONCE void description(void)
{
    put_text(1, tensor.name);
    put_number(2, tensor.format);
    put_number(3, tensor.count);
    put_number(4, BATCH_FIRST | tensor.n);
    for (uint32_t i = 0; i < tensor.n; i++) put_number(5, tensor.shape[i]);
    put_float(6, 0.0f);
    put_number(7, 0);
    put_number(8, tensor.address);
    put_number(9, tensor.flags);
}

ONCE void describe(const char *name, uint32_t count, uint32_t flags)
{
    tensor.name = name;
    tensor.format = FLOATS;
    tensor.count = count;
    tensor.flags = flags;
    tensor.address = 0;
    tensor.n = 4;
    for (int i = 0; i < 3; i++) tensor.shape[i] = 1;
    tensor.shape[3] = count;
}

static void describe_input(void)
{
    describe("input", tv_app.input_count, IS_INPUT | IS_LAST);
    tensor.n = 1;
    for (int i = 0; i < 3 && tv_app.input_shape[i]; i++) tensor.shape[tensor.n++] = tv_app.input_shape[i];
}

static void describe_output(uint32_t more) { describe("output", tv_app.output_count, IS_OUTPUT | IS_LAST | more); }

ONCE void describe_memory(const char *name, const void *at, uint32_t count)
{
    describe(name, count, IS_MEMORY);
    tensor.format = BYTES;
    tensor.address = (uint32_t)(uintptr_t)at;
    tensor.n = 1;
    tensor.shape[0] = count;
}

static void hexadecimal(char *text, const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < 2u * count; i++) text[i] = "0123456789abcdef"[bytes[i / 2u] >> (i % 2u ? 0 : 4) & 15];
}

static void model_info(void)
{
    char sha256[64];
    hexadecimal(sha256, tv_app.sha256, 32);
    put_text(1, tv_app.name);
    put_number(2, RUNTIME);
    put_bytes(3, sha256, sizeof sha256);
    put_text(4, "-");                    /* when it was compiled: the same sources give the same image at any time */
    put_number(5, tv_app.tool_version);
    put_number(6, tv_app.tool_version);
    put_number(7, tv_app.macc);
    put_number(8, tv_app.layer_count);
    put_number(10, 1);
    describe_input();
    put_message(11, description);
    put_number(12, 1);
    describe_output(0);
    put_message(13, description);
    put_number(14, 1);
    describe_memory("arena", tv_app.arena, tv_app.arena_bytes);
    put_message(15, description);
    put_number(16, 1);
    describe_memory("constants", 0, tv_app.constants_bytes);
    put_message(17, description);
    put_text(20, "tinyvgg");
}

enum { A_LAYER = 1, LAST_LAYER = 2, WITHOUT_TENSOR = 4 };
#define CUSTOM 0x182u                    /* ST's number of a layer that is none of its own */

static struct { const char *name; uint32_t flags, number, cycles, clock_hz; } operator;

static void operator_body(void)
{
    put_text(1, operator.name);
    put_number(2, operator.flags << 24 | (operator.flags ? CUSTOM : 0u));
    put_number(3, operator.number);
    put_float(4, (float)operator.cycles * 1000.0f / (float)operator.clock_hz);
    put_number(5, 0);                    /* core cycles, of 64 bits, the lower word first */
    put_number(6, operator.cycles);
    put_number(6, 0);
    put_number(7, tv_stack_used());
    put_number(8, 0);                    /* there is no heap */
}

ONCE void send_operator(const char *name, uint32_t flags, uint32_t number, uint32_t cycles)
{
    operator.name = name;
    operator.flags = flags;
    operator.number = number;
    operator.cycles = cycles;
    respond(PROCESSING, ANSWER_OPERATOR, operator_body);
}

static const float *outputs;             /* NULL: none are sent */

static void data_body(void)
{
    const uint32_t count = outputs ? 4u * tv_app.output_count : 0u;
    put_number(1, 0);
    put_number(2, count);
    put_number(3, 0);
    put_bytes(4, outputs, count);
}

static void tensor_body(void)
{
    describe_output(outputs ? 0 : HAS_NO_DATA);
    put_message(1, description);
    put_message(2, data_body);
}

__attribute__((weak)) void tv_app_outputs(const void *raw, float *real)
{
    for (uint32_t i = 0; i < tv_app.output_count; i++) {
        const float q = tv_app.output_type == TV_F32 ? ((const float *)raw)[i]
                        : tv_app.output_type == TV_I32 ? (float)((const int32_t *)raw)[i]
                        : tv_app.output_type == TV_I16 ? (float)((const int16_t *)raw)[i]
                        : tv_app.output_type == TV_I8 ? (float)((const int8_t *)raw)[i] : (float)((const uint8_t *)raw)[i];
        real[i] = tv_app.output_scale * (q - (float)tv_app.output_zero);
    }
}

/* --- requests ------------------------------------------------------------------------------------------------------- */
static struct { enum { NOTHING, AN_IMAGE, AN_ACKNOWLEDGEMENT } expected; uint32_t mode; } run;

static void infer(void)
{
    tv_board_info board;
    tv_board(&board);
    operator.clock_hz = board.clock_hz;
    tv_led(1);
    const uint32_t start = tv_cycles_cold();
    const int status = tv_app_infer(TV_F32, tv_output);
    const uint32_t cycles = tv_cycles() - start;
    tv_led(0);
    if (status) {
        acknowledge(FAILED, NETWORK_FAILED, (uint32_t)status);
        return;
    }
    const uint32_t layers = run.mode & (PER_LAYER | PER_LAYER_WITH_DATA) ? tv_app.layer_count : 0;
    for (uint32_t i = 0; i < layers; i++)
        send_operator(tv_app.layer_names[i], A_LAYER | WITHOUT_TENSOR | (i + 1 == layers ? LAST_LAYER : 0), i, tv_app.layer_cycles[i]);
    send_operator(tv_app.name, 0, 0, cycles);
    /* The image is not needed any more; only a network of more outputs than inputs needs room of its own. */
    const int fits = tv_app.output_count <= tv_app.input_count;
    float more[fits ? 1 : tv_app.output_count], *const real = fits ? tv_app_input(TV_F32) : more;
    tv_app_outputs(tv_output, real);
    outputs = run.mode & WITHOUT_OUTPUT ? 0 : real;
    respond(DONE, ANSWER_TENSOR, tensor_body);
    outputs = 0;
}

/* --- reading messages ----------------------------------------------------------------------------------------------- */
/* The three that a host sends are told apart by their fields: a request has a fifth, data a fourth, an acknowledgement two. */
static struct {
    uint8_t active, useful, position;    /* in a message; of this packet: bytes that count, bytes read */
    enum { LENGTH, KEY, NUMBER, COUNT, CONTENT } part;
    uint8_t shift, broken, seen, same_name;
    uint32_t value, field, left;         /* of the message: the number being read, whose it is, bytes to come */
    uint32_t content, got, numbers[6];   /* of field 4: bytes to come, bytes read */
} in;

int tv_stm_active(void) { return in.active; }

void tv_stm_start(void)
{
    memset(&in, 0, sizeof in);
    in.active = in.same_name = 1;
}

void tv_stm_stop(void)
{
    in.active = 0;
    run.expected = NOTHING;
}

void tv_stm_silent(void)
{
    if (in.active) tv_stm_stop();
}

int tv_stm_takes(uint8_t byte) { return in.position || (byte >= 1 && byte <= PACKET_BYTES); }

/* One more byte of a varint; whether it is whole. */
ONCE int whole(uint8_t byte)
{
    if (in.shift == 0) in.value = 0;
    if (in.shift < 32) in.value |= (uint32_t)(byte & 127u) << in.shift;
    in.shift += 7;
    if (in.shift > 70) in.broken = 1;
    if (byte & 128u) return 0;
    in.shift = 0;
    return 1;
}

static void take_key(void)
{
    in.field = in.value >> 3;
    const uint32_t type = in.value & 7u;
    if (in.field < 1 || in.field > 5 || type != (in.field == 4 ? COUNTED : VARINT)) {
        in.broken = 1;
        return;
    }
    in.seen |= (uint8_t)(1u << in.field);
    in.part = in.field == 4 ? COUNT : NUMBER;
}

/* Field 4: the name of a network, or an image, which goes straight to where the network takes it. */
static void take_content(uint8_t byte)
{
    if (in.same_name) in.same_name = byte && (uint8_t)tv_app.name[in.got] == byte;
    if (run.expected == AN_IMAGE && in.got < 4u * tv_app.input_count) ((uint8_t *)tv_app_input(TV_F32))[in.got] = byte;
    in.got++;
    if (--in.content == 0) in.part = KEY;
}

ONCE void take(uint8_t byte)
{
    if (in.part == LENGTH) {
        if (!whole(byte)) return;
        in.part = KEY;
        in.left = in.value;
        in.broken |= in.left == 0 || in.left > 4u * tv_app.input_count + SLACK_BYTES;
        return;
    }
    if (in.broken) return;
    if (in.left == 0) {
        in.broken = 1;
        return;
    }
    in.left--;
    if (in.part == CONTENT) {
        take_content(byte);
    } else if (whole(byte)) {
        if (in.part == KEY) {
            take_key();
        } else if (in.part == NUMBER) {
            in.numbers[in.field] = in.value;
            in.part = KEY;
        } else {
            in.content = in.value;
            in.part = in.content ? CONTENT : KEY;
            in.broken |= in.content > in.left;
        }
    }
}

static void answer_request(void)
{
    const uint32_t command = in.numbers[2], parameter = in.numbers[3];
    const int other = in.got && !(in.same_name && tv_app.name[in.got] == 0);
    run.expected = NOTHING;
    if (command == SYNC) return respond(IDLE, ANSWER_SYNC, sync);
    if (command == SYS_INFO) return respond(IDLE, ANSWER_SYSTEM, system_info);
    if (command == NETWORK_INFO && parameter == 0) return respond(IDLE, ANSWER_MODEL, model_info);
    if (command != NETWORK_RUN || other) return acknowledge(FAILED, WRONG_PARAMETER, 0);
    if (!(tv_app.input_types & TV_ACCEPTS(TV_F32))) return acknowledge(FAILED, WRONG_FORMAT, 0);
    run.expected = AN_IMAGE;
    run.mode = parameter;
    acknowledge(WAITING, NO_ERROR, 0);
}

static void answer_data(void)
{
    const uint32_t wanted = run.mode & CONSTANT_INPUT ? 4u : 4u * tv_app.input_count;
    if (run.expected != AN_IMAGE || in.got != wanted || in.numbers[2] != in.got) {
        const uint32_t error = run.expected == AN_IMAGE ? WRONG_SIZE : WRONG_STATE;
        run.expected = NOTHING;
        return acknowledge(FAILED, error, wanted);
    }
    uint8_t *image = tv_app_input(TV_F32);
    if (run.mode & CONSTANT_INPUT)
        for (uint32_t i = 1; i < tv_app.input_count; i++) memcpy(image + 4u * i, image, 4);
    run.expected = AN_ACKNOWLEDGEMENT;
    acknowledge(PROCESSING, NO_ERROR, 0);
}

static void answer(void)
{
    if (in.seen & 1u << 5) {
        request_id = in.numbers[1];
        return answer_request();
    }
    if (in.seen & 1u << 4) return answer_data();
    if (run.expected != AN_ACKNOWLEDGEMENT) return;
    run.expected = NOTHING;
    infer();
}

int tv_stm_push(uint8_t byte)
{
    if (in.position == 0) in.useful = byte;
    else if (in.position <= in.useful) take(byte);
    if (in.position++ < PACKET_BYTES) return 0;
    in.position = 0;
    if (!in.broken && (in.left || in.part == LENGTH)) {
        tv_putc(NEXT_PACKET);
        return 0;
    }
    in.active = 0;
    if (in.broken || in.shift || in.part != KEY) {
        run.expected = NOTHING;
        acknowledge(FAILED, WRONG_FORMAT, 0);
        return 0;
    }
    answer();
    return 1;
}
