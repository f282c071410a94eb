/* What the parts of the fuzzer share. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>

#define INPUTS 48

extern uint8_t *input, out[1 << 16];     /* where the network takes its image; what the board has sent since out_count was 0 */
extern uint32_t out_count;
extern int stm_seen;                     /* whether a message of ST's protocol was under way since it was 0 */

uint32_t random32(void);
uint32_t below(uint32_t n);
void feed(const uint8_t *bytes, uint32_t count);
void listen_anew(void);

/* One message or one whole image in ST's protocol, right or damaged; return how many messages were fed. */
uint32_t fuzz_stm(int clean);

#endif
