/* The client types of X-CUBE-AI's legacy API, for applications that were written for it. tinyvgg's own, not ST's: the names,
 * numbers and layouts are those of the public interface (ai_platform.h of X-CUBE-AI 8), the text is not. */
#ifndef AI_PLATFORM_H
#define AI_PLATFORM_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#define AI_PLATFORM_API_MAJOR 1
#define AI_PLATFORM_API_MINOR 2
#define AI_PLATFORM_API_MICRO 0

#ifdef __cplusplus
#define AI_API_DECLARE_BEGIN extern "C" {
#define AI_API_DECLARE_END }
#else
#define AI_API_DECLARE_BEGIN
#define AI_API_DECLARE_END
#endif
#define AI_API_ENTRY
#define AI_UNUSED(x) (void)(x);
#if defined(__GNUC__)
#define AI_ALIGNED(n) __attribute__((aligned(n)))
#else
#define AI_ALIGNED(n)
#endif

/* --- numbers and handles --- */
typedef int8_t ai_i8;
typedef uint8_t ai_u8;
typedef int16_t ai_i16;
typedef uint16_t ai_u16;
typedef int32_t ai_i32;
typedef uint32_t ai_u32;
typedef int64_t ai_i64;
typedef uint64_t ai_u64;
typedef float ai_float;
typedef double ai_double;
typedef uint32_t ai_size;
typedef uint32_t ai_signature;
typedef uint32_t ai_flags;
typedef uint64_t ai_macc;
typedef bool ai_bool;
typedef void *ai_handle;
typedef ai_u8 *ai_ptr;

#define AI_HANDLE_NULL ((ai_handle)0)
#define AI_HANDLE_PTR(x) ((ai_handle)(x))
#define AI_PTR(x) ((ai_ptr)(x))
#define AI_SIZE(x) ((ai_size)(x))
#define AI_MAGIC_MARKER 0xA1FACADEu

/* --- errors --- */
typedef struct {
    ai_u32 type : 8;
    ai_u32 code : 24;
} ai_error;

typedef enum {
    AI_ERROR_NONE = 0x00, AI_ERROR_TOOL_PLATFORM_API_MISMATCH = 0x01, AI_ERROR_TYPES_MISMATCH = 0x02, AI_ERROR_INVALID_HANDLE = 0x10,
    AI_ERROR_INVALID_STATE = 0x11, AI_ERROR_INVALID_INPUT = 0x12, AI_ERROR_INVALID_OUTPUT = 0x13, AI_ERROR_INVALID_PARAM = 0x14,
    AI_ERROR_INVALID_SIGNATURE = 0x15, AI_ERROR_INVALID_SIZE = 0x16, AI_ERROR_INVALID_VALUE = 0x17, AI_ERROR_INIT_FAILED = 0x30,
    AI_ERROR_ALLOCATION_FAILED = 0x31, AI_ERROR_DEALLOCATION_FAILED = 0x32, AI_ERROR_CREATE_FAILED = 0x33
} ai_error_type;

typedef enum {
    AI_ERROR_CODE_NONE = 0x00, AI_ERROR_CODE_NETWORK = 0x10, AI_ERROR_CODE_NETWORK_PARAMS = 0x11, AI_ERROR_CODE_NETWORK_WEIGHTS = 0x12,
    AI_ERROR_CODE_NETWORK_ACTIVATIONS = 0x13, AI_ERROR_CODE_LAYER = 0x14, AI_ERROR_CODE_LOCK = 0x41
} ai_error_code;

/* --- buffers: format = float bit 24, sign bit 23, type bits 17..20, bits << 7, fraction bits + 64 --- */
typedef ai_i32 ai_buffer_format;

#define AI_BUFFER_FMT_TYPE_NONE 0
#define AI_BUFFER_FMT_TYPE_FLOAT 1
#define AI_BUFFER_FMT_TYPE_Q 2
#define AI_BUFFER_FMT_TYPE_BOOL 3
#define AI_BUFFER_FMT_FLAG_CONST (0x1 << 30)
#define AI_BUFFER_FMT_FLAG_IS_IO (0x1 << 27)
#define AI_BUFFER_FMT_SET(type, sign, is_float, bits, fraction) \
    (((is_float) << 24) | ((sign) << 23) | ((type) << 17) | ((bits) << 7) | ((fraction) + 64))
#define AI_BUFFER_FMT_GET_TYPE(format) (((format) >> 17) & 0xF)
#define AI_BUFFER_FMT_GET_BITS(format) (((format) >> 7) & 0x7F)
#define AI_BUFFER_FMT_GET_SIGN(format) (((format) >> 23) & 0x1)
#define AI_BUFFER_FMT_GET_FLOAT(format) (((format) >> 24) & 0x1)
#define AI_BUFFER_FMT_GET_FBITS(format) (((format) & 0x7F) - 64)
#define AI_BUFFER_FORMAT(buffer) ((buffer)->format)

