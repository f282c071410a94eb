/* The kernels that generated networks call: the contract.
 *
 * Maps lie channels last, (height, width, channels), one image at a time. Kernels allocate nothing, print nothing and keep no
 * state; what they need beside input and output is `scratch`, whose size in bytes the generator knows and puts into the arena.
 * Input, output and scratch do not overlap unless a kernel says that they may, and begin at multiples of 4 bytes.
 * Ranges: heights, widths, channels 1..65535; strides, dilations, kernel and pool sizes 1..65535; paddings 0..65535.
 * Arguments: `layer` and `window` (in) are constants of the generated code; `x` (in), of the layer's in_* or count elements, and `y` (out), of its
 * out_* or count, both rows, columns, channels: uint8_t and int8_t stand for scale * (q - zero), float for itself; `scratch` (in, out) means nothing
 * before and after a call.
 * Letters: F filters, K = kernel_height * kernel_width * channels weights of a filter, C channels. */
#ifndef TV_KERNELS_H
#define TV_KERNELS_H

#include <stdint.h>

/* Where constants and the arena go: -DTV_SECTIONS puts them into linker sections of their own, so that they can be moved, and weights
 * that a plan wants held in RAM into .tv_weights.held, which start-up code may copy there;
 * -DTV_WEIGHTS_IN_RAM makes constants variables, which start-up code copies from flash and a program may repair. */
#if defined(TV_WEIGHTS_IN_RAM)
#define TV_CONST
#else
#define TV_CONST const
#endif
#if defined(TV_SECTIONS) && defined(TV_WEIGHTS_IN_RAM) && defined(__GNUC__)
#define TV_WEIGHTS __attribute__((section(".data.tv_weights"), aligned(8)))
#define TV_ARENA __attribute__((section(".tv_arena"), aligned(8)))
#elif defined(TV_SECTIONS) && defined(__GNUC__)
#define TV_WEIGHTS __attribute__((section(".tv_weights"), aligned(8)))
#define TV_ARENA __attribute__((section(".tv_arena"), aligned(8)))
#elif defined(__GNUC__)
#define TV_WEIGHTS __attribute__((aligned(4)))
#define TV_ARENA __attribute__((aligned(8)))
#else
#define TV_WEIGHTS
#define TV_ARENA
#endif
#if defined(TV_SECTIONS) && !defined(TV_WEIGHTS_IN_RAM) && defined(__GNUC__)
#define TV_HELD __attribute__((section(".tv_weights.held"), aligned(8)))
#else
#define TV_HELD TV_WEIGHTS
#endif

/* Where code goes that runs often: -DTV_RAMCODE asks for the section .ramcode, which the start-up code copies to RAM. */
#if defined(TV_RAMCODE) && defined(__GNUC__)
#define TV_HOT __attribute__((section(".ramcode")))
#else
#define TV_HOT
#endif

typedef enum {
    TV_OK = 0,
    TV_NULL_POINTER = 1,      /* image, output or arena is NULL */
    TV_MISALIGNED = 2         /* the arena, or a float image or output, does not begin at a multiple of 4 */
} tv_status;

/* Called after each layer of a network, with the layer's number, its output and that output's size in bytes. */
typedef struct {
    void (*after)(void *context, uint32_t layer, const void *output, uint32_t bytes);
    void *context;
} tv_observer;

typedef enum { TV_NONE = 0, TV_RELU = 1, TV_LEAKY = 2, TV_CLAMP = 3 } tv_activation;

/* A window that slides over an input map, and a pool over its results (1 1 1 1 where there is none).
 * Result (i, j) of the pool covers the window's results at rows i * pool_stride_y + 0..pool_height - 1; the window's result at
 * row r reads input rows r * stride_y - pad_top + p * dilation_y, p < kernel_height; columns alike. out_* is after the pool. */
typedef struct {
    uint16_t in_height, in_width, in_channels;
    uint16_t out_height, out_width, out_channels;
    uint16_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left, dilation_y, dilation_x;
    uint16_t pool_height, pool_width, pool_stride_y, pool_stride_x;
} tv_window;

