/* The client types of the st-ai API (X-CUBE-AI 10, ST Edge AI Core), for applications that were written for it. tinyvgg's own, not ST's: the
 * names, numbers and layouts are those of the public interface (stai.h 1.0), the text is not. */
#ifndef STAI_H
#define STAI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAI_API_VERSION_MAJOR 1
#define STAI_API_VERSION_MINOR 0
#define STAI_API_VERSION_MICRO 0

#ifdef __cplusplus
#define STAI_API_DECLARE_BEGIN extern "C" {
#define STAI_API_DECLARE_END }
#else
#define STAI_API_DECLARE_BEGIN
#define STAI_API_DECLARE_END
#endif
#define STAI_API_ENTRY
#define STAI_UNUSED(x) (void)(x);
#if defined(__GNUC__)
#define STAI_ALIGNED(n) __attribute__((aligned(n)))
#else
#define STAI_ALIGNED(n)
#endif
#define STAI_NETWORK_CONTEXT_DECLARE(name, size) STAI_ALIGNED(8) stai_network name[size] = { 0 };

/* --- formats: sign bit 23, type bits 17..20, bits << 7, fraction bits + 64 --- */
typedef enum {
    STAI_FORMAT_TYPE_NONE = 0, STAI_FORMAT_TYPE_FLOAT = 1, STAI_FORMAT_TYPE_Q = 2, STAI_FORMAT_TYPE_BOOL = 3
} stai_format_type;
typedef enum {
    STAI_FORMAT_NONE = 0x00000040, STAI_FORMAT_FLOAT32 = 0x00821040, STAI_FORMAT_FLOAT64 = 0x00822040, STAI_FORMAT_U1 = 0x000400c0,
    STAI_FORMAT_U8 = 0x00040440, STAI_FORMAT_U16 = 0x00040840, STAI_FORMAT_U32 = 0x00041040, STAI_FORMAT_S1 = 0x008400c0,
    STAI_FORMAT_S8 = 0x00840440, STAI_FORMAT_S16 = 0x00840840, STAI_FORMAT_S32 = 0x00841040, STAI_FORMAT_Q7 = 0x00840447,
    STAI_FORMAT_Q15 = 0x0084084f, STAI_FORMAT_BOOL = 0x00060440
} stai_format;
#define STAI_FORMAT_GET_TYPE(format) (((format) >> 17) & 0xF)
#define STAI_FORMAT_GET_SIGN(format) (((format) >> 23) & 0x1)
#define STAI_FORMAT_GET_BITS(format) (((format) >> 7) & 0x7F)
#define STAI_FORMAT_GET_FBITS(format) (((format) & 0x7F) - 64)

/* --- flags, states --- */
#define STAI_FLAG_NONE 0x0
#define STAI_FLAG_PREALLOCATED (0x1 << 0)
#define STAI_FLAG_INDIRECT (0x1 << 1)
#define STAI_FLAG_REPLACEABLE (0x1 << 2)
#define STAI_FLAG_OVERRIDE (0x1 << 3)
#define STAI_FLAG_CHANNEL_FIRST (0x1 << 6)
#define STAI_FLAG_CHANNEL_LAST (0x1 << 7)
#define STAI_FLAG_HAS_BATCH (0x1 << 8)
#define STAI_FLAG_ACTIVATIONS (0x1 << 26)
#define STAI_FLAG_INPUTS (0x1 << 27)
#define STAI_FLAG_OUTPUTS (0x1 << 28)
#define STAI_FLAG_STATES (0x1 << 29)
#define STAI_FLAG_WEIGHTS (0x1 << 30)

