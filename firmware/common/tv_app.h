/* What the firmware base asks of an application (a generated network, or the demonstration).
 *
 * The base (tv_main.c, tv_commands.c, tv_student.c, tv_stm.c and the board's folder) owns main(), the line and the clock.
 * The application defines one constant, `tv_app`, and the five functions below; tv_app_call and tv_app_outputs are
 * optional.
 * Nothing here allocates, prints or waits. All functions are called from one thread, never from an interrupt.
 *
 *     power on -> tv_app_init() -> { tv_app_input(t) is filled -> tv_app_infer(t, out) -> tv_app_scores(out, s) } for ever
 */
#ifndef TV_APP_H
#define TV_APP_H

#include <stdint.h>

/* Element types, with the numbers that the protocol uses. */
enum { TV_U8 = 0, TV_I8 = 1, TV_F32 = 2, TV_I16 = 3, TV_I32 = 4 };
#define TV_ACCEPTS(type) (1u << (type))

/* The most outputs an application may have: an answer (4 bytes of cycles, then the outputs) fits one small frame. */
#ifndef TV_OUTPUT_BYTES                 /* a network with a larger answer says so to the compiler */
#define TV_OUTPUT_BYTES 508
#endif

typedef struct {
    const char *name;            /* model name: ASCII, at most 63 characters */
    uint8_t sha256[32];          /* of the model file (the .tvq) the code was generated from; all zero where there is none */
    uint16_t input_shape[4];     /* without the batch, channels last: {32, 32, 3, 0}; unused places are 0 */
    uint32_t input_count;        /* elements: the product of input_shape */
    uint8_t input_types;         /* which of TV_U8, TV_I8, TV_F32 tv_app_infer takes: TV_ACCEPTS(TV_U8) | ... */
    uint8_t output_type;         /* one of TV_U8 TV_I8 TV_I16 TV_I32 TV_F32 */
    uint16_t output_count;       /* classes */
    float input_scale;           /* a uint8 input byte q stands for input_scale * (q - input_zero); int8 bytes are q - 128 */
    int32_t input_zero;
    float input_low, input_high; /* bounds of the real input, e.g. 0 and 1 */
    float output_scale;          /* logit = output_scale * (raw - output_zero); 1 and 0 for TV_F32 */
    int32_t output_zero;
    uint8_t *arena;              /* working memory, painted once before tv_app_init so that its use can be measured; */
    uint32_t arena_bytes;        /* NULL and 0 where there is none */
    uint32_t layer_count;        /* 0 where no profile is kept; else layer_names[i] took layer_cycles[i] core cycles */
    const char *const *layer_names;      /* in the last tv_app_infer (count them with tv_cycles()) */
    const uint32_t *layer_cycles;
    uint64_t macc;               /* multiplications of weights an image; this and the next two are told in ST's protocol only */
    uint32_t constants_bytes;
    uint32_t tool_version;       /* of the generator: major << 24 | minor << 16 | patch << 8 */
} tv_app_info;

extern const tv_app_info tv_app;

/* Called once, after the clock runs and the arena is painted. */
void tv_app_init(void);

/* Where the next image of `type` (TV_U8, TV_I8, TV_F32) is to be written: room for input_count elements, 4-byte aligned.
 * It may lie in the arena: the bytes need to last only until tv_app_infer. NULL for a type that is not accepted. */
void *tv_app_input(int type);

/* Classify the image that stands in tv_app_input(type); write output_count raw outputs of output_type to `output`.
 * Float pixels x are turned into q by the rule of tv_quantize.h where the network is of integers.
 * Return 0, or a status of the application that the host shows: TV_HARMED and the number of an array where a check of the
 * constants failed. */
#define TV_HARMED 0x10000
int tv_app_infer(int type, void *output);

/* scores[i] = floor(255 p_i) of the softmax p of the raw outputs: what the student protocol answers. */
void tv_app_scores(const void *output, uint8_t *scores);

/* Optional (a weak default gives logits): real[i] = what the network's model answers, probabilities where it ends in a softmax, of
 * the raw outputs: what ST's protocol answers. */
void tv_app_outputs(const void *raw, float *real);

/* Optional (a weak default refuses): an experiment of the application's own. in: `count` bytes; out: room for 500 bytes.
 * Return the number of bytes written, or -1 for a function number that is not known. */
int32_t tv_app_call(uint32_t function, const uint8_t *in, uint32_t count, uint8_t *out);

/* Offered to the application: the core cycle counter (DWT CYCCNT), 32 bits, wraps after 35 s at 120 MHz. */
uint32_t tv_cycles(void);
/* The same with the flash's caches emptied before: where a measurement starts, so that it does not depend on what ran before. */
uint32_t tv_cycles_cold(void);

#endif
