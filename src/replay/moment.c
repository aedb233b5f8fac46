#include "replay/moment.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/lsn.h"
#include "common/mem.h"
#include "store/walwalk.h"

#define US 1000000

/* ---- times ---- */

/* Digits, exactly `n` of them; moves on. -1: something else is there. */
static int take_digits(const char **p, int n)
{
    int v = 0;

    for (; n > 0; n--, (*p)++) {
        if (!isdigit((unsigned char)**p))
            return -1;
        v = v * 10 + (**p - '0');
    }
    return v;
}

static bool take_char(const char **p, const char *any)
{
    if (!**p || !strchr(any, **p))
        return false;
    (*p)++;
    return true;
}

static bool take_date(const char **p, struct tm *tm)
{
    tm->tm_year = take_digits(p, 4) - 1900;
    if (!take_char(p, "-"))
        return false;
    tm->tm_mon = take_digits(p, 2) - 1;
    if (!take_char(p, "-"))
        return false;
    tm->tm_mday = take_digits(p, 2);
    return tm->tm_year >= 70 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 &&
           tm->tm_mday <= 31;
}

static bool take_fraction(const char **p, int64_t *us)
{
    int64_t unit = US;

    *us = 0;
    if (!take_char(p, ".,"))
        return true;
    if (!isdigit((unsigned char)**p))
        return false;
    for (; isdigit((unsigned char)**p); (*p)++) {
        unit /= 10;
        *us += unit * (**p - '0');
    }
    return true;
}

static bool take_clock(const char **p, struct tm *tm, int64_t *us)
{
    tm->tm_hour = take_digits(p, 2);
    if (tm->tm_hour < 0 || tm->tm_hour > 23 || !take_char(p, ":"))
        return false;
    tm->tm_min = take_digits(p, 2);
    if (tm->tm_min < 0 || tm->tm_min > 59)
        return false;
    if (!take_char(p, ":"))
        return true;
    tm->tm_sec = take_digits(p, 2);
    return tm->tm_sec >= 0 && tm->tm_sec <= 60 && take_fraction(p, us);
}

/* Z, +01, +0100, +01:00. *given: there was one. */
static bool take_zone(const char **p, bool *given, int *seconds)
{
    int sign, hours, minutes = 0;

    *given = false;
    *seconds = 0;
    while (take_char(p, " "))
        ;
    if (!**p)
        return true;
    *given = true;
    if (take_char(p, "Zz"))
        return true;
    sign = **p == '-' ? -1 : 1;
    if (!take_char(p, "+-"))
        return false;
    hours = take_digits(p, 2);
    if (**p) {
        take_char(p, ":");
        minutes = take_digits(p, 2);
    }
    *seconds = sign * (hours * 3600 + minutes * 60);
    return hours >= 0 && hours <= 15 && minutes >= 0 && minutes < 60;
}

static bool parse_time(const char *text, int64_t *us)
{
    struct tm tm = {.tm_isdst = -1}, asked;
    const char *p = text;
    int64_t fraction = 0;
    bool given;
    int zone;
    time_t t;

    if (!take_date(&p, &tm))
        return false;
    if (take_char(&p, " Tt") && *p && !take_clock(&p, &tm, &fraction))
        return false;
    if (!take_zone(&p, &given, &zone) || *p)
        return false;
    asked = tm;
    t = given ? timegm(&tm) : mktime(&tm);
    if (tm.tm_mday != asked.tm_mday || tm.tm_mon != asked.tm_mon)
        return false; /* 31 February */
    if (tm.tm_hour != asked.tm_hour && asked.tm_sec < 60)
        return false; /* the hour that is left out when summer time begins */
    *us = ((int64_t)t - zone) * US + fraction;
    return true;
}

const char *moment_time_text(int64_t us, char out[MOMENT_TIME_MAX])
{
    time_t t = (time_t)(us / US);
    struct tm tm;
    size_t n;

    gmtime_r(&t, &tm);
    n = strftime(out, MOMENT_TIME_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    if (us % US)
        n += (size_t)snprintf(out + n, MOMENT_TIME_MAX - n, ".%06d", (int)(us % US));
    snprintf(out + n, MOMENT_TIME_MAX - n, "+00");
    return out;
}

/* ---- what was asked for ---- */

static int parse_xid(const char *value, struct err *err)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || *end || errno || n < 3)
        return err_set(err, EINVAL, "\"%s\" is not the number of a transaction", value);
    return 0;
}

