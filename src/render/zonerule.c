#include "render/zonerule.h"

#include <string.h>

/* The rest of the text; s == end: nothing is left. */
struct reader {
    const char *s, *end;
};

static bool take_char(struct reader *r, char c)
{
    if (r->s == r->end || *r->s != c)
        return false;
    r->s++;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* CET or <+03> */
static bool take_name(struct reader *r)
{
    const char *from = r->s;

    if (take_char(r, '<')) {
        while (r->s < r->end && *r->s != '>')
            r->s++;
        return take_char(r, '>');
    }
    while (r->s < r->end && is_letter(*r->s))
        r->s++;
    return r->s > from;
}

static bool take_number(struct reader *r, int min, int max, int *v)
{
    const char *from = r->s;

    for (*v = 0; r->s < r->end && *r->s >= '0' && *r->s <= '9'; r->s++) {
        *v = *v * 10 + (*r->s - '0');
        if (*v > max)
            return false;
    }
    return r->s > from && *v >= min;
}

/* [+-]hh[:mm[:ss]], at most a week */
static bool take_time(struct reader *r, int32_t *seconds)
{
    bool negative = take_char(r, '-');
    int h, m = 0, s = 0;

    if (!negative)
        take_char(r, '+');
    if (!take_number(r, 0, 167, &h))
        return false;
    if (take_char(r, ':') && !take_number(r, 0, 59, &m))
        return false;
    if (take_char(r, ':') && !take_number(r, 0, 60, &s))
        return false;
    *seconds = (h * 60 + m) * 60 + s;
    if (negative)
        *seconds = -*seconds;
    return true;
}

/* ,M3.2.0/2 or ,J60 or ,59 */
static bool take_date(struct reader *r, struct zonerule_date *d)
{
    bool good;

    if (!take_char(r, ','))
        return false;
    if (take_char(r, 'M')) {
        d->kind = 'M';
        good = take_number(r, 1, 12, &d->month) && take_char(r, '.') &&
               take_number(r, 1, 5, &d->week) && take_char(r, '.') && take_number(r, 0, 6, &d->day);
    } else {
        d->kind = take_char(r, 'J') ? 'J' : '0';
        good = take_number(r, d->kind == 'J', 365, &d->day);
    }
    d->time = 7200;
    return good && (!take_char(r, '/') || take_time(r, &d->time));
}

bool render_zonerule_parse(const char *text, size_t n, struct zonerule *rule)
{
    struct reader r = {.s = text, .end = text + n};

    *rule = (struct zonerule){0};
    if (!take_name(&r) || !take_time(&r, &rule->standard))
        return false;
    rule->standard = -rule->standard; /* west there */
    if (r.s == r.end)
        return true;
    rule->has_summer = true;
    rule->summer = rule->standard + 3600;
    if (!take_name(&r))
        return false;
    if (r.s < r.end && *r.s != ',') {
        if (!take_time(&r, &rule->summer))
            return false;
        rule->summer = -rule->summer;
    }
    return take_date(&r, &rule->begin) && take_date(&r, &rule->end) && r.s == r.end;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* From 1970-01-01 to January 1st of a year since then. */
static int64_t days_before_year(int64_t year)
{
    int64_t y = year - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

/* The day of the year, from 0, that the week-th `day` (0: Sunday) of a month is; the fifth is
 * the last. */
static int find_weekday(const struct zonerule_date *d, int64_t year, int64_t first_day)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int leap = is_leap(year);
    int from = before[d->month - 1] + (d->month > 2 ? leap : 0);
    int to = before[d->month] + (d->month >= 2 ? leap : 0);
    int weekday = (int)((first_day + from + 4) % 7); /* 1970-01-01 was a Thursday */
    int at = from + (d->day - weekday + 7) % 7 + 7 * (d->week - 1);

    while (at >= to)
        at -= 7;
    return at;
}

static int64_t find_moment(const struct zonerule_date *d, int64_t year, int32_t east)
{
    int64_t first_day = days_before_year(year);
    int day = d->day;

    if (d->kind == 'M')
        day = find_weekday(d, year, first_day);
    else if (d->kind == 'J')
        day -= is_leap(year) && day >= 60 ? 0 : 1;
    return (first_day + day) * 86400 + d->time - east;
}

bool render_zonerule_year(const struct zonerule *r, int64_t year, int64_t *begin, int64_t *end)
{
    int64_t all = is_leap(year) ? 366 * 86400 : 365 * 86400;

    if (!r->has_summer)
        return false;
    *begin = find_moment(&r->begin, year, r->standard);
    *end = find_moment(&r->end, year, r->summer);
    return *begin > *end || (*begin < *end && *end - *begin < all + r->summer - r->standard);
}
