/* Applications written for X-CUBE-AI include this name; what they need of it stands in ai_platform.h. There is no observer of ST's kind:
 * the network's own calls (NAME_tinyvgg.h) take one, a function that is called after each layer. */
#ifndef AI_PLATFORM_INTERFACE_H
#define AI_PLATFORM_INTERFACE_H

#include "ai_platform.h"

#endif