typedef enum {
    STAI_SUCCESS = 0, STAI_RUNNING_NO_WFE = 0x10, STAI_RUNNING_WFE = 0x11, STAI_DONE = 0x12, STAI_ERROR_GENERIC = 0x020000,
    STAI_ERROR_NETWORK_INVALID_API_ARGUMENTS = 0x020001, STAI_ERROR_NETWORK_INVALID_CONTEXT_HANDLE = 0x030000,
    STAI_ERROR_NETWORK_INVALID_CONTEXT_SIZE = 0x030001, STAI_ERROR_NETWORK_INVALID_CONTEXT_ALIGNMENT = 0x030002,
    STAI_ERROR_NETWORK_INVALID_INFO = 0x030010, STAI_ERROR_NETWORK_INVALID_RUN = 0x030020, STAI_ERROR_NETWORK_INVALID_RUNTIME = 0x030030,
    STAI_ERROR_NETWORK_INVALID_ACTIVATIONS_PTR = 0x040000, STAI_ERROR_NETWORK_INVALID_ACTIVATIONS_NUM = 0x040001,
    STAI_ERROR_NETWORK_INVALID_IN_PTR = 0x040010, STAI_ERROR_NETWORK_INVALID_IN_NUM = 0x040011,
    STAI_ERROR_NETWORK_INVALID_OUT_PTR = 0x040020, STAI_ERROR_NETWORK_INVALID_OUT_NUM = 0x040021,
    STAI_ERROR_NETWORK_INVALID_STATES_PTR = 0x040030, STAI_ERROR_NETWORK_INVALID_STATES_NUM = 0x040031,
    STAI_ERROR_NETWORK_INVALID_WEIGHTS_PTR = 0x040040, STAI_ERROR_NETWORK_INVALID_WEIGHTS_NUM = 0x040041,
    STAI_ERROR_NETWORK_INVALID_CALLBACK = 0x040050, STAI_ERROR_NOT_IMPLEMENTED = 0x040060, STAI_ERROR_INVALID_BUFFER_ALIGNMENT = 0x040070,
    STAI_ERROR_NETWORK_STILL_RUNNING = 0x050000, STAI_ERROR_STAI_INIT_FAILED = 0x060000, STAI_ERROR_STAI_DEINIT_FAILED = 0x060001
} stai_return_code;
typedef enum { STAI_MODE_SYNC = 1, STAI_MODE_ASYNC = 2 } stai_run_mode;

/* --- data --- */
typedef int32_t stai_flags;
typedef uint8_t stai_network;            /* an application has an array of them, STAI_NAME_CONTEXT_SIZE long */
typedef uint8_t *stai_ptr;
typedef uint32_t stai_size;
typedef struct { stai_size size; const float *data; } stai_array_f32;
typedef struct { stai_size size; const int16_t *data; } stai_array_s16;
typedef struct { stai_size size; const int32_t *data; } stai_array_s32;
typedef stai_array_s32 stai_shape;
typedef struct { uint8_t major, minor, micro, reserved; } stai_version;
typedef struct {
    stai_size size_bytes;
    stai_flags flags;
    stai_format format;
    stai_shape shape;
    stai_array_f32 scale;                /* empty: no tensor of ours is quantised */
    stai_array_s16 zeropoint;
    const char *name;
} stai_tensor;
typedef struct {
    const char *model_signature, *c_compile_datetime, *c_model_name, *c_model_datetime;
    uint32_t c_model_signature;
    stai_version runtime_version, tool_version, api_version;
    uint64_t n_macc;
    uint32_t n_nodes;
    stai_flags flags;
    uint16_t n_inputs, n_outputs, n_activations, n_weights, n_states;
    stai_tensor *inputs, *outputs, *activations, *weights, *states;
} stai_network_info;
typedef enum { STAI_COMPILER_ID_NONE = 0, STAI_COMPILER_ID_GCC = 1 } stai_compiler_id;
typedef struct {
    stai_version runtime_version, tool_version;
    uint32_t runtime_build;
    stai_compiler_id compiler_id;
    const char *compiler_desc;
} stai_runtime_info;
#define STAI_EVENT_NONE 0x00
typedef int32_t stai_event_type;
typedef void (*stai_event_cb)(void *cookie, const stai_event_type type, const void *payload);

/* There is no runtime to set up: these succeed. */
static inline stai_return_code stai_runtime_init(void) { return STAI_SUCCESS; }
static inline stai_return_code stai_runtime_deinit(void) { return STAI_SUCCESS; }

#endif
