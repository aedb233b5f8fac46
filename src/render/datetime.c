/*
 * date, time, timestamp, with time zone or not, and interval: DateStyle ISO, IntervalStyle
 * postgres. Days and microseconds count from 2000-01-01 (datetime.c, timestamp.c, date.c). The year
 * 0 is 1 BC.
 */
#include <stdbool.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/work.h"
#include "render/zone.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

/* The first and, excluded, the last: 4714-11-24 BC, 5874898-01-01, 294277-01-01. */
#define DATE_FIRST (-2451545)
#define DATE_END 2145031949
#define TIMESTAMP_FIRST (-2451545 * DAY)
#define TIMESTAMP_END (106751983 * DAY)

/* Days and moments whose year has four digits, with a day left for the time zone. */
#define DAY_0001 (-730119) /* 0001-01-01 */
#define DAY_10000 2921940  /* 10000-01-01 */
#define MOMENT_SHORT_FIRST ((DAY_0001 + 8) * DAY)
#define MOMENT_SHORT_END ((DAY_10000 - 8) * DAY)

#define UNIX_EPOCH 946684800 /* seconds from 1970 to 2000 */
#define DATETIME_MAX 64      /* bytes of the longest text, interval apart */
#define INTERVAL_MAX 128

struct day {
    int64_t year;
    unsigned month, day;
};

/* Civil from days, in cycles of 400 years that begin on March 1st. */
static inline struct day civil_day(int64_t days)
{
    int64_t shifted = days + 730425; /* since 0000-03-01 */
    int64_t cycle = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    unsigned in_cycle = (unsigned)(shifted - cycle * 146097);
    unsigned year = (in_cycle - in_cycle / 1460 + in_cycle / 36524 - in_cycle / 146096) / 365;
    unsigned in_year = in_cycle - (365 * year + year / 4 - year / 100);
    unsigned from_march = (5 * in_year + 2) / 153;
    unsigned month = from_march < 10 ? from_march + 3 : from_march - 9;

    return (struct day){.year = cycle * 400 + year + (month <= 2),
                        .month = month,
                        .day = in_year - (153 * from_march + 2) / 5 + 1};
}

static inline char *put_day(char *p, const struct day *d)
{
    uint64_t year = (uint64_t)(d->year > 0 ? d->year : 1 - d->year);

    p = year < 10000 ? digits_four(p, (unsigned)year) : digits_unsigned(p, year);
    *p++ = '-';
    p = digits_two(p, d->month);
    *p++ = '-';
    return digits_two(p, d->day);
}

static char *put_era(char *p, const struct day *d)
{
    return d->year > 0 ? p : stpcpy(p, " BC");
}

/* .ffffff without zeros at the end; nothing for 0 */
static char *put_fraction(char *p, unsigned microseconds)
{
    if (microseconds == 0)
        return p;
    *p = '.';
    p = digits_padded(p + 1, microseconds, 6);
    while (p[-1] == '0')
        p--;
    return p;
}

static unsigned fraction_length(unsigned microseconds)
{
    unsigned n = 7;

    if (microseconds == 0)
        return 0;
    for (; microseconds % 10 == 0; microseconds /= 10)
        n--;
    return n;
}

/* hh:mm:ss.ffffff of what is in a day; 24:00:00 too. */
static inline char *put_clock(char *p, int64_t time)
{
    unsigned seconds = (unsigned)(time / SECOND);

    p = digits_two(p, seconds / 3600);
    *p++ = ':';
    p = digits_two(p, seconds / 60 % 60);
    *p++ = ':';
    p = digits_two(p, seconds % 60);
    return put_fraction(p, (unsigned)(time % SECOND));
}

