#include <string.h>
#include "tv_shared.h"
#include "tv_tail.h"

#define TV_TAPS 25u                      /* places of a window that four channels at a time take, at most */
#define TV_FOURS_BYTES(taps) (2u * TV_ROUND_UP(taps, 3u) + 4u + (uint32_t)sizeof(tv_numbers) + 1u)      /* of scratch for a channel */

/* The sum of channel f at the convolution's result (row, column); weights [KH][KW][F]; x points at f's channel. */
static int32_t correlate(const tv_depthwise_u8_layer *layer, const uint8_t *x, const int8_t *weights, uint32_t row, uint32_t column)
{
    const tv_window *w = &layer->window;
    int32_t sum = 0;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = row * w->stride_y + p * w->dilation_y - w->pad_top;       /* wraps where it lies outside */
        for (uint32_t q = 0; q < w->kernel_width; q++, weights += w->out_channels) {
            const uint32_t at = column * w->stride_x + q * w->dilation_x - w->pad_left;
            const int inside = y < w->in_height && at < w->in_width;
            sum = tv_add(sum, (inside ? x[(y * w->in_width + at) * w->in_channels] : layer->input_zero) * *weights);
        }
    }
    return sum;
}

/* Where the pixels of the window at (row, column) begin, those outside the map at `padded`. */
TV_HOT static void pixels_of(const tv_window *w, const uint8_t *x, uint32_t row, uint32_t column, const uint8_t *padded, const uint8_t **pixels)
{
    const uint32_t left = column * w->stride_x - w->pad_left;
    for (uint32_t p = 0; p < w->kernel_height; p++) {
        const uint32_t y = row * w->stride_y + p * w->dilation_y - w->pad_top;
        const uint8_t *const line = x + y * w->in_width * w->in_channels;
        for (uint32_t q = 0; q < w->kernel_width; q++) {
            const uint32_t at = left + q * w->dilation_x;
            *pixels++ = y < w->in_height && at < w->in_width ? line + at * w->in_channels : padded;
        }
    }
}

/* Whether the window at (row, column) lies within the map. */
static inline int is_inside(const tv_window *w, uint32_t row, uint32_t column)
{
    const uint32_t top = row * w->stride_y - w->pad_top, left = column * w->stride_x - w->pad_left;          /* wrap where they lie outside */
    return top < w->in_height && top + (w->kernel_height - 1u) * w->dilation_y < w->in_height && left < w->in_width
        && left + (w->kernel_width - 1u) * w->dilation_x < w->in_width;
}

/* Weights [taps][filters] as [filters / 4][rounded][2] words of two halves: channels 0 and 2, 1 and 3 of each four; 0 beyond `taps`. */
TV_HOT static void widen(const int8_t *weights, uint32_t taps, uint32_t rounded, uint32_t filters, uint32_t *to)
{
    for (uint32_t c = 0; c + 4 <= filters; c += 4)
        for (uint32_t t = 0; t < rounded; t++, to += 2) {
            const uint32_t w = t < taps ? tv_load(weights + t * filters + c) : 0;
            to[0] = tv_sxtb16(w);
            to[1] = tv_sxtb16_ror8(w);
        }
}

/* Sums of all fours of channels of a pixel, [filters]. pixels: where each place of the window begins, up to `pixels_end`, a multiple of three;
 * w: their words, [filters / 4][places][2], up to `w_end`. */
#if TV_DSP

/* r0 pixels, r1 channel, r2 w, r3 sums; r4-r7 sums of channels 0 1 2 3; r8-r10 three places, r11 lr weights of one, r12. */
#define PLACE(x)                            \
    "ldm    r2!, {r11, lr}\n\t"             \
    "uxtb16 r12, " x "\n\t"                 \
    "uxtb16 " x ", " x ", ror #8\n\t"       \
    "smlabb r4, r12, r11, r4\n\t"           \
    "smlatt r6, r12, r11, r6\n\t"           \
    "smlabb r5, " x ", lr, r5\n\t"          \
    "smlatt r7, " x ", lr, r7\n\t"

