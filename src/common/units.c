#include "common/units.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit size_units[] = {
    {"", 1},         {"B", 1},       {"k", 1024.0},   {"kB", 1024.0},  {"KiB", 1024.0},
    {"M", 0x1p20},   {"MB", 0x1p20}, {"MiB", 0x1p20}, {"G", 0x1p30},   {"GB", 0x1p30},
    {"GiB", 0x1p30}, {"T", 0x1p40},  {"TB", 0x1p40},  {"TiB", 0x1p40}, {NULL, 0},
};

static const struct unit time_units[] = {
    {"", 1000},   {"ms", 1},      {"s", 1000},     {"sec", 1000}, {"min", 60000},
    {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
};

static int parse_amount(const char *text, const struct unit *units, double limit, double *value)
{
    char *end;
    double v;

    if (!isdigit((unsigned char)text[0]))
        return -EINVAL; /* no sign, no "inf", no leading space */
    if (text[0] == '0' && tolower((unsigned char)text[1]) == 'x')
        return -EINVAL;
    v = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (; units->name; units++) {
        if (strcasecmp(units->name, end) == 0) {
            v *= units->factor;
            if (v > limit)
                return -ERANGE;
            *value = (double)(uint64_t)v; /* whole bytes or milliseconds */
            return 0;
        }
    }
    return -EINVAL;
}

int units_parse_size(const char *text, uint64_t *bytes)
{
    double v;
    int rc = parse_amount(text, size_units, 0x1p62, &v);

    if (rc == 0)
        *bytes = (uint64_t)v;
    return rc;
}

int units_parse_duration(const char *text, int64_t *ms)
{
    double v;
    int rc =
        parse_amount(text, time_units, 2147483647.0, &v); /* the server's time-outs are int ms */

    if (rc == 0)
        *ms = (int64_t)v;
    return rc;
}

const char *units_format_size(uint64_t bytes, char *out, size_t room)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    int i = 0;

    while (v >= 1023.5 && i < 5) {
        v /= 1024;
        i++;
    }
    snprintf(out, room, v < 99.95 && i > 0 ? "%.1f %s" : "%.0f %s", v, names[i]);
    return out;
}

const char *units_format_seconds(int64_t s, char *out, size_t room)
{
    if (s >= 3600)
        snprintf(out, room, "%lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60),
                 (int)(s % 60));
    else
        snprintf(out, room, "%d:%02d", (int)(s / 60), (int)(s % 60));
    return out;
}
