/* main(): bytes from the line go to whichever of the three protocols they belong to. */
#include "tv_port.h"
#include "tv_protocol.h"

#define SILENCE_US 500000u
#define ARENA_PAINT 0xA5u

static tv_receiver receiver;
/* What the last byte was: a delimiter of ours, after which a frame may go on with its first code; or the end of a message of ST's,
 * whose packets leave the receiver in the middle of what is no frame. */
static enum { OTHER, DELIMITER, END_OF_STM } last;
uint32_t tv_output[TV_OUTPUT_BYTES / 4];

static uint8_t *sink(const tv_header *header)
{
    return tv_student_active() || tv_stm_active() ? tv_request_sink_small(header) : tv_request_sink(header);
}

void tv_main_start(void)
{
    for (uint32_t i = 0; i < tv_app.arena_bytes; i++) tv_app.arena[i] = ARENA_PAINT;
    receiver.sink = sink;
    tv_receiver_start(&receiver);
    tv_student_stop();
    tv_stm_stop();
    tv_app_init();
}

/* Between messages the first byte says whose the next one is: 0xAB the student project's; 1..32 ST's, but for the codes 1..3 after a
 * delimiter, with which every frame of ours goes on; the rest ours. Return whether the byte was used up. */
static int routed(uint8_t byte)
{
    if (tv_stm_active() && !tv_stm_takes(byte)) tv_stm_stop();
    if (tv_student_active() || tv_stm_active() || !(last == END_OF_STM || tv_receiver_between_frames(&receiver))) return 0;
    if (byte == TV_STUDENT_SYNC) {
        tv_stm_stop();
        tv_student_start();
        tv_receiver_push(&receiver, byte);       /* it may stand in a frame that a lost end of ST's protocol hid */
        last = OTHER;
        return 1;
    }
    if (byte >= 1 && byte <= 32 && !(last == DELIMITER && byte <= 3)) tv_stm_start();
    return 0;
}

/* The receiver sees every byte, those of the other protocols too: a valid frame ends them, so that a host that speaks ours gets
 * through whatever state another left the board in. No image holds a frame with a right CRC by chance. */
void tv_main_step(int byte)
{
    if (byte < 0) {
        tv_receiver_start(&receiver);
        last = OTHER;
        tv_student_silent();
        tv_stm_silent();
        tv_line_silent();
        return;
    }
    if (routed((uint8_t)byte)) return;
    const int student = tv_student_active(), stm = tv_stm_active(), after_stm = last == END_OF_STM;
    last = byte == 0 ? DELIMITER : OTHER;
    const tv_event event = tv_receiver_push(&receiver, (uint8_t)byte);
    if (event == TV_FRAME) {
        tv_student_stop();
        tv_stm_stop();
        tv_answer(&receiver);
    } else if (student) {
        tv_student_push((uint8_t)byte);
    } else if (stm) {
        if (tv_stm_push((uint8_t)byte)) last = END_OF_STM;
    } else if (event == TV_DAMAGED && !after_stm) {
        tv_report_damage();
    }
}

#ifndef TV_HOST
int main(void)
{
    tv_main_start();
    for (;;) tv_main_step(tv_getc(SILENCE_US));
}
#endif
