/* The two functions of <string.h> that a bare-metal program cannot avoid; the compiler's runtime library has them. */
#ifndef TV_STRING_H
#define TV_STRING_H
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memset(void *to, int byte, size_t count);
void *memmove(void *to, const void *from, size_t count);
int memcmp(const void *a, const void *b, size_t count);
#endif
