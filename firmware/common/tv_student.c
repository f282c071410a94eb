/* The student project's protocol, as its host script and its firmware speak it: docs/protocol-student.md. */
#include "tv_port.h"
#include "tv_protocol.h"

static enum { OFF, SECOND_BYTE, IMAGE } state;
static uint32_t position;

int tv_student_active(void) { return state != OFF; }
void tv_student_start(void) { state = tv_app.input_types & TV_ACCEPTS(TV_F32) ? SECOND_BYTE : OFF; }
void tv_student_stop(void) { state = OFF; position = 0; }

/* An image that was begun and not ended is given up, so that a host which died can begin anew; between images, as the original
 * does, this waits for ever. */
void tv_student_silent(void)
{
    if (position) tv_student_stop();
}

static void answer(void)
{
    uint8_t scores[TV_OUTPUT_BYTES] = {0};
    tv_led(1);
    if (tv_app_infer(TV_F32, tv_output) == 0) tv_app_scores(tv_output, scores);
    tv_led(0);
    for (uint32_t i = 0; i < tv_app.output_count && i < sizeof scores; i++) tv_putc(scores[i]);
}

void tv_student_push(uint8_t byte)
{
    if (state == SECOND_BYTE) {              /* the original reads two bytes and looks at the first only */
        tv_putc(TV_STUDENT_ACKNOWLEDGE);
        tv_putc(0);
        state = IMAGE;
        position = 0;
        return;
    }
    ((uint8_t *)tv_app_input(TV_F32))[position++] = byte;
    if (position == 4 * tv_app.input_count) {
        position = 0;
        answer();
    }
}
