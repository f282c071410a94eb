/* What an application written for X-CUBE-AI defines, and its main() calls; where the project has a header of this name, that one. */
#if defined(__has_include_next)
#if __has_include_next("app_x-cube-ai.h")
#define TV_APP_HEADER_OF_THE_PROJECT
#endif
#endif
#ifdef TV_APP_HEADER_OF_THE_PROJECT
#pragma GCC system_header
#include_next "app_x-cube-ai.h"
#else
#ifndef APP_X_CUBE_AI_H
#define APP_X_CUBE_AI_H

#include "ai_platform.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MIN_HEAP_SIZE 0x800
#define MIN_STACK_SIZE 0x800
#define AI_MNETWORK_NUMBER (1U)

void MX_X_CUBE_AI_Init(void);            /* once, after the peripherals are set up */
void MX_X_CUBE_AI_Process(void);         /* in the main loop */

#ifdef __cplusplus
}
#endif

#endif

#endif