TV_HOT __attribute__((naked, noinline)) static void sums_of(const uint8_t *const *pixels __attribute__((unused)),
                                                            const uint8_t *const *pixels_end __attribute__((unused)),
                                                            const uint32_t *w __attribute__((unused)),
                                                            const uint32_t *w_end __attribute__((unused)), int32_t *sums __attribute__((unused)))
{
    __asm__ volatile(
        "push   {r0, r1, r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
        "ldr    r3, [sp, #48]\n\t"
        "movs   r1, #0\n"
        "1:\n\t"
        "movs   r4, #0\n\t"
        "movs   r5, #0\n\t"
        "movs   r6, #0\n\t"
        "movs   r7, #0\n"
        "2:\n\t"
        "ldm    r0!, {r8, r9, r10}\n\t"
        "ldr    r8, [r8, r1]\n\t"
        "ldr    r9, [r9, r1]\n\t"
        "ldr    r10, [r10, r1]\n\t"
        PLACE("r8")
        PLACE("r9")
        PLACE("r10")
        "ldr    r12, [sp, #4]\n\t"
        "cmp    r0, r12\n\t"
        "bne    2b\n\t"
        "ldr    r0, [sp]\n\t"
        "ldr    r12, [sp, #8]\n\t"
        "adds   r1, #4\n\t"
        "stm    r3!, {r4, r5, r6, r7}\n\t"
        "cmp    r2, r12\n\t"
        "bne    1b\n\t"
        "pop    {r0, r1, r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n");
}

#else

static void sums_of(const uint8_t *const *pixels, const uint8_t *const *pixels_end, const uint32_t *w, const uint32_t *w_end, int32_t *sums)
{
    for (uint32_t c = 0; w != w_end; c += 4, sums += 4) {
        sums[0] = sums[1] = sums[2] = sums[3] = 0;
        for (const uint8_t *const *pixel = pixels; pixel != pixels_end; pixel++, w += 2) {
            const uint32_t x = tv_load(*pixel + c), x02 = tv_uxtb16(x), x13 = tv_uxtb16_ror8(x);
            sums[0] = tv_smlabb(x02, w[0], sums[0]), sums[2] = tv_smlatt(x02, w[0], sums[2]);
            sums[1] = tv_smlabb(x13, w[1], sums[1]), sums[3] = tv_smlatt(x13, w[1], sums[3]);
        }
    }
}

#endif

#if defined(__GNUC__)
#define TV_APART __attribute__((noinline))                               /* so that its loop has the registers to itself */
#else
#define TV_APART
#endif

/* The results of `count` sums, a multiple of four, whose channels have these numbers. */
#ifdef TV_LITE_H
TV_HOT TV_APART static void finish_plain(int32_t zero, const tv_numbers *numbers, const int32_t *sums, uint32_t count, uint8_t *y)
{
    for (const uint8_t *const end = y + count; y != end; y += 4, sums += 4, numbers += 4) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < 4; i++) {
            const int32_t v = tv_lite_plain(tv_add(sums[i], numbers[i].bias), numbers[i].multiplier, numbers[i].exponent);
            word |= (uint32_t)tv_usat8(tv_add(v, zero)) << 8 * i;
        }
        tv_store(y, word);
    }
}
#endif

TV_HOT TV_APART static void finish(const tv_tail_u8 *tail, const tv_numbers *numbers, const int32_t *sums, uint32_t count, uint8_t *y)
{
    for (uint32_t c = 0; c < count; c++) y[c] = tv_usat8(tv_end(tail, numbers + c, sums[c]));
}

/* A filter a channel and no pool but one of single results, which may skip some; F filters, of which `fours` are whole fours.
 * scratch: the widened weights [fours / 4][rounded][2], a pixel of the zero point [fours], sums [fours], the tail's numbers [fours]. */