/* Weights as indices into a codebook, `bits` each (1..8), first in the high bits, without gaps: filter f's begin at bit
 * f * row_bits. A codebook of 2^bits entries serves all filters (codebook_step 0), or filter f has its own at f * codebook_step. */
typedef struct {
    const uint8_t *indices;
    const void *codebook;                /* int8_t or float; see the layer; NULL where the weights are not shared */
    uint32_t row_bits, codebook_step;
    uint32_t bits;                       /* 0: the weights are stored by a prefix code, and `codebook` is their tv_code */
} tv_shared;

/* Weights stored by a prefix code, in the order in which the kernel takes them. Codes stand in the stream with their first bit in the high
 * bits; shorter codes are smaller, and each is the one before plus one (as in RFC 1951). */
typedef struct {
    const uint8_t *stream;
    uint32_t bytes;                      /* of the stream, a multiple of 2 */
    const uint8_t *counts;               /* [10]: how many codes have 1, 2, ... 10 bits; no other stream of bits is left */
    const int8_t *values;                /* in the order of their codes */
} tv_code;

/* --- integers ----------------------------------------------------------------------------------------------------------
 * Tensors are uint8, real = scale * (q - zero). Weights -127..127. The accumulator of channel f ends as
 *     v = (acc + bias[f]) << shift;  v = activation(v);  q = saturate(smmulr(v + offset[f], multiplier[f]))
 * with smmulr(a, b) = (a * b + 2^31) >> 32. The generator has proven that v and v + offset stay within 32 bits. */
typedef struct {
    const int32_t *bias;                 /* [F], the input's zero point in it; NULL for 0 (then activation is TV_NONE) */
    const int32_t *offset, *multiplier;  /* [F] */
    const int32_t *high;                 /* [F], TV_CLAMP only */
    int32_t slope;                       /* TV_LEAKY only: 0..2^31 - 1 */
    uint32_t shift;                      /* 0..15 */
    tv_activation activation;
} tv_tail_u8;

/* Weights int8 in blocks of two filters: [F/2][K/4][2][4], K and F rounded up with zeros to multiples of 8 and 2; or shared. */
typedef struct {
    tv_window window;
    tv_tail_u8 tail;
    const int8_t *weights;
    tv_shared shared;
    uint32_t block;                      /* results worked on at a time, 1..out_height * out_width */
    uint8_t input_zero;                  /* what padded pixels hold */
    uint8_t expand;                      /* shared weights are looked up once, all of them, into scratch */
} tv_conv2d_u8_layer;
/* scratch: 2 * round_up(block * pool_height * pool_width, 2) * round_up(K, 8) bytes, where shared 2 * round_up(K, 8) more, where
 * expanded round_up(F, 2) * round_up(K, 8) instead; where coded a tv_decoder and 8 bytes more (tv_decode.h), here and below. */
