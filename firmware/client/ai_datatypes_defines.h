/* Applications written for X-CUBE-AI include this name; all that they need of it stands in ai_platform.h, and here. */
#ifndef AI_DATATYPES_DEFINES_H
#define AI_DATATYPES_DEFINES_H

#include "ai_platform.h"

#ifndef AI_MIN
#define AI_MIN(a, b) ((a) < (b) ? (a) : (b))
#endif
#ifndef AI_MAX
#define AI_MAX(a, b) ((a) > (b) ? (a) : (b))
#endif
#ifndef AI_CLAMP
#define AI_CLAMP(x, low, high) AI_MIN(AI_MAX(x, low), high)
#endif

#endif
