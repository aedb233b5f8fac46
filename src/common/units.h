/* Sizes and durations as people write them. */
#ifndef ASOFS_COMMON_UNITS_H
#define ASOFS_COMMON_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* "4096", "8kB", "256MiB", "1G", "1.5GB": units of 1024, letter case ignored. 0 or -EINVAL/-ERANGE.
 */
int units_parse_size(const char *text, uint64_t *bytes);

/* "10", "10s", "500ms", "5min", "2h", "1d": default unit seconds. Result in ms. 0 or
 * -EINVAL/-ERANGE. */
int units_parse_duration(const char *text, int64_t *ms);

/* "0", "512", "1.2 KiB", "34 MiB"; returns out. */
const char *units_format_size(uint64_t bytes, char *out, size_t room);

/* "0:07", "12:34", "1:02:03"; returns out. */
const char *units_format_seconds(int64_t seconds, char *out, size_t room);

/* What makes a regular noun after a number a plural: "s", or "" for one. */
static inline const char *units_s(uint64_t n)
{
    return n == 1 ? "" : "s";
}

#endif
