/* main(): bytes from the line go to whichever of the two protocols they belong to. */
#include "tv_port.h"
#include "tv_protocol.h"

#define SILENCE_US 500000u
#define ARENA_PAINT 0xA5u

static tv_receiver receiver;

static uint8_t *sink(const tv_header *header)
{
    return tv_student_active() ? tv_request_sink_small(header) : tv_request_sink(header);
}

void tv_main_start(void)
{
    for (uint32_t i = 0; i < tv_app.arena_bytes; i++) tv_app.arena[i] = ARENA_PAINT;
    receiver.sink = sink;
    tv_receiver_start(&receiver);
    tv_student_stop();
    tv_app_init();
}

/* The receiver sees every byte, a student image's too: a valid frame ends the student protocol, so that a host that speaks
 * ours gets through whatever state another left the board in. No image holds a frame with a right CRC by chance. */
void tv_main_step(int byte)
{
    if (byte < 0) {
        tv_receiver_start(&receiver);
        tv_student_silent();
        tv_line_silent();
        return;
    }
    int student = tv_student_active();
    if (!student && byte == TV_STUDENT_SYNC && tv_receiver_between_frames(&receiver)) {
        tv_student_start();
        return;
    }
    tv_event event = tv_receiver_push(&receiver, (uint8_t)byte);
    if (event == TV_FRAME) {
        tv_student_stop();
        tv_answer(&receiver);
    } else if (student) {
        tv_student_push((uint8_t)byte);
    } else if (event == TV_DAMAGED) {
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
