/* Checks of a network's constants against faults in memory. Which tables there are is decided when the code is generated.
 *
 *     tv_guard_report report;
 *     if (tv_guard_check(&NAME_guard, &report)) { constants are harmed: do not believe what the network says }
 *
 * With -DTV_WEIGHTS_IN_RAM what can be repaired is repaired; constants in flash are only looked at. The order is replicas, ranges,
 * radar, crc: a CRC says what is wrong after the repairs. Of the layers' structs only the shifts are watched, by crc and replicas;
 * code and the tables themselves are not. */
#ifndef TV_GUARD_H
#define TV_GUARD_H

#include "tv_kernels.h"

/* CRC-32 (IEEE 802.3, zlib's crc32) of an array. */
typedef struct {
    TV_CONST void *data;
    uint32_t bytes, crc, array;
} tv_guard_crc;

/* RADAR (Li et al., DATE 2021): weight i is in group i % groups, in row i / groups; its sign in the group's sum is that of bit
 * row % 32 of `key` (0: plus). Of the sum bits 8 and 7 are kept, four groups a byte, the first in the low bits. A group whose bits
 * differ is set to zero. groups is a multiple of 8. */
typedef struct {
    TV_CONST int8_t *weights;
    const uint8_t *signatures;
    uint32_t count, groups, key, array;
} tv_guard_radar;

/* Lowest and highest weight of each run of `run` weights; one beyond is set to the nearer end. */
typedef struct {
    TV_CONST int8_t *weights;
    const int8_t *ends;                  /* low, high, low, high, ... */
    uint32_t count, run, array;
} tv_guard_range;

/* Two more copies of an array: each bit becomes what most of the three have. */
typedef struct {
    TV_CONST uint8_t *data;
    const uint8_t *copies;               /* 2 * bytes */
    uint32_t bytes, array;
} tv_guard_replica;

/* The shifts of the layers, which lie in their structs, and two copies of them; restored by the majority if `repairs`. */
typedef struct {
    TV_CONST uint32_t *const *places;
    const uint32_t *copies;              /* 2 * count */
    uint32_t count, array, repairs;
} tv_guard_shifts;

typedef struct {
    tv_guard_shifts shifts;
    const tv_guard_replica *replicas;
    const tv_guard_range *ranges;
    const tv_guard_radar *radars;
    const tv_guard_crc *crcs;
    uint32_t replica_count, range_count, radar_count, crc_count;
} tv_guard;

/* found: arrays, once for each check that finds them changed; repaired: bytes that were set; harmed: findings that stay;
 * array: the first array found changed, as numbered in the tables. */
typedef struct {
    uint32_t found, repaired, harmed, array;
} tv_guard_report;

/* Return report->harmed. */
uint32_t tv_guard_check(const tv_guard *guard, tv_guard_report *report);

#endif
