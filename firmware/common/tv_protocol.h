/* The tinyvgg protocol, device side. docs/protocol-tinyvgg.md is its specification. */
#ifndef TV_PROTOCOL_H
#define TV_PROTOCOL_H

#include "tv_app.h"

#define TV_PROTOCOL_VERSION 1
#define TV_HEADER_BYTES 12
#define TV_SMALL_BYTES 512       /* the largest payload of a frame that carries no image */

enum {                           /* requests; an answer is the request with bit 7 set */
    TV_HELLO = 0x01, TV_ECHO = 0x02, TV_SET_BAUD = 0x03, TV_USAGE = 0x04, TV_PROFILE = 0x05, TV_CALL = 0x06, TV_RESET = 0x07,
    TV_INFER = 0x10,             /* + TV_U8, TV_I8 or TV_F32 */
    TV_READ = 0x20, TV_WRITE = 0x21, TV_CRC = 0x22,
    TV_ANSWER = 0x80, TV_ACCEPTED = 0xFD, TV_FAULT = 0xFE, TV_ERROR = 0xFF
};

enum {                           /* errors by name: tinyvgg/board/protocol.py has the same table */
    TV_ERROR_DAMAGED = 1, TV_ERROR_VERSION = 2, TV_ERROR_REQUEST = 3, TV_ERROR_LENGTH = 4, TV_ERROR_INPUT_TYPE = 5,
    TV_ERROR_NETWORK = 6, TV_ERROR_ADDRESS = 7, TV_ERROR_DISABLED = 8, TV_ERROR_BAUD = 9, TV_ERROR_FUNCTION = 10,
    TV_ERROR_HARMED = 11
};

typedef struct {                 /* little endian on the wire, as in the core */
    uint8_t version, type;
    uint16_t reserved;           /* 0: so the first COBS code of a request is 3, and no frame opens with 0xAB */
    uint32_t sequence;
    uint32_t length;             /* of the payload */
} tv_header;

typedef enum { TV_NOTHING, TV_FRAME, TV_DAMAGED } tv_event;

/* Take the frame bytes as they come; the payload goes straight to where `sink` says, so an image needs no second buffer. */
typedef struct tv_receiver {
    uint8_t *(*sink)(const tv_header *header);   /* where header->length bytes may be written; NULL: count them, keep none */
    union { tv_header fields; uint8_t bytes[TV_HEADER_BYTES]; } header;
    uint8_t *payload;
    uint32_t position;           /* decoded bytes so far */
    uint32_t crc;                /* CRC-32 register over them */
    uint8_t left, code;          /* COBS: data bytes left in this block, and its code (0: none yet) */
    uint8_t broken;              /* wait for the next 0x00 */
} tv_receiver;

void tv_receiver_start(tv_receiver *receiver);           /* forget a frame that was begun; `sink` stays */
tv_event tv_receiver_push(tv_receiver *receiver, uint8_t byte);
int tv_receiver_between_frames(const tv_receiver *receiver);

/* CRC-32 of zlib and Ethernet (reflected 0xEDB88320). Start with TV_CRC_START; the CRC is the complement of the register. */
#define TV_CRC_START 0xFFFFFFFFu
#define TV_CRC_RESIDUE 0xDEBB20E3u       /* the register after data followed by its own CRC, low byte first */
uint32_t tv_crc32(uint32_t crc, const uint8_t *data, uint32_t count);

uint32_t tv_text_bytes(const char *text, uint32_t most);  /* its length, at most `most` */
void tv_send_frame(uint8_t type, uint32_t sequence, const uint8_t *payload, uint32_t count);

uint8_t *tv_request_sink(const tv_header *header);       /* for requests while our protocol is spoken */
uint8_t *tv_request_sink_small(const tv_header *header); /* the same without images, while a student image is under way */
void tv_answer(const tv_receiver *receiver);
void tv_report_damage(void);
void tv_line_silent(void);                               /* nothing was received for half a second */
extern uint32_t tv_last_sequence, tv_damaged_frames;

/* The student project's protocol (docs/protocol-student.md). */
#define TV_STUDENT_SYNC 0xAB
#define TV_STUDENT_ACKNOWLEDGE 0xCD
int tv_student_active(void);
void tv_student_start(void);                             /* 0xAB was read between frames */
void tv_student_stop(void);
void tv_student_silent(void);                            /* nothing was received for half a second */
void tv_student_push(uint8_t byte);

/* ST's protocol (docs/protocol-stm.md). */
int tv_stm_active(void);                                 /* in the middle of a message */
int tv_stm_takes(uint8_t byte);                          /* whether a byte can be the next one: a packet begins with 1..32 */
void tv_stm_start(void);
void tv_stm_stop(void);
void tv_stm_silent(void);                                /* nothing was received for half a second */
int tv_stm_push(uint8_t byte);                           /* whether it ended a right message, which was answered */

extern uint32_t tv_output[TV_OUTPUT_BYTES / 4];          /* the raw outputs of the last inference, in whatever protocol */

/* The main loop's body, apart so that the tests can run it on the host: a byte, or -1 after half a second without one. */
void tv_main_start(void);
void tv_main_step(int byte);

#endif