int moment_parse(enum moment_kind kind, const char *value, struct moment *m, struct err *err)
{
    char text[MOMENT_TIME_MAX];
    int rc = 0;

    *m = (struct moment){.kind = kind};
    if (kind == MOMENT_TIME && !parse_time(value, &m->time_us))
        return err_set(err, EINVAL,
                       "\"%s\" is not a time; write 2026-11-16 08:00, 2026-11-16T08:00:00Z or "
                       "2026-11-16 08:00+01",
                       value);
    if (kind == MOMENT_LSN && lsn_parse(value, &m->lsn) < 0)
        return err_set(err, EINVAL, "\"%s\" is not a place on the log; write 16/B374D848", value);
    if (kind == MOMENT_XID)
        rc = parse_xid(value, err);
    if (kind == MOMENT_RESTORE_POINT && (!*value || strlen(value) > 63))
        rc = err_set(err, EINVAL, "the name of a restore point has 1 to 63 bytes");
    if (rc < 0)
        return rc;
    m->text = mem_strdup(kind == MOMENT_TIME     ? moment_time_text(m->time_us, text)
                         : kind == MOMENT_LATEST ? ""
                                                 : value);
    return 0;
}

void moment_free(struct moment *m)
{
    free(m->text);
    *m = (struct moment){0};
}

char *moment_words(const struct moment *m)
{
    static const char *const kinds[] = {"", "latest", "time ", "lsn ", "xid ", "restore point "};

    return mem_printf("%s%s", kinds[m->kind], m->text ? m->text : "");
}

/* ---- bases ---- */

int64_t moment_first_time(const struct store_base_facts *f)
{
    if (f->consistent_time && f->consistent_time == f->start_time)
        return f->consistent_time + 1; /* what that second still brought, the base has */
    return f->consistent_time ? f->consistent_time : f->start_time;
}

uint64_t moment_first_lsn(const struct store_base_facts *f)
{
    return f->consistent_lsn ? f->consistent_lsn : f->start_lsn;
}

bool moment_is_after(const struct moment *m, const struct store_base_facts *f)
{
    if (f->plain)
        return false;
    if (m->kind == MOMENT_TIME)
        return moment_first_time(f) * US <= m->time_us;
    if (m->kind == MOMENT_LSN)
        return moment_first_lsn(f) <= m->lsn;
    return true;
}

uint32_t moment_towards(const struct store_base_facts *f, const struct wal_list *log)
{
    return wal_newest(log, f->timeline, moment_first_lsn(f));
}

unsigned moment_leave_branches(struct moment_base *bases, unsigned n, const struct wal_list *log)
{
    struct moment_base *left = mem_array(n, sizeof(*left));
    unsigned i, kept = 0, n_left = 0;
    uint32_t newest;

    for (i = 0; i < n; i++)
        if (wal_is_left(log, bases[i].facts.timeline, moment_first_lsn(&bases[i].facts), &newest))
            left[n_left++] = bases[i];
        else
            bases[kept++] = bases[i];
    if (n_left)
        memcpy(bases + kept, left, n_left * sizeof(*left));
    free(left);
    return kept;
}

int moment_refuse_left(const char *words, const struct moment_base *base,
                       const struct wal_list *log, struct err *err)
{
    uint32_t newest;

    wal_is_left(log, base->facts.timeline, moment_first_lsn(&base->facts), &newest);
    return err_set(err, ERANGE,
                   "%s: base %s is on a branch of timeline %u that timeline %u, the newest of the "
                   "log, does not come from; take a base of the server as it is now",
                   words, base->id, base->facts.timeline, newest);
}

int moment_choose(const struct moment *m, const struct moment_base *bases, unsigned n,
                  unsigned before)
{
    unsigned i = before < n ? before : n;

    while (i-- > 0)
        if (moment_is_after(m, &bases[i].facts))
            return (int)i;
    return -1;
}

/* ---- the log ---- */

/* The segment that would hold `at`. */
static void name_missing(const struct store_base_facts *f, const struct wal_list *log, uint64_t at,
                         char name[25])
{
    wal_segment_name(wal_timeline_at(log, moment_towards(f, log), at), at / log->segment_bytes,
                     log->segment_bytes, name);
}

