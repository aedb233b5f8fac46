/* What a TZif file ends with: the rule for all later years, as POSIX's TZ (and RFC 8536, 3.3.1). */
#ifndef ASOFS_RENDER_ZONERULE_H
#define ASOFS_RENDER_ZONERULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zonerule_date {
    char kind; /* J: day 1 to 365, without February 29th; M: month, week, day; 0: day 0 to 365 */
    int day, week, month;
    int32_t time; /* seconds after midnight, of that day's local time */
};

struct zonerule {
    int32_t standard, summer; /* seconds east */
    bool has_summer;
    struct zonerule_date begin, end; /* of summer time */
};

/* The text of the rule, n bytes. False: it is none. */
bool render_zonerule_parse(const char *text, size_t n, struct zonerule *r);

/* Seconds since 1970 when summer time begins and ends in a year. False: it does not. */
bool render_zonerule_year(const struct zonerule *r, int64_t year, int64_t *begin, int64_t *end);

#endif
