/* Applications written for X-CUBE-AI include this name; all that they need of it stands in ai_platform.h. */
#ifndef AI_DATATYPES_DEFINES_H
#define AI_DATATYPES_DEFINES_H

#include "ai_platform.h"

#endif
