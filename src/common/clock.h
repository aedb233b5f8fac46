/* Monotonic milliseconds; never goes back, counts from an arbitrary point. */
#ifndef ASOFS_COMMON_CLOCK_H
#define ASOFS_COMMON_CLOCK_H

#include <stdint.h>

int64_t clock_ms(void);

#endif