bool moment_reaches(uint64_t end, uint64_t lsn, uint32_t segment_bytes)
{
    return wal_after_head(lsn, segment_bytes) <= wal_after_head(end, segment_bytes);
}

int64_t moment_last_time(const struct store_base_facts *f, const struct wal_reach *reach)
{
    int64_t last = reach->time_us / US;

    return last < moment_first_time(f) ? 0 : last;
}

static int out_of_range(const struct moment *m, const struct store_base_facts *f,
                        const struct wal_reach *reach, const struct wal_list *log, uint64_t end,
                        struct err *err)
{
    char from[LSN_TEXT_MAX], to[LSN_TEXT_MAX], from_time[MOMENT_TIME_MAX], to_time[MOMENT_TIME_MAX];
    char missing[25], *words = moment_words(m);
    bool has_time = moment_last_time(f, reach) != 0;

    name_missing(f, log, end, missing);
    err_set(err, ERANGE,
            "%s is beyond the shipped log: moments from %s (%s) to %s (%s) can be mounted", words,
            lsn_text(moment_first_lsn(f), from),
            moment_time_text(moment_first_time(f) * US, from_time), lsn_text(reach->end, to),
            has_time ? moment_time_text(reach->time_us, to_time) : "of no later time yet");
    err_hint(err, "the next segment of the log would be %s", missing);
    free(words);
    return -ERANGE;
}

/* Log lies after the run that ends at `end`: the end of the run is not the end of the log. What a
 * base has itself is one run; after that are files that its server kept to use again. */
static int check_gap(const struct moment_base *base, const struct wal_list *log, uint64_t end,
                     struct err *err)
{
    uint32_t towards = moment_towards(&base->facts, log);
    const struct wal_segment *there = NULL, *s;
    char missing[25], name[25];
    size_t i;

    for (i = 0; i < log->n && !there; i++)
        if (!log->segments[i].own && log->segments[i].number * log->segment_bytes >= end)
            there = wal_segment_at(log, towards, log->segments[i].number);
    if (!there)
        return 0;
    s = wal_segment_at(log, towards, (end - 1) / log->segment_bytes);
    name_missing(&base->facts, log, s && s->partial ? end - 1 : end, missing);
    wal_segment_name(there->timeline, there->number, log->segment_bytes, name);
    return err_set(err, ERANGE, "the log has a gap: segment %s is missing, and there is %s",
                   missing, name);
}

int moment_check_history(const struct moment_base *base, const struct wal_list *log, uint64_t at,
                         struct err *err)
{
    const struct wal_segment *s = wal_without_history(log, moment_towards(&base->facts, log));
    char name[25], history[HISTORY_NAME_MAX];

    if (!s || at < s->number * log->segment_bytes)
        return 0;
    wal_segment_name(s->timeline, s->number, log->segment_bytes, name);
    history_name(s->timeline, history);
    err_set(err, ENOENT,
            "the log goes on along timeline %u in segment %s, but %s, which tells where that "
            "timeline began, is not in the log",
            s->timeline, name, history);
    return err_hint(err, "Put %s where the segments are: the server's pg_wal and archive have it.",
                    history);
}

static bool is_beyond_wal(const struct moment *m, const struct wal_reach *reach, uint32_t bytes)
{
    return (m->kind == MOMENT_TIME && m->time_us > reach->time_us) ||
           (m->kind == MOMENT_LSN && !moment_reaches(reach->end, m->lsn, bytes));
}

int moment_check_wal(const struct moment *m, const struct moment_base *base,
                     const struct wal_list *log, const struct wal_reach *reach, struct err *err)
{
    const struct store_base_facts *f = &base->facts;
    uint64_t end = 0;
    bool beyond;
    int rc;

    if (!reach->end || !wal_covers(log, f->timeline, f->start_lsn, &end))
        return 0; /* recovery tells */
    beyond = is_beyond_wal(m, reach, log->segment_bytes);
    rc = beyond || m->kind == MOMENT_LATEST ? moment_check_history(base, log, UINT64_MAX, err)
         : m->kind == MOMENT_LSN            ? moment_check_history(base, log, m->lsn, err)
                                            : 0;
    if (rc < 0 || !beyond)
        return rc < 0 || m->kind != MOMENT_LATEST ? rc : check_gap(base, log, end, err);
    return out_of_range(m, f, reach, log, end, err);
}
