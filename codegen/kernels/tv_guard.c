#include "tv_guard.h"
#include "tv_intrinsics.h"

#if defined(TV_WEIGHTS_IN_RAM)
#define REPAIRS 1
#define SET(place, value) ((place) = (value))
#else
#define REPAIRS 0
#define SET(place, value) ((void)(value))
#endif

/* An array was found changed; `done` bytes of it are set, or would be if it were no constant. */
static void note(tv_guard_report *report, uint32_t array, uint32_t done, int cured)
{
    if (!report->found++) report->array = array;
    if (REPAIRS) report->repaired += done;
    if (!REPAIRS || !cured) report->harmed++;
}

/* --- CRC-32 ---------------------------------------------------------------------------------------------------------------- */
static const uint32_t table[256] = {
    0x00000000, 0x77073096, 0xEE0E612C, 0x990951BA, 0x076DC419, 0x706AF48F, 0xE963A535, 0x9E6495A3,
    0x0EDB8832, 0x79DCB8A4, 0xE0D5E91E, 0x97D2D988, 0x09B64C2B, 0x7EB17CBD, 0xE7B82D07, 0x90BF1D91,
    0x1DB71064, 0x6AB020F2, 0xF3B97148, 0x84BE41DE, 0x1ADAD47D, 0x6DDDE4EB, 0xF4D4B551, 0x83D385C7,
    0x136C9856, 0x646BA8C0, 0xFD62F97A, 0x8A65C9EC, 0x14015C4F, 0x63066CD9, 0xFA0F3D63, 0x8D080DF5,
    0x3B6E20C8, 0x4C69105E, 0xD56041E4, 0xA2677172, 0x3C03E4D1, 0x4B04D447, 0xD20D85FD, 0xA50AB56B,
    0x35B5A8FA, 0x42B2986C, 0xDBBBC9D6, 0xACBCF940, 0x32D86CE3, 0x45DF5C75, 0xDCD60DCF, 0xABD13D59,
    0x26D930AC, 0x51DE003A, 0xC8D75180, 0xBFD06116, 0x21B4F4B5, 0x56B3C423, 0xCFBA9599, 0xB8BDA50F,
    0x2802B89E, 0x5F058808, 0xC60CD9B2, 0xB10BE924, 0x2F6F7C87, 0x58684C11, 0xC1611DAB, 0xB6662D3D,
    0x76DC4190, 0x01DB7106, 0x98D220BC, 0xEFD5102A, 0x71B18589, 0x06B6B51F, 0x9FBFE4A5, 0xE8B8D433,
    0x7807C9A2, 0x0F00F934, 0x9609A88E, 0xE10E9818, 0x7F6A0DBB, 0x086D3D2D, 0x91646C97, 0xE6635C01,
    0x6B6B51F4, 0x1C6C6162, 0x856530D8, 0xF262004E, 0x6C0695ED, 0x1B01A57B, 0x8208F4C1, 0xF50FC457,
    0x65B0D9C6, 0x12B7E950, 0x8BBEB8EA, 0xFCB9887C, 0x62DD1DDF, 0x15DA2D49, 0x8CD37CF3, 0xFBD44C65,
    0x4DB26158, 0x3AB551CE, 0xA3BC0074, 0xD4BB30E2, 0x4ADFA541, 0x3DD895D7, 0xA4D1C46D, 0xD3D6F4FB,
    0x4369E96A, 0x346ED9FC, 0xAD678846, 0xDA60B8D0, 0x44042D73, 0x33031DE5, 0xAA0A4C5F, 0xDD0D7CC9,
    0x5005713C, 0x270241AA, 0xBE0B1010, 0xC90C2086, 0x5768B525, 0x206F85B3, 0xB966D409, 0xCE61E49F,
    0x5EDEF90E, 0x29D9C998, 0xB0D09822, 0xC7D7A8B4, 0x59B33D17, 0x2EB40D81, 0xB7BD5C3B, 0xC0BA6CAD,
    0xEDB88320, 0x9ABFB3B6, 0x03B6E20C, 0x74B1D29A, 0xEAD54739, 0x9DD277AF, 0x04DB2615, 0x73DC1683,
    0xE3630B12, 0x94643B84, 0x0D6D6A3E, 0x7A6A5AA8, 0xE40ECF0B, 0x9309FF9D, 0x0A00AE27, 0x7D079EB1,
    0xF00F9344, 0x8708A3D2, 0x1E01F268, 0x6906C2FE, 0xF762575D, 0x806567CB, 0x196C3671, 0x6E6B06E7,
    0xFED41B76, 0x89D32BE0, 0x10DA7A5A, 0x67DD4ACC, 0xF9B9DF6F, 0x8EBEEFF9, 0x17B7BE43, 0x60B08ED5,
    0xD6D6A3E8, 0xA1D1937E, 0x38D8C2C4, 0x4FDFF252, 0xD1BB67F1, 0xA6BC5767, 0x3FB506DD, 0x48B2364B,
    0xD80D2BDA, 0xAF0A1B4C, 0x36034AF6, 0x41047A60, 0xDF60EFC3, 0xA867DF55, 0x316E8EEF, 0x4669BE79,
    0xCB61B38C, 0xBC66831A, 0x256FD2A0, 0x5268E236, 0xCC0C7795, 0xBB0B4703, 0x220216B9, 0x5505262F,
    0xC5BA3BBE, 0xB2BD0B28, 0x2BB45A92, 0x5CB36A04, 0xC2D7FFA7, 0xB5D0CF31, 0x2CD99E8B, 0x5BDEAE1D,
    0x9B64C2B0, 0xEC63F226, 0x756AA39C, 0x026D930A, 0x9C0906A9, 0xEB0E363F, 0x72076785, 0x05005713,
    0x95BF4A82, 0xE2B87A14, 0x7BB12BAE, 0x0CB61B38, 0x92D28E9B, 0xE5D5BE0D, 0x7CDCEFB7, 0x0BDBDF21,
    0x86D3D2D4, 0xF1D4E242, 0x68DDB3F8, 0x1FDA836E, 0x81BE16CD, 0xF6B9265B, 0x6FB077E1, 0x18B74777,
    0x88085AE6, 0xFF0F6A70, 0x66063BCA, 0x11010B5C, 0x8F659EFF, 0xF862AE69, 0x616BFFD3, 0x166CCF45,
    0xA00AE278, 0xD70DD2EE, 0x4E048354, 0x3903B3C2, 0xA7672661, 0xD06016F7, 0x4969474D, 0x3E6E77DB,
    0xAED16A4A, 0xD9D65ADC, 0x40DF0B66, 0x37D83BF0, 0xA9BCAE53, 0xDEBB9EC5, 0x47B2CF7F, 0x30B5FFE9,
    0xBDBDF21C, 0xCABAC28A, 0x53B39330, 0x24B4A3A6, 0xBAD03605, 0xCDD70693, 0x54DE5729, 0x23D967BF,
    0xB3667A2E, 0xC4614AB8, 0x5D681B02, 0x2A6F2B94, 0xB40BBE37, 0xC30C8EA1, 0x5A05DF1B, 0x2D02EF8D
};