TV_HOT static void by_fours(const tv_depthwise_u8_layer *layer, const uint8_t *x, const int8_t *weights, uint8_t *y, void *scratch)
{
    const tv_window *const w = &layer->window;
    const uint32_t filters = w->out_channels, fours = filters & ~3u, taps = (uint32_t)w->kernel_height * w->kernel_width;
    const uint32_t rounded = TV_ROUND_UP(taps, 3u), words = rounded * fours / 2;
    uint32_t *const widened = (uint32_t *)scratch;
    int32_t *const sums = (int32_t *)(widened + words);
    tv_numbers *const numbers = (tv_numbers *)(sums + fours);
    uint8_t *const padded = (uint8_t *)(numbers + fours);
    const uint8_t *pixels[TV_TAPS + 2];
#ifdef TV_LITE_H
    const int plain = layer->tail.rounding == TV_DOUBLE_PLAIN && layer->tail.low == 0 && layer->tail.high == 255;
#endif
    memset(padded, layer->input_zero, fours);
    widen(weights, taps, rounded, filters, widened);
    for (uint32_t c = 0; c < fours; c++) numbers[c] = tv_numbers_of(&layer->tail, c);
    for (uint32_t t = taps; t < rounded; t++) pixels[t] = padded;
    const uint32_t step = (uint32_t)w->pool_stride_x * w->stride_x * w->in_channels;
    for (uint32_t row = 0; row < w->out_height; row++) {
        int before = 0;                                                  /* whether the window before, in this row, lay within the map */
        for (uint32_t column = 0; column < w->out_width; column++, y += filters) {
            const uint32_t top = row * w->pool_stride_y, left = column * w->pool_stride_x;
            const int inside = is_inside(w, top, left);
            if (inside && before) for (uint32_t t = 0; t < taps; t++) pixels[t] += step;
            else pixels_of(w, x, top, left, padded, pixels);
            before = inside;
            sums_of(pixels, pixels + rounded, widened, widened + words, sums);
#ifdef TV_LITE_H
            if (plain) finish_plain(layer->tail.zero, numbers, sums, fours, y);
            else
#endif
            finish(&layer->tail, numbers, sums, fours, y);
            for (uint32_t c = fours; c < filters; c++) y[c] = tv_usat8(tv_finish(&layer->tail, c, correlate(layer, x + c, weights + c, top, left)));
        }
    }
}

static const int8_t *decode(const tv_depthwise_u8_layer *layer, uint32_t area, int8_t *to)
{
    const uint32_t filters = layer->window.out_channels;
#if TV_CODED
    if (!layer->shared.bits) return tv_decode_all(&layer->shared, area * filters, to);
#endif
    for (uint32_t f = 0; f < filters; f++) {
        const int8_t *codebook = (const int8_t *)layer->shared.codebook + f * layer->shared.codebook_step;
        tv_index_reader reader = tv_read_indices(&layer->shared, f);
        for (uint32_t n = 0; n < area; n++) to[n * filters + f] = codebook[tv_next_index(&reader)];
    }
    return to;
}

void tv_depthwise_u8(const tv_depthwise_u8_layer *layer, const uint8_t *x, uint8_t *y, void *scratch)
{
    const tv_window *w = &layer->window;
    const uint32_t filters = w->out_channels, multiplier = filters / w->in_channels, taps = (uint32_t)w->kernel_height * w->kernel_width;
    const uint32_t area = (uint32_t)w->pool_height * w->pool_width, outputs = (uint32_t)w->out_height * w->out_width;
    const int fours = multiplier == 1 && area == 1 && taps <= TV_TAPS && filters >= 4;
    const int8_t *weights = layer->weights;
    if (layer->shared.codebook) weights = decode(layer, taps, (int8_t *)scratch + (fours ? TV_FOURS_BYTES(taps) * (filters & ~3u) : 0));
    if (fours) {
        by_fours(layer, x, weights, y, scratch);
        return;
    }
    for (uint32_t output = 0; output < outputs; output++) {
        const uint32_t top = output / w->out_width * w->pool_stride_y, left = output % w->out_width * w->pool_stride_x;
        for (uint32_t f = 0; f < filters; f++) {
            int32_t best = 0;
            for (uint32_t n = 0; n < area; n++) {
                const int32_t sum = correlate(layer, x + f / multiplier, weights + f, top + n / w->pool_width, left + n % w->pool_width);
                best = n ? tv_better(&layer->tail, f, best, sum) : sum;
            }
            *y++ = tv_usat8(tv_finish(&layer->tail, f, best));
        }
    }
}
