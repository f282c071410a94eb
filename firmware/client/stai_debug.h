/* Applications written for the st-ai API include this name; all that they need of it stands in stai.h. */
#ifndef STAI_DEBUG_H
#define STAI_DEBUG_H

#include "stai.h"

#endif