void tv_conv2d_u8(const tv_conv2d_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

/* A layer whose kernel is made for its shape: see tv_fixed.h. */
typedef struct {
    const void *weights;                 /* as the kernel takes them; or indices into `codebook`, of 2^bits entries; or a tv_code */
    tv_tail_u8 tail;
    const int8_t *codebook;
} tv_fixed_layer;

/* Each channel c has `multiplier` = F / C filters, c * multiplier + 0..: weights int8 [KH][KW][F], or shared with rows [F][KH*KW]. */
typedef struct {
    tv_window window;
    tv_tail_u8 tail;
    const int8_t *weights;
    tv_shared shared;
    uint8_t input_zero;
} tv_depthwise_u8_layer;
/* scratch: TV_FOURS_BYTES (tv_depthwise_u8.c) for each of F filters, rounded down to fours, where it has one filter a channel, F >= 4, no pool
 * but one of single results and KH * KW <= 25; behind them F * KH * KW bytes where shared; else NULL. */
void tv_depthwise_u8(const tv_depthwise_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

/* inputs: uint8 values; weights as of tv_conv2d_u8 with K = inputs; bias takes the input's zero point in. */
typedef struct {
    uint32_t inputs, outputs;
    tv_tail_u8 tail;
    const int8_t *weights;
    tv_shared shared;
} tv_dense_u8_layer;
/* scratch: 2 * round_up(inputs, 8) bytes, and 2 * round_up(inputs, 8) more where shared. */
void tv_dense_u8(const tv_dense_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);
/* The same with q limited to -32768..32767: logits. */
void tv_dense_s16(const tv_dense_u8_layer *layer, const uint8_t *x, int16_t *y, void *scratch);

/* q = saturate((sum_k x_k * multipliers[k] + offset + 2^(shift-1)) >> shift); y may be one of the inputs. */
typedef struct {
    uint32_t count, inputs;              /* values of a tensor; number of tensors, 2 or more */
    const int32_t *multipliers;          /* [inputs] */
    int32_t offset;
    uint32_t shift;                      /* 1..24 */
} tv_add_u8_layer;
void tv_add_u8(const tv_add_u8_layer *layer, const uint8_t *const *x, uint8_t *y);

/* How two maps meet in one of height * width * channels: values to step over for a row, a column, a channel; 0 along an axis of 1. */
typedef struct {
    uint32_t height, width, channels;
    uint32_t row[2], column[2], channel[2];
} tv_broadcast;

/* q = saturate(smmulr(((x0 - zero0) * (x1 - zero1) << shift) + offset, multiplier)) */
typedef struct {
    tv_broadcast shape;
    int32_t zeros[2], offset, multiplier;
    uint32_t shift;
} tv_multiply_u8_layer;
void tv_multiply_u8(const tv_multiply_u8_layer *layer, const uint8_t *const *x, uint8_t *y);

/* With d = x - input_zero: q = saturate((d * m + offset + 2^(shift-1)) >> shift), m = multiplier where d is not below 0, else the slope
 * that shape.row[1], column[1] and channel[1] find; y may be x. */
typedef struct {
    tv_broadcast shape;
    const int32_t *slopes;
    int32_t input_zero, multiplier, offset;
    uint32_t shift;                          /* 2..20 */
} tv_prelu_u8_layer;
void tv_prelu_u8(const tv_prelu_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* Each input k in the result's levels, saturate((x_k * multipliers[k] + offsets[k] + 2^(shift-1)) >> shift): of tv_maximum_u8 the
 * largest, value by value (y may be one of the inputs); of tv_concatenate_u8 side by side in each of `count` pixels, channels[k] each. */
typedef struct {
    uint32_t count, inputs;
    const int32_t *multipliers, *offsets;    /* [inputs] */
    const int32_t *channels;                 /* [inputs], of tv_concatenate_u8 */
    uint32_t shift;                          /* 1..24 */
} tv_rescaled_u8_layer;
void tv_maximum_u8(const tv_rescaled_u8_layer *layer, const uint8_t *const *x, uint8_t *y);
void tv_concatenate_u8(const tv_rescaled_u8_layer *layer, const uint8_t *const *x, uint8_t *y);

/* q = saturate(smmulr((sum of the window << shift) + offsets[n - 1], multipliers[n - 1])), n the values of the window that lie
 * within the map; those outside are not counted. */
typedef struct {
    tv_window window;
    const int32_t *offsets, *multipliers;    /* [kernel_height * kernel_width] */
    uint32_t shift;
} tv_padded_average_pool2d_u8_layer;
void tv_padded_average_pool2d_u8(const tv_padded_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* q = saturate(smmulr((sum of the window << shift) + offset, multiplier)); windows lie within the map. */
typedef struct {
    tv_window window;
    int32_t offset, multiplier;
    uint32_t shift;
} tv_average_pool2d_u8_layer;
void tv_average_pool2d_u8(const tv_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* The largest of each window; pixels outside the map lose against every other. */
void tv_max_pool2d_u8(const tv_window *window, const uint8_t *x, uint8_t *y);

/* y = table[x], value by value; y may be x. */
typedef struct {
    uint32_t count;
    const uint8_t *table;                /* [256] */
} tv_lookup_u8_layer;
void tv_lookup_u8(const tv_lookup_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* An op of a chain that runs row by row: `run` computes its kernel on a part of its window, one row of the result; `rows` of them
 * are kept from arena + offset on (of the last op all, in y). */
typedef struct {
    void (*run)(const tv_window *window, const uint8_t *x, uint8_t *y, void *scratch);
    const tv_window *window;
    uint32_t rows, offset;
} tv_stage;
#define TV_STAGES 32
/* Each row is computed when the next op lacks it. y may begin before x and reach into it, as far as the generator has worked out. */
void tv_stream_u8(const tv_stage *stages, uint32_t count, const uint8_t *x, uint8_t *y, uint8_t *arena, void *scratch);

/* Probabilities in units of 1/255 of logits x: u = smmulr((max x - x) << shift, multiplier), e = table[u & 255] >> (u >> 8),
 * 0 from 16 octaves on; y = (e * 255 + S / 2) / S, S the sum of e. */
typedef struct {
    uint32_t count, shift;
    int32_t multiplier;
} tv_softmax_s16_layer;
void tv_softmax_s16(const tv_softmax_s16_layer *layer, const int16_t *x, uint8_t *y);
void tv_softmax_u8(const tv_softmax_s16_layer *layer, const uint8_t *x, uint8_t *y);

/* tv_softmax_u8 of each of `rows` pixels in turn. */
typedef struct {
    tv_softmax_s16_layer row;
    uint32_t rows;
} tv_channel_softmax_u8_layer;
void tv_channel_softmax_u8(const tv_channel_softmax_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* The sigmoid of each logit by itself, in units of 1/255: the share of x in the softmax of x and 0. */
typedef struct {
    tv_softmax_s16_layer softmax;
    int32_t zero;
} tv_sigmoid_s16_layer;
void tv_sigmoid_s16(const tv_sigmoid_s16_layer *layer, const int16_t *x, uint8_t *y);
void tv_sigmoid_u8(const tv_sigmoid_s16_layer *layer, const uint8_t *x, uint8_t *y);

/* --- integers of a .tflite file ------------------------------------------------------------------------------------------
 * TensorFlow Lite's own arithmetic: q = limit(round((acc + bias[f]) * multiplier[f] / 2^31 * 2^exponent[f]) + zero), see tv_lite.h.
 * The kernels of convolutions and dense layers are those above, compiled with this tail (codegen/write.py). */
enum { TV_DOUBLE, TV_DOUBLE_PLAIN, TV_SINGLE };      /* how its factors round; plain: all exponents are -31..-1, no sum with its bias reaches 2^30 */

typedef struct {
    const int32_t *bias, *multiplier;    /* [F], the input's zero point in the bias; 0 or 2^30..2^31 - 1 */
    const int8_t *exponent;              /* [F] -31..30 */
    uint8_t zero, low, high;
    uint8_t rounding;                    /* TV_DOUBLE, TV_DOUBLE_PLAIN or TV_SINGLE */
} tv_lite_tail;

typedef struct {
    tv_window window;
    tv_lite_tail tail;
    const int8_t *weights;
    tv_shared shared;
    uint32_t block;
    uint8_t input_zero;
    uint8_t expand;
} tv_lite_conv2d_u8_layer;
void tv_lite_conv2d_u8(const tv_lite_conv2d_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

typedef struct {
    tv_window window;
    tv_lite_tail tail;
    const int8_t *weights;
    tv_shared shared;
    uint8_t input_zero;
} tv_lite_depthwise_u8_layer;
void tv_lite_depthwise_u8(const tv_lite_depthwise_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

typedef struct {
    uint32_t inputs, outputs;
    tv_lite_tail tail;
    const int8_t *weights;
    tv_shared shared;
} tv_lite_dense_u8_layer;
void tv_lite_dense_u8(const tv_lite_dense_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch);

/* A layer whose kernel is made for its shape, as tv_fixed_layer. */
typedef struct {
    const void *weights;
    tv_lite_tail tail;
    const int8_t *codebook;
} tv_lite_fixed_layer;

/* q = limit(m2(m0((x0 - z0) << 20) + m1((x1 - z1) << 20)) + zero); y may be one of the inputs. rounding: TV_DOUBLE or TV_SINGLE. */
typedef struct {
    uint32_t count;
    int32_t zeros[2], multipliers[3], exponents[3];
    uint8_t zero, low, high, rounding;
} tv_lite_add_u8_layer;
void tv_lite_add_u8(const tv_lite_add_u8_layer *layer, const uint8_t *const *x, uint8_t *y);

/* The mean of the values of each window that lie within the map, ties away from `centre`. */
typedef struct {
    tv_window window;
    uint8_t centre, low, high;
} tv_lite_average_pool2d_u8_layer;
void tv_lite_average_pool2d_u8(const tv_lite_average_pool2d_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* Probabilities in units of 1/256: e = exponentials[max x - x], 31 bits below the point; y = e / sum. */
typedef struct {
    const int32_t *exponentials;         /* [256] */
    uint32_t count;
} tv_lite_softmax_u8_layer;
void tv_lite_softmax_u8(const tv_lite_softmax_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* `inputs` maps side by side, input k of channels[k]. */
void tv_lite_concatenate_u8(const uint8_t *const *x, const uint32_t *channels, uint32_t inputs, uint32_t pixels, uint8_t *y);

/* y = table[x], of channel c table[c * step + x]; step 0 or 256; y may be x. */
typedef struct {
    const uint8_t *table;
    uint32_t pixels, channels, step;
} tv_level_table_u8_layer;
void tv_level_table_u8(const tv_level_table_u8_layer *layer, const uint8_t *x, uint8_t *y);

/* --- values moved, of any dtype; sizes in bytes where they are of pixels or items ---------------------------------------- */
/* The same bytes; x and y may be the same. */
void tv_copy(const void *x, void *y, uint32_t bytes);
/* A map of in_height * in_width pixels inside a border of bytes `value`; out_* with the border. */
typedef struct {
    uint32_t in_height, in_width, out_height, out_width, top, left, pixel;
    uint8_t value;
} tv_move_layer;
void tv_pad2d(const tv_move_layer *layer, const void *x, void *y);
/* The out_height * out_width pixels of a map that begin at (top, left). */
void tv_crop2d(const tv_move_layer *layer, const void *x, void *y);
/* y[a][b][c] = x at a * steps[0] + b * steps[1] + c * steps[2], items of so many bytes. */
typedef struct {
    uint32_t sizes[3], steps[3], item;
} tv_permute_layer;
void tv_permute(const tv_permute_layer *layer, const void *x, void *y);
/* Maps side by side: widths[k] bytes of input k in each of `count` pixels. */
void tv_concatenate(const void *const *x, void *y, uint32_t count, const uint32_t *widths, uint32_t inputs);

/* --- float32 ----------------------------------------------------------------------------------------------------------- */
/* y = pool(gain[f] * activation(acc + bias[f]) + shift[f]) */
typedef struct {
    const float *bias;                   /* [F] */
    const float *gain, *shift;           /* [F], or both NULL */
    float slope, high;                   /* of TV_LEAKY and TV_CLAMP */
    tv_activation activation;
} tv_tail_f32;

/* weights [F][KH][KW][C], or shared with a float codebook. */
typedef struct {
    tv_window window;
    tv_tail_f32 tail;
    const float *weights;
    tv_shared shared;
} tv_conv2d_f32_layer;
/* scratch: 16 * K bytes, and 4 * K more where shared. */
void tv_conv2d_f32(const tv_conv2d_f32_layer *layer, const float *x, float *y, void *scratch);

/* weights [F][KH][KW], or shared. scratch: 4 * KH * KW bytes where shared, else NULL. */
void tv_depthwise_f32(const tv_conv2d_f32_layer *layer, const float *x, float *y, void *scratch);

/* weights [O][I], or shared. */
typedef struct {
    uint32_t inputs, outputs;
    tv_tail_f32 tail;
    const float *weights;
    tv_shared shared;
} tv_dense_f32_layer;
void tv_dense_f32(const tv_dense_f32_layer *layer, const float *x, float *y);

/* y = activation(first * x[0] + rest * (sum of the other inputs)); y may be one of them. */
typedef struct {
    uint32_t count, inputs;
    float first, rest, slope, high;
    tv_activation activation;
} tv_add_f32_layer;
void tv_add_f32(const tv_add_f32_layer *layer, const float *const *x, float *y);

void tv_multiply_f32(const tv_broadcast *shape, const float *const *x, float *y);

/* The largest of the inputs, value by value; y may be one of them. */
typedef struct {
    uint32_t count, inputs;
} tv_maximum_f32_layer;
void tv_maximum_f32(const tv_maximum_f32_layer *layer, const float *const *x, float *y);

/* The mean of those values of each window that lie within the map. */
void tv_padded_average_pool2d_f32(const tv_window *window, const float *x, float *y);
/* The mean of each window, which lies within the map. */
void tv_average_pool2d_f32(const tv_window *window, const float *x, float *y);
void tv_max_pool2d_f32(const tv_window *window, const float *x, float *y);

/* y = scale * x + shift; y may be x. */
typedef struct {
    uint32_t count;
    float scale, shift;
} tv_affine_f32_layer;
void tv_affine_f32(const tv_affine_f32_layer *layer, const float *x, float *y);

/* y = function(x + start), value by value; y may be x. */
typedef enum { TV_F_RELU, TV_F_LINEAR, TV_F_ELU, TV_F_SELU, TV_F_SIGMOID, TV_F_HARD_SIGMOID, TV_F_TANH, TV_F_SILU, TV_F_HARD_SILU,
               TV_F_GELU, TV_F_MISH, TV_F_SOFTPLUS, TV_F_SOFTSIGN, TV_F_EXPONENTIAL } tv_function;
typedef struct {
    uint32_t count, limited;             /* limited: a ReLU has the maximum `high` */
    tv_function function;
    float alpha, threshold, high;        /* alpha: of an ELU, a hard sigmoid's slope, a ReLU's below its threshold */
    float start;
} tv_activation_f32_layer;
void tv_activation_f32(const tv_activation_f32_layer *layer, const float *x, float *y);

/* x above 0, slope * x below, the slopes found as tv_prelu_u8 finds them; y may be x. */
typedef struct {
    tv_broadcast shape;
    const float *slopes;
} tv_prelu_f32_layer;
void tv_prelu_f32(const tv_prelu_f32_layer *layer, const float *x, float *y);

/* Of each of `rows` vectors of `count`: gain * (x - mean) / sqrt(variance + epsilon) + shift; y may be x. */
typedef struct {
    uint32_t count, rows;
    float epsilon;                       /* above 0 */
    const float *gain, *shift;           /* [count] */
} tv_layer_norm_f32_layer;
void tv_layer_norm_f32(const tv_layer_norm_f32_layer *layer, const float *x, float *y);

/* y[i] = exp(x[i] - max x) / sum; y may be x. Relative error below 1e-6. */
typedef struct {
    uint32_t count;
} tv_softmax_f32_layer;
void tv_softmax_f32(const tv_softmax_f32_layer *layer, const float *x, float *y);

/* tv_softmax_f32 of each of `rows` pixels in turn. */
typedef struct {
    tv_softmax_f32_layer row;
    uint32_t rows;
} tv_channel_softmax_f32_layer;
void tv_channel_softmax_f32(const tv_channel_softmax_f32_layer *layer, const float *x, float *y);

/* The same of integer logits: exp(scale * (x[i] - max x)) / sum. */
typedef struct {
    uint32_t count;
    float scale;
} tv_softmax_scaled_layer;
void tv_softmax_s16_f32(const tv_softmax_scaled_layer *layer, const int16_t *x, float *y);
void tv_softmax_u8_f32(const tv_softmax_scaled_layer *layer, const uint8_t *x, float *y);

/* y[i] = 1 / (1 + exp(-x[i])); y may be x. And the same of integer logits: of scale * (x[i] - zero). */
void tv_sigmoid_f32(const tv_softmax_f32_layer *layer, const float *x, float *y);
typedef struct {
    tv_softmax_scaled_layer softmax;
    int32_t zero;
} tv_sigmoid_scaled_layer;
void tv_sigmoid_s16_f32(const tv_sigmoid_scaled_layer *layer, const int16_t *x, float *y);
void tv_sigmoid_u8_f32(const tv_sigmoid_scaled_layer *layer, const uint8_t *x, float *y);

/* e^x for x <= 0, without a library: 2^k by the exponent's bits, the rest by a polynomial; 0 below -87. */
float tv_exp(float x);

#endif
