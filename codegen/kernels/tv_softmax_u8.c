/* Softmax, and sigmoid, of integer logits. */
#include "tv_intrinsics.h"
#include "tv_kernels.h"

/* 2^15 * 2^(-j / 256), rounded */
static const uint16_t octave[256] = {
    32768, 32679, 32591, 32503, 32415, 32327, 32240, 32153, 32066, 31979, 31893, 31806, 31720, 31635, 31549, 31464,
    31379, 31294, 31209, 31125, 31041, 30957, 30873, 30790, 30706, 30623, 30541, 30458, 30376, 30293, 30212, 30130,
    30048, 29967, 29886, 29805, 29725, 29644, 29564, 29484, 29405, 29325, 29246, 29167, 29088, 29009, 28931, 28852,
    28774, 28697, 28619, 28542, 28464, 28388, 28311, 28234, 28158, 28082, 28006, 27930, 27855, 27779, 27704, 27629,
    27554, 27480, 27406, 27332, 27258, 27184, 27110, 27037, 26964, 26891, 26818, 26746, 26674, 26601, 26530, 26458,
    26386, 26315, 26244, 26173, 26102, 26031, 25961, 25891, 25821, 25751, 25681, 25612, 25543, 25474, 25405, 25336,
    25268, 25199, 25131, 25063, 24995, 24928, 24860, 24793, 24726, 24659, 24593, 24526, 24460, 24394, 24328, 24262,
    24196, 24131, 24066, 24001, 23936, 23871, 23806, 23742, 23678, 23614, 23550, 23486, 23423, 23359, 23296, 23233,
    23170, 23108, 23045, 22983, 22921, 22859, 22797, 22735, 22674, 22613, 22552, 22491, 22430, 22369, 22309, 22248,
    22188, 22128, 22068, 22009, 21949, 21890, 21831, 21772, 21713, 21654, 21595, 21537, 21479, 21421, 21363, 21305,
    21247, 21190, 21133, 21076, 21019, 20962, 20905, 20849, 20792, 20736, 20680, 20624, 20568, 20513, 20457, 20402,
    20347, 20292, 20237, 20182, 20127, 20073, 20019, 19965, 19911, 19857, 19803, 19750, 19696, 19643, 19590, 19537,
    19484, 19431, 19379, 19326, 19274, 19222, 19170, 19118, 19066, 19015, 18963, 18912, 18861, 18810, 18759, 18708,
    18658, 18607, 18557, 18507, 18457, 18407, 18357, 18308, 18258, 18209, 18160, 18110, 18061, 18013, 17964, 17915,
    17867, 17819, 17770, 17722, 17674, 17627, 17579, 17531, 17484, 17437, 17390, 17343, 17296, 17249, 17202, 17156,
    17109, 17063, 17017, 16971, 16925, 16879, 16834, 16788, 16743, 16697, 16652, 16607, 16562, 16518, 16473, 16428
};

/* e of a logit that lies `below` the largest. */
static uint32_t power(const tv_softmax_s16_layer *layer, int32_t below)
{
    const uint32_t u = (uint32_t)tv_smmulr(tv_shift_left(below, layer->shift), layer->multiplier), octaves = u >> 8;
    return octaves > 15 ? 0u : (uint32_t)octave[u & 255u] >> octaves;
}

static uint8_t share(uint32_t e, uint32_t sum) { return (uint8_t)((e * 255u + sum / 2u) / sum); }

void tv_softmax_s16(const tv_softmax_s16_layer *layer, const int16_t *x, uint8_t *y)
{
    int32_t top = x[0];
    uint32_t sum = 0;
    for (uint32_t i = 1; i < layer->count; i++) top = x[i] > top ? x[i] : top;
    for (uint32_t i = 0; i < layer->count; i++) sum += power(layer, top - x[i]);
    for (uint32_t i = 0; i < layer->count; i++) y[i] = share(power(layer, top - x[i]), sum);
}

void tv_softmax_u8(const tv_softmax_s16_layer *layer, const uint8_t *x, uint8_t *y)
{
    int32_t top = x[0];
    uint32_t sum = 0;
    for (uint32_t i = 1; i < layer->count; i++) top = x[i] > top ? x[i] : top;
    for (uint32_t i = 0; i < layer->count; i++) sum += power(layer, top - x[i]);
    for (uint32_t i = 0; i < layer->count; i++) y[i] = share(power(layer, top - x[i]), sum);
}

/* The share of a logit in the softmax of it and 0. */
static uint8_t sigmoid(const tv_sigmoid_s16_layer *layer, int32_t x)
{
    const uint32_t e = power(&layer->softmax, x < 0 ? -x : x);
    return share(x < 0 ? e : 32768u, e + 32768u);
}

void tv_sigmoid_s16(const tv_sigmoid_s16_layer *layer, const int16_t *x, uint8_t *y)
{
    for (uint32_t i = 0; i < layer->softmax.count; i++) y[i] = sigmoid(layer, x[i] - layer->zero);
}

void tv_sigmoid_u8(const tv_sigmoid_s16_layer *layer, const uint8_t *x, uint8_t *y)
{
    for (uint32_t i = 0; i < layer->softmax.count; i++) y[i] = sigmoid(layer, x[i] - layer->zero);
}

void tv_channel_softmax_u8(const tv_channel_softmax_u8_layer *layer, const uint8_t *x, uint8_t *y)
{
    for (uint32_t i = 0; i < layer->rows; i++) tv_softmax_u8(&layer->row, x + i * layer->row.count, y + i * layer->row.count);
}