static uint32_t crc32(const uint8_t *data, uint32_t bytes)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (; bytes >= 4; bytes -= 4, data += 4) {
        crc ^= tv_load(data);
        crc = table[crc & 255u] ^ crc >> 8;
        crc = table[crc & 255u] ^ crc >> 8;
        crc = table[crc & 255u] ^ crc >> 8;
        crc = table[crc & 255u] ^ crc >> 8;
    }
    while (bytes--) crc = table[(crc ^ *data++) & 255u] ^ crc >> 8;
    return ~crc;
}

/* --- RADAR: eight groups at a time, as four words of two sums modulo 2^16 ---------------------------------------------------- */
#if TV_DSP
static inline uint32_t add_halves(uint32_t a, uint32_t b)
{
    uint32_t y;
    __asm__("uadd16 %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}
static inline uint32_t subtract_halves(uint32_t a, uint32_t b)
{
    uint32_t y;
    __asm__("usub16 %0, %1, %2" : "=r"(y) : "r"(a), "r"(b));
    return y;
}
#else
static inline uint32_t add_halves(uint32_t a, uint32_t b) { return ((a + b) & 0xFFFFu) | ((a >> 16) + (b >> 16)) << 16; }
static inline uint32_t subtract_halves(uint32_t a, uint32_t b) { return ((a - b) & 0xFFFFu) | ((a >> 16) - (b >> 16)) << 16; }
#endif

/* Up to four weights as they are stored; those beyond the end are 0. */
static uint32_t last(const int8_t *weights, const int8_t *end)
{
    uint32_t word = 0;
    for (uint32_t i = 0; i < 4 && weights + i < end; i++) word |= (uint32_t)(uint8_t)weights[i] << 8 * i;
    return word;
}

/* sums: of groups g, g + 2 | g + 1, g + 3 | g + 4, g + 6 | g + 5, g + 7, in halves */
static void sum_groups(const tv_guard_radar *r, uint32_t g, uint32_t sums[4])
{
    uint32_t a = 0, b = 0, c = 0, d = 0, key = r->key;
    const uint32_t rows = r->count < g + 8 ? 0 : (r->count - g - 8) / r->groups + 1, step = r->groups;
    const int8_t *w = r->weights + g, *const end = r->weights + r->count;
    for (uint32_t row = 0; row < rows; row++, w += step, key = key >> 1 | key << 31) {
        const uint32_t low = tv_load(w), high = tv_load(w + 4);
        if (key & 1u) {
            a = subtract_halves(a, tv_sxtb16(low)), b = subtract_halves(b, tv_sxtb16_ror8(low));
            c = subtract_halves(c, tv_sxtb16(high)), d = subtract_halves(d, tv_sxtb16_ror8(high));
        } else {
            a = add_halves(a, tv_sxtb16(low)), b = add_halves(b, tv_sxtb16_ror8(low));
            c = add_halves(c, tv_sxtb16(high)), d = add_halves(d, tv_sxtb16_ror8(high));
        }
    }
    if (g + rows * step < r->count) {            /* a row that ends within these groups */
        const uint32_t low = last(w, end), high = g + rows * step + 4 < r->count ? last(w + 4, end) : 0;
        a = key & 1u ? subtract_halves(a, tv_sxtb16(low)) : add_halves(a, tv_sxtb16(low));
        b = key & 1u ? subtract_halves(b, tv_sxtb16_ror8(low)) : add_halves(b, tv_sxtb16_ror8(low));
        c = key & 1u ? subtract_halves(c, tv_sxtb16(high)) : add_halves(c, tv_sxtb16(high));
        d = key & 1u ? subtract_halves(d, tv_sxtb16_ror8(high)) : add_halves(d, tv_sxtb16_ror8(high));
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
}

static uint32_t zero_group(const tv_guard_radar *r, uint32_t group)
{
    uint32_t done = 0;
    for (uint32_t at = group; at < r->count; at += r->groups, done++) SET(r->weights[at], 0);
    return done;
}

static void check_radar(const tv_guard_radar *r, tv_guard_report *report)
{
    uint32_t done = 0;
    for (uint32_t g = 0; g < r->groups; g += 8) {
        uint32_t sums[4];
        sum_groups(r, g, sums);
        for (uint32_t i = 0; i < 8; i++) {
            const uint32_t half = sums[(i & 4u) >> 1 | (i & 1u)] >> (i & 2u ? 16 : 0);
            const uint32_t kept = (uint32_t)r->signatures[(g + i) / 4u] >> 2 * (i & 3u);
            if (((half >> 7 ^ kept) & 3u) != 0) done += zero_group(r, g + i);
        }
    }
    if (done) note(report, r->array, done, 1);
}

/* --- ranges and replicas ------------------------------------------------------------------------------------------------------ */
static uint32_t clamp(TV_CONST int8_t *weight, int32_t low, int32_t high)
{
    const int32_t w = *weight;
    if (w >= low && w <= high) return 0;
    SET(*weight, (int8_t)(w < low ? low : high));
    return 1;
}

/* Whether one of four weights lies beyond; low and high four times in a word. */
static inline int beyond(uint32_t weights, uint32_t low, uint32_t high)
{
#if TV_DSP
    uint32_t clamped, flags;
    __asm__("ssub8 %1, %2, %3\n\t"               /* each byte of weights, low: the larger */
            "sel   %0, %2, %3\n\t"
            "ssub8 %1, %4, %0\n\t"               /* of high, that: the smaller */
            "sel   %0, %0, %4"
            : "=&r"(clamped), "=&r"(flags) : "r"(weights), "r"(low), "r"(high) : "cc");
    return clamped != weights;
#else
    (void)weights, (void)low, (void)high;
    return 1;
#endif
}

static void check_range(const tv_guard_range *r, tv_guard_report *report)
{
    uint32_t done = 0;
    const int8_t *ends = r->ends;
    for (uint32_t first = 0; first < r->count; first += r->run, ends += 2) {
        const uint32_t end = r->count - first < r->run ? r->count : first + r->run;
        const uint32_t low = (uint8_t)ends[0] * 0x01010101u, high = (uint8_t)ends[1] * 0x01010101u;
        uint32_t i = first;
        for (; i + 4 <= end; i += 4)
            if (beyond(tv_load(r->weights + i), low, high))
                for (uint32_t j = i; j < i + 4; j++) done += clamp(r->weights + j, ends[0], ends[1]);
        for (; i < end; i++) done += clamp(r->weights + i, ends[0], ends[1]);
    }
    if (done) note(report, r->array, done, 1);
}

static void check_replica(const tv_guard_replica *r, tv_guard_report *report)
{
    uint32_t done = 0;
    for (uint32_t i = 0; i < r->bytes; i++) {
        const uint32_t a = r->data[i], b = r->copies[i], c = r->copies[r->bytes + i], most = (a & b) | (a & c) | (b & c);
        if (a == most) continue;
        SET(r->data[i], (uint8_t)most);
        done++;
    }
    if (done) note(report, r->array, done, 1);
}

static void check_shifts(const tv_guard_shifts *s, tv_guard_report *report)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const uint32_t a = *s->places[i], b = s->copies[i], c = s->copies[s->count + i], most = (a & b) | (a & c) | (b & c);
        if (a == most) continue;
        if (s->repairs) SET(*s->places[i], most);
        note(report, s->array + i, s->repairs ? 4 : 0, (int)s->repairs);
    }
}

uint32_t tv_guard_check(const tv_guard *guard, tv_guard_report *report)
{
    report->found = report->repaired = report->harmed = report->array = 0;
    check_shifts(&guard->shifts, report);
    for (uint32_t i = 0; i < guard->replica_count; i++) check_replica(&guard->replicas[i], report);
    for (uint32_t i = 0; i < guard->range_count; i++) check_range(&guard->ranges[i], report);
    for (uint32_t i = 0; i < guard->radar_count; i++) check_radar(&guard->radars[i], report);
    for (uint32_t i = 0; i < guard->crc_count; i++) {
        const tv_guard_crc *c = &guard->crcs[i];
        if (crc32((const uint8_t *)c->data, c->bytes) != c->crc) note(report, c->array, 0, 0);
    }
    return report->harmed;
}