/* +hh, +hh:mm or +hh:mm:ss, of seconds east. */
static char *put_offset(char *p, int64_t east)
{
    uint64_t seconds = digits_absolute(east), hours = seconds / 3600;

    *p++ = east < 0 ? '-' : '+';
    p = digits_padded(p, hours, hours < 100 ? 2 : digits_count(hours));
    if (seconds % 3600) {
        *p++ = ':';
        p = digits_two(p, (unsigned)(seconds / 60 % 60));
    }
    if (seconds % 60) {
        *p++ = ':';
        p = digits_two(p, (unsigned)(seconds % 60));
    }
    return p;
}

static unsigned offset_length(int64_t east)
{
    uint64_t seconds = digits_absolute(east), hours = seconds / 3600;
    unsigned n = 1 + (hours < 100 ? 2 : digits_count(hours));

    return n + (seconds % 3600 ? 3 : 0) + (seconds % 60 ? 3 : 0);
}

static int put_infinity(struct out *o, int negative)
{
    if (negative)
        out_putc(o, '-');
    out_put(o, "infinity", 8);
    return 0;
}

static int refuse_length(struct render_work *w)
{
    return render_fail(w, "a date or time is not as long as its type");
}

static int refuse_range(struct render_work *w)
{
    return render_fail(w, "a date or time is out of range");
}

typedef int put_function(struct render_work *w, const struct render_type *t, struct render_value v,
                         struct out *o);

/* Of what is long, rare or wrong. */
static int measure_put(put_function *put, struct render_work *w, struct render_value v, size_t *n)
{
    size_t mark = w->used;
    struct out *o = render_work_buffer(w);
    int rc = put(w, NULL, v, o);

    *n = o->n;
    w->used = mark;
    return rc;
}

/* ---- date ---- */

static int put_date(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    int32_t days;
    struct day d;
    char *p;

    (void)t;
    if (v.len != 4)
        return refuse_length(w);
    days = (int32_t)bytes_u32(v.p);
    if (days == INT32_MIN || days == INT32_MAX)
        return put_infinity(o, days < 0);
    if (days < DATE_FIRST || days >= DATE_END)
        return refuse_range(w);
    d = civil_day(days);
    p = out_place(o, DATETIME_MAX);
    o->n += (size_t)(put_era(put_day(p, &d), &d) - p);
    return 0;
}

static int length_date(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    int32_t days = v.len == 4 ? (int32_t)bytes_u32(v.p) : INT32_MIN;

    (void)t;
    if (days < DAY_0001 || days >= DAY_10000)
        return measure_put(put_date, w, v, n);
    *n = 10;
    return 0;
}

/* ---- time, timetz ---- */

static bool time_valid(int64_t time)
{
    return time >= 0 && time <= DAY;
}

static int put_time(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    int64_t time;
    char *p;

    (void)t;
    if (v.len != 8)
        return refuse_length(w);
    time = (int64_t)bytes_u64(v.p);
    if (!time_valid(time))
        return refuse_range(w);
    p = out_place(o, DATETIME_MAX);
    o->n += (size_t)(put_clock(p, time) - p);
    return 0;
}

static int length_time(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    int64_t time = v.len == 8 ? (int64_t)bytes_u64(v.p) : -1;

    (void)t;
    if (!time_valid(time))
        return measure_put(put_time, w, v, n);
    *n = 8 + fraction_length((unsigned)(time % SECOND));
    return 0;
}

/* TimeTzADT: time, then seconds west, 32 bits. */
static int put_timetz(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    int64_t time;
    char *p, *end;

    (void)t;
    if (v.len != 12)
        return refuse_length(w);
    time = (int64_t)bytes_u64(v.p);
    if (!time_valid(time))
        return refuse_range(w);
    p = out_place(o, DATETIME_MAX);
    end = put_clock(p, time);
    o->n += (size_t)(put_offset(end, -(int64_t)(int32_t)bytes_u32(v.p + 8)) - p);
    return 0;
}