enum {
    AI_BUFFER_FORMAT_NONE = AI_BUFFER_FMT_SET(AI_BUFFER_FMT_TYPE_NONE, 0, 0, 0, 0),
    AI_BUFFER_FORMAT_FLOAT = AI_BUFFER_FMT_SET(AI_BUFFER_FMT_TYPE_FLOAT, 1, 1, 32, 0),
    AI_BUFFER_FORMAT_U8 = AI_BUFFER_FMT_SET(AI_BUFFER_FMT_TYPE_Q, 0, 0, 8, 0),
    AI_BUFFER_FORMAT_S8 = AI_BUFFER_FMT_SET(AI_BUFFER_FMT_TYPE_Q, 1, 0, 8, 0)
};

#define AI_FLAG_NONE 0x0u
#define AI_SHAPE_BCWH 0x01u
#define AI_SHAPE_BATCH 0x0
#define AI_SHAPE_CHANNEL 0x1
#define AI_SHAPE_WIDTH 0x2
#define AI_SHAPE_HEIGHT 0x3

typedef struct {
    ai_u32 type : 8;
    ai_u32 size : 24;
    ai_u32 *data;
} ai_buffer_shape;

typedef struct {
    ai_u32 flags;
    void *intq_info;
} ai_buffer_meta_info;

typedef struct {
    ai_buffer_format format;
    ai_handle data;
    ai_buffer_meta_info *meta_info;
    ai_flags flags;
    ai_size size;                        /* elements */
    ai_buffer_shape shape;
} ai_buffer;

typedef struct {
    ai_u16 flags;
    ai_u16 size;
    ai_buffer *buffer;
} ai_buffer_array;

#define AI_BUFFER_SHAPE_INIT(kind, count, ...) { .type = (kind), .size = (count), .data = (ai_u32[]){ __VA_ARGS__ } }
#define AI_BUFFER_SHAPE_ELEM(buffer, axis) ((buffer)->shape.data[axis])
#define AI_BUFFER_SHAPE_SIZE(buffer) ((buffer)->shape.size)
#define AI_BUFFER_INIT(flags_, format_, shape_, size_, meta_, data_) \
    { .format = (ai_buffer_format)(format_), .data = (ai_handle)(data_), .meta_info = (meta_), .flags = (flags_), .size = (size_), .shape = shape_ }
#define AI_BUFFER_NULL(data_) AI_BUFFER_INIT(AI_FLAG_NONE, AI_BUFFER_FORMAT_NONE, AI_BUFFER_SHAPE_INIT(AI_SHAPE_BCWH, 4, 0, 0, 0, 0), 0, NULL, data_)
#define AI_BUFFER_DATA(buffer, type) ((type *)((buffer)->data))
#define AI_BUFFER_SIZE(buffer) ((buffer)->size)
#define AI_BUFFER_BITS(buffer) AI_BUFFER_FMT_GET_BITS((buffer)->format)
#define AI_BUFFER_BYTE_SIZE(count, format) (((count) * (ai_size)AI_BUFFER_FMT_GET_BITS(format) + 7u) >> 3)

/* --- networks --- */
typedef struct {
    ai_buffer params;                    /* the generated weights are constants: what stands here is not read */
    ai_buffer activations;
    ai_signature map_signature;
    ai_buffer_array map_weights;
    ai_buffer_array map_activations;     /* instead of `activations`, where it is set */
} ai_network_params;

#define AI_NETWORK_PARAMS_INIT(weights_, activations_) { .params = weights_, .activations = activations_ }

typedef struct {
    ai_u8 major, minor, micro, reserved;
} ai_platform_version;

typedef struct {
    const char *model_name;
    const char *model_signature;
    const char *model_datetime;
    const char *compile_datetime;
    const char *runtime_revision;
    ai_platform_version runtime_version;
    const char *tool_revision;
    ai_platform_version tool_version;
    ai_platform_version tool_api_version;
    ai_platform_version api_version;
    ai_platform_version interface_api_version;
    ai_macc n_macc;
    ai_u16 n_inputs;
    ai_u16 n_outputs;
    ai_buffer *inputs;
    ai_buffer *outputs;
    ai_buffer params;
    ai_buffer activations;
    ai_buffer_array map_weights;
    ai_buffer_array map_activations;
    ai_u32 n_nodes;
    ai_signature signature;
} ai_network_report;

#endif
