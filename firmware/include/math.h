/* What the Cortex-M4's FPU does in one instruction, and the two that the compiler's runtime library brings. */
#ifndef TV_MATH_H
#define TV_MATH_H
static inline float sqrtf(float x) { return __builtin_sqrtf(x); }
static inline float fabsf(float x) { return __builtin_fabsf(x); }
float expf(float x);
float floorf(float x);
#endif
