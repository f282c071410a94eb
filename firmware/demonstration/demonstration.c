/* A firmware without a network: it shows that board, line and host understand each other. Its "network" is ten fixed 3x3x3
 * filters: logit f = sum over the 30x30 positions of max(0, correlation with filter f), in int32.
 * The host has the same in NumPy (tinyvgg/board/demonstration.py) and compares to the last bit. */
#include <math.h>
#include <string.h>
#include "tv_app.h"
#include "tv_protocol.h"
#include "tv_quantize.h"

#define SIDE 32
#define ROW (SIDE * 3)
#define FILTERS 10

static uint8_t image[4 * SIDE * ROW] __attribute__((aligned(4)));
static int16_t filters[FILTERS][3][10];          /* nine weights a row, and a zero to make pairs */
static uint32_t layer_cycles[2];
static const char *const layer_names[] = { "input", "filters" };

const tv_app_info tv_app = {
    .name = "demonstration", .input_shape = { SIDE, SIDE, 3, 0 }, .input_count = SIDE * ROW,
    .input_types = TV_ACCEPTS(TV_U8) | TV_ACCEPTS(TV_I8) | TV_ACCEPTS(TV_F32), .output_type = TV_I32, .output_count = FILTERS,
    .input_scale = 1.0f / 255.0f, .input_zero = 0, .input_low = 0.0f, .input_high = 1.0f,
    .output_scale = 1e-6f, .output_zero = 0, .arena = image, .arena_bytes = sizeof image,
    .layer_count = 2, .layer_names = layer_names, .layer_cycles = layer_cycles
};

void tv_app_init(void)
{
    for (int f = 0; f < FILTERS; f++)
        for (int row = 0; row < 3; row++)
            for (int i = 0; i < 9; i++) filters[f][row][i] = (int16_t)((f * 27 + row * 9 + i) * 37 % 15 - 7);
}

void *tv_app_input(int type) { return type <= TV_F32 ? image : 0; }

/* acc + a.low * b.low + a.high * b.high, signed halves. */
static inline int32_t smlad(uint32_t a, uint32_t b, int32_t acc)
{
#ifdef __ARM_FEATURE_DSP
    int32_t sum;
    __asm__("smlad %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(acc));
    return sum;
#else
    return acc + (int16_t)a * (int16_t)b + (int16_t)(a >> 16) * (int16_t)(b >> 16);
#endif
}

static inline uint32_t pair(const int16_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

static int32_t correlate(const uint8_t *corner, const int16_t (*filter)[10])
{
    int32_t sum = 0;
    for (int row = 0; row < 3; row++, corner += ROW) {
        for (int i = 0; i < 8; i += 2) sum = smlad(corner[i] | (uint32_t)corner[i + 1] << 16, pair(filter[row] + i), sum);
        sum += corner[8] * filter[row][8];
    }
    return sum;
}

int tv_app_infer(int type, void *output)
{
    uint32_t start = tv_cycles();
    if (type == TV_I8)
        for (uint32_t i = 0; i < SIDE * ROW; i++) image[i] ^= 0x80;
    if (type == TV_F32) tv_quantize((const float *)image, image, SIDE * ROW, tv_app.input_scale, 0);
    uint32_t quantized = tv_cycles();
    int32_t *logits = output;
    for (int f = 0; f < FILTERS; f++) {
        logits[f] = 0;
        for (int y = 0; y < SIDE - 2; y++)
            for (int x = 0; x < SIDE - 2; x++) {
                int32_t sum = correlate(image + y * ROW + 3 * x, (const int16_t (*)[10])filters[f]);
                logits[f] += sum > 0 ? sum : 0;
            }
    }
    layer_cycles[0] = quantized - start;
    layer_cycles[1] = tv_cycles() - quantized;
    return 0;
}

/* e^x for x <= 0: 2^k by the exponent bits, the rest by a polynomial (relative error below 1e-6). */
static float exponential(float x)
{
    if (x < -80.0f) return 0.0f;
    float t = x * 1.44269504f;
    int32_t k = (int32_t)(t - 0.5f);
    float r = (t - (float)k) * 0.69314718f;
    float p = 1.0f + r * (1.0f + r * (0.5f + r * (0.16666667f + r * (0.041666667f + r * (0.0083333333f + r * 0.0013888889f)))));
    union { int32_t i; float f; } power = { (k + 127) << 23 };
    return p * power.f;
}

void tv_app_scores(const void *output, uint8_t *scores)
{
    const int32_t *logits = output;
    float p[FILTERS], sum = 0.0f;
    int32_t top = logits[0];
    for (int f = 1; f < FILTERS; f++) top = logits[f] > top ? logits[f] : top;
    for (int f = 0; f < FILTERS; f++) sum += p[f] = exponential((float)(logits[f] - top) * tv_app.output_scale);
    for (int f = 0; f < FILTERS; f++) scores[f] = (uint8_t)(255.0f * (p[f] / sum));
}

/* Each of these is wrong in one way; the number is that of tinyvgg/board/demonstration.py's table. */
static void misbehave(uint32_t kind)
{
    volatile uint32_t *nowhere = (volatile uint32_t *)0x60000000u, *flash = (volatile uint32_t *)0x08000100u;
    volatile uint32_t zero = 0;
    switch (kind) {
    case 0: (void)*nowhere; break;
    case 1: *nowhere = 1; break;
    case 2: *flash = 1; break;
#ifdef __arm__
    case 3: __asm__ volatile("udf #0"); break;
    case 4: ((void (*)(void))0x60000001u)(); break;
    case 5: __asm__ volatile("ldrd r2, r3, [%0]" ::"r"(image + 1) : "r2", "r3", "memory"); break;
    case 6: __asm__ volatile("sdiv r3, %0, %1" ::"r"(1), "r"(zero) : "r3"); break;
    case 7: __asm__ volatile("1: push {r0-r7}\n b 1b"); break;
#endif
    default: break;
    }
}

int32_t tv_app_call(uint32_t function, const uint8_t *in, uint32_t count, uint8_t *out)
{
    if (function == 0) {                                 /* CRC-32 of the bytes */
        uint32_t crc = ~tv_crc32(TV_CRC_START, in, count);
        memcpy(out, &crc, 4);
        return 4;
    }
    if (function == 1) {                                 /* length of a vector of floats: the FPU at work */
        float sum = 0.0f;
        for (uint32_t i = 0; i + 4 <= count; i += 4) {
            float x;
            memcpy(&x, in + i, 4);
            sum += x * x;
        }
        sum = sqrtf(sum);
        memcpy(out, &sum, 4);
        return 4;
    }
    if (function == 2 && count == 4) {
        uint32_t kind;
        memcpy(&kind, in, 4);
        misbehave(kind);
        return 0;
    }
    return -1;
}