static int length_timetz(struct render_work *w, const struct render_type *t, struct render_value v,
                         size_t *n)
{
    int64_t time = v.len == 12 ? (int64_t)bytes_u64(v.p) : -1;

    (void)t;
    if (!time_valid(time))
        return measure_put(put_timetz, w, v, n);
    *n = 8 + fraction_length((unsigned)(time % SECOND)) +
         offset_length(-(int64_t)(int32_t)bytes_u32(v.p + 8));
    return 0;
}

/* ---- timestamp, timestamptz ---- */

static inline int64_t day_of(int64_t moment)
{
    return (moment >= 0 ? moment : moment - (DAY - 1)) / DAY;
}

static inline unsigned fraction_of(int64_t moment)
{
    int64_t rest = moment % SECOND;

    return (unsigned)(rest < 0 ? rest + SECOND : rest);
}

/* Of what is in range. */
static inline char *put_moment(char *p, int64_t moment, const struct day *d, int64_t days)
{
    p = put_day(p, d);
    *p++ = ' ';
    return put_clock(p, moment - days * DAY);
}

static inline bool moment_valid(int64_t moment)
{
    return moment >= TIMESTAMP_FIRST && moment < TIMESTAMP_END;
}

static int put_no_moment(struct render_work *w, int64_t moment, struct out *o)
{
    if (moment != INT64_MIN && moment != INT64_MAX)
        return refuse_range(w);
    return put_infinity(o, moment < 0);
}

static int put_timestamp(struct render_work *w, const struct render_type *t, struct render_value v,
                         struct out *o)
{
    int64_t moment, days;
    struct day d;
    char *p;

    (void)t;
    if (v.len != 8)
        return refuse_length(w);
    moment = (int64_t)bytes_u64(v.p);
    if (!moment_valid(moment))
        return put_no_moment(w, moment, o);
    days = day_of(moment);
    d = civil_day(days);
    p = out_place(o, DATETIME_MAX);
    o->n += (size_t)(put_era(put_moment(p, moment, &d, days), &d) - p);
    return 0;
}

static int length_timestamp(struct render_work *w, const struct render_type *t,
                            struct render_value v, size_t *n)
{
    int64_t moment = v.len == 8 ? (int64_t)bytes_u64(v.p) : INT64_MIN;

    (void)t;
    if (moment < MOMENT_SHORT_FIRST || moment >= MOMENT_SHORT_END)
        return measure_put(put_timestamp, w, v, n);
    *n = 19 + fraction_length(fraction_of(moment));
    return 0;
}

/* Seconds east at a moment in range. */
static int32_t zone_east(const struct render_work *w, int64_t moment)
{
    const struct render_zone *z = w->settings->zone;
    int64_t seconds = (moment - fraction_of(moment)) / SECOND;

    return z ? render_zone_offset(z, seconds + UNIX_EPOCH) : 0;
}

static int put_timestamptz(struct render_work *w, const struct render_type *t,
                           struct render_value v, struct out *o)
{
    int64_t moment, days;
    int32_t east;
    struct day d;
    char *p, *end;

    (void)t;
    if (v.len != 8)
        return refuse_length(w);
    moment = (int64_t)bytes_u64(v.p);
    if (!moment_valid(moment))
        return put_no_moment(w, moment, o);
    east = zone_east(w, moment);
    moment += east * SECOND;
    days = day_of(moment);
    d = civil_day(days);
    p = out_place(o, DATETIME_MAX);
    end = put_offset(put_moment(p, moment, &d, days), east);
    o->n += (size_t)(put_era(end, &d) - p);
    return 0;
}

static int length_timestamptz(struct render_work *w, const struct render_type *t,
                              struct render_value v, size_t *n)
{
    int64_t moment = v.len == 8 ? (int64_t)bytes_u64(v.p) : INT64_MIN;

    (void)t;
    if (moment < MOMENT_SHORT_FIRST || moment >= MOMENT_SHORT_END)
        return measure_put(put_timestamptz, w, v, n);
    *n = 19 + fraction_length(fraction_of(moment)) + offset_length(zone_east(w, moment));
    return 0;
}

/* ---- interval ----
 *
 * Interval (timestamp.h): microseconds, 64 bits, then days and months, 32 bits each. From
 * PostgreSQL 17 on the lowest of all three is -infinity, the highest infinity; before, they are
 * numbers.
 */
struct span {
    int64_t time;
    int32_t days, months;
};

/* Each part but the first has a space before it, and a plus if the one before it was negative. */
struct span_parts {
    char *p;
    bool any, after_negative;
};

static void put_part(struct span_parts *parts, int32_t v, const char *unit)
{
    if (v == 0)
        return;
    if (parts->any)
        *parts->p++ = ' ';
    if (parts->after_negative && v > 0)
        *parts->p++ = '+';
    parts->p = stpcpy(digits_signed(parts->p, v), unit);
    if (v != 1)
        *parts->p++ = 's';
    parts->any = true;
    parts->after_negative = v < 0;
}

static void put_span_clock(struct span_parts *parts, int64_t time)
{
    uint64_t rest = digits_absolute(time), hours = rest / HOUR;
    char clock[32];
    char *end;

    if (time == 0 && parts->any)
        return;
    if (parts->any)
        *parts->p++ = ' ';
    if (time < 0 || parts->after_negative)
        *parts->p++ = time < 0 ? '-' : '+';
    parts->p = digits_padded(parts->p, hours, hours < 100 ? 2 : digits_count(hours));
    end = put_clock(clock, (int64_t)(rest % HOUR));
    memcpy(parts->p, clock + 2, (size_t)(end - clock) - 2);
    parts->p += end - clock - 2;
}

static bool span_infinite(const struct render_work *w, const struct span *s)
{
    if (w->settings->major && w->settings->major < 17)
        return false;
    if (s->time < 0)
        return s->time == INT64_MIN && s->days == INT32_MIN && s->months == INT32_MIN;
    return s->time == INT64_MAX && s->days == INT32_MAX && s->months == INT32_MAX;
}

static int put_interval(struct render_work *w, const struct render_type *t, struct render_value v,
                        struct out *o)
{
    struct span s;
    struct span_parts parts;

    (void)t;
    if (v.len != 16)
        return refuse_length(w);
    s = (struct span){.time = (int64_t)bytes_u64(v.p),
                      .days = (int32_t)bytes_u32(v.p + 8),
                      .months = (int32_t)bytes_u32(v.p + 12)};
    if (span_infinite(w, &s))
        return put_infinity(o, s.time < 0);
    parts = (struct span_parts){.p = out_place(o, INTERVAL_MAX)};
    put_part(&parts, s.months / 12, " year");
    put_part(&parts, s.months % 12, " mon");
    put_part(&parts, s.days, " day");
    put_span_clock(&parts, s.time);
    o->n = (size_t)(parts.p - o->p);
    return 0;
}

static const struct render_ops date_ops = {.put = put_date, .length = length_date, .bare = true};
static const struct render_ops time_ops = {.put = put_time, .length = length_time, .bare = true};
static const struct render_ops timetz_ops = {
    .put = put_timetz, .length = length_timetz, .bare = true};
static const struct render_ops timestamp_ops = {
    .put = put_timestamp, .length = length_timestamp, .bare = true};
static const struct render_ops timestamptz_ops = {
    .put = put_timestamptz, .length = length_timestamptz, .bare = true};
static const struct render_ops interval_ops = {.put = put_interval, .bare = true};

const struct render_builtin render_datetimes[] = {
    {1082, 4, 'i', ',', false, &date_ops},       /* date */
    {1083, 8, 'd', ',', false, &time_ops},       /* time */
    {1114, 8, 'd', ',', false, &timestamp_ops},  /* timestamp */
    {1184, 8, 'd', ',', true, &timestamptz_ops}, /* timestamptz */
    {1186, 16, 'd', ',', false, &interval_ops},  /* interval */
    {1266, 12, 'd', ',', false, &timetz_ops},    /* timetz */
    {0},
};
