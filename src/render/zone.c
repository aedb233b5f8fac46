/*
 * A TZif file gives moments from which on an offset holds, and a rule for what comes after the
 * last. As PostgreSQL's library does (localtime.c), the rule is written out for some 400 years, and
 * of what is later whole cycles of 400 years are taken off.
 *
 * To find a moment among them quickly, spans of 2^24 seconds (194 days) each have the number of the
 * transition that holds when it begins: from there it is a step or two.
 */
#include "render/zone.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "render/zonerule.h"

#define ZONEINFO "/usr/share/zoneinfo"
#define LONGEST (256u << 10) /* of a file; those that there are have 3 KiB */
#define LONGEST_NAME 255

#define CYCLE (INT64_C(146097) * 86400) /* 400 years */
#define SPAN_BITS 24
#define SPANS_BEGIN INT64_C(-4000000000) /* 1843 */
#define LAST_MOMENT INT64_C(32503680000) /* 3000: no transition of a file is later */
#define FURTHEST (48 * 3600)             /* from UTC */

struct transition {
    int64_t at;
    int32_t east;
};

struct render_zone {
    int32_t before;                 /* the first */
    struct transition *transitions; /* ascending */
    size_t n, room;
    bool repeats; /* what comes after the last is as 400 years before */
    uint32_t *spans;
    size_t nspans;
};

/* ---- the file: big-endian ---- */

struct tzif {
    const unsigned char *p; /* the rest */
    size_t left;
    char version;
    uint32_t isut, isstd, leaps, times, types, chars;
    const unsigned char *moments, *indexes, *infos; /* of the 64-bit part */
};

static uint32_t big32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t big64(const unsigned char *p)
{
    return (int64_t)((uint64_t)big32(p) << 32 | big32(p + 4));
}

static const unsigned char *take_bytes(struct tzif *f, size_t n)
{
    const unsigned char *p = f->p;

    if (f->left < n)
        return NULL;
    f->p += n;
    f->left -= n;
    return p;
}

static bool take_header(struct tzif *f)
{
    const unsigned char *p = take_bytes(f, 44);

    if (!p || memcmp(p, "TZif", 4) != 0)
        return false;
    f->version = (char)p[4];
    f->isut = big32(p + 20);
    f->isstd = big32(p + 24);
    f->leaps = big32(p + 28);
    f->times = big32(p + 32);
    f->types = big32(p + 36);
    f->chars = big32(p + 40);
    return f->isut <= LONGEST && f->isstd <= LONGEST && f->leaps <= LONGEST &&
           f->times <= LONGEST && f->types <= 256 && f->chars <= LONGEST;
}

static bool take_body(struct tzif *f, size_t moment_size)
{
    return (f->moments = take_bytes(f, f->times * moment_size)) &&
           (f->indexes = take_bytes(f, f->times)) &&
           (f->infos = take_bytes(f, (size_t)f->types * 6)) && take_bytes(f, f->chars) &&
           take_bytes(f, f->leaps * (moment_size + 4)) && take_bytes(f, f->isstd) &&
           take_bytes(f, f->isut);
}

/* Leap seconds: PostgreSQL takes no such zone. */
static bool take_file(struct tzif *f)
{
    return take_header(f) && f->version >= '2' && take_body(f, 4) && take_header(f) &&
           take_body(f, 8) && f->types > 0 && f->leaps == 0;
}

static int32_t type_east(const struct tzif *f, unsigned type)
{
    return (int32_t)big32(f->infos + type * 6);
}

static bool type_summer(const struct tzif *f, unsigned type)
{
    return f->infos[type * 6 + 4] != 0;
}

static bool check_types(const struct tzif *f)
{
    uint32_t i;

    for (i = 0; i < f->types; i++)
        if (type_east(f, i) > FURTHEST || type_east(f, i) < -FURTHEST)
            return false;
    for (i = 0; i < f->times; i++)
        if (f->indexes[i] >= f->types)
            return false;
    return true;
}

/* The type that PostgreSQL has before the first transition: 0 if no transition has it; else the
 * last standard one before that of the first, if that is summer time; else the first standard
 * one; else 0. */
static unsigned find_first_type(const struct tzif *f)
{
    unsigned i;

    if (!f->times || !memchr(f->indexes, 0, f->times))
        return 0;
    if (type_summer(f, f->indexes[0]))
        for (i = f->indexes[0]; i-- > 0;)
            if (!type_summer(f, i))
                return i;
    for (i = 0; i < f->types; i++)
        if (!type_summer(f, i))
            return i;
    return 0;
}

/* ---- transitions ---- */

static bool add_transition(struct render_zone *z, int64_t at, int32_t east)
{
    if (z->n && at <= z->transitions[z->n - 1].at)
        return false;
    z->transitions = mem_grow(z->transitions, z->n, &z->room, sizeof(*z->transitions));
    z->transitions[z->n++] = (struct transition){at, east};
    return true;
}

static bool add_file(struct render_zone *z, const struct tzif *f)
{
    int64_t at;
    uint32_t i;

    for (i = 0; i < f->times; i++) {
        at = big64(f->moments + (size_t)i * 8);
        if (at > LAST_MOMENT || !add_transition(z, at, type_east(f, f->indexes[i])))
            return false;
    }
    return true;
}

/* Those of a year that are later than what there is. */
static void add_year(struct render_zone *z, const struct zonerule *r, int64_t year)
{
    struct transition begin = {.east = r->summer}, end = {.east = r->standard};

    if (!render_zonerule_year(r, year, &begin.at, &end.at))
        return;
    if (begin.at > end.at) {
        add_transition(z, end.at, end.east);
        add_transition(z, begin.at, begin.east);
    } else {
        add_transition(z, begin.at, begin.east);
        add_transition(z, end.at, end.east);
    }
}

/* A year that the moment is in, or one beside it. */
static int64_t year_near(int64_t at)
{
    return 1970 + at / 31556952;
}

static bool add_rule(struct render_zone *z, const struct tzif *f)
{
    const char *s = (const char *)f->p;
    size_t n = z->n;
    int64_t first, year;
    struct zonerule r;

    if (f->left < 2 || s[0] != '\n' || s[f->left - 1] != '\n')
        return false;
    if (f->left == 2) /* nobody knows */
        return true;
    if (!render_zonerule_parse(s + 1, f->left - 2, &r))
        return false;
    first = z->n ? year_near(z->transitions[z->n - 1].at) - 1 : 1970;
    if (first < 1970)
        first = 1970;
    for (year = first; year <= first + 402; year++)
        add_year(z, &r, year);
    z->repeats = z->n > n;
    return true;
}

static void make_spans(struct render_zone *z)
{
    int64_t last = z->n ? z->transitions[z->n - 1].at : SPANS_BEGIN;
    size_t i, k = 0;

    z->nspans = last < SPANS_BEGIN ? 1 : (size_t)((last - SPANS_BEGIN) >> SPAN_BITS) + 1;
    z->spans = mem_array(z->nspans, sizeof(*z->spans));
    for (i = 0; i < z->nspans; i++) {
        int64_t begin = SPANS_BEGIN + ((int64_t)i << SPAN_BITS);

        while (k + 1 < z->n && z->transitions[k + 1].at <= begin)
            k++;
        z->spans[i] = (uint32_t)k;
    }
}

struct render_zone *render_zone_parse(const char *bytes, size_t n)
{
    struct tzif f = {.p = (const unsigned char *)bytes, .left = n};
    struct render_zone *z;

    if (!take_file(&f) || !check_types(&f))
        return NULL;
    z = mem_alloc(sizeof(*z));
    z->before = type_east(&f, find_first_type(&f));
    if (!add_file(z, &f) || !add_rule(z, &f)) {
        render_zone_free(z);
        return NULL;
    }
    make_spans(z);
    return z;
}

/* ---- by name ---- */

static bool is_utc(const char *name)
{
    return strcmp(name, "UTC") == 0 || strcmp(name, "GMT") == 0;
}

/* Names of files below the directory, none of them hidden. */
static bool name_fits(const char *name)
{
    const char *s;

    if (!*name || strlen(name) > LONGEST_NAME || strstr(name, "//"))
        return false;
    if (name[0] == '/' || name[0] == '.' || strstr(name, "/."))
        return false;
    for (s = name; *s; s++)
        if (*s < '+' || *s > 'z')
            return false;
    return s[-1] != '/';
}

static char *read_file(const char *name, size_t *n)
{
    char path[sizeof(ZONEINFO) + LONGEST_NAME + 2], *bytes;
    struct stat st;
    int64_t got;
    int fd;

    strcpy(stpcpy(path, ZONEINFO "/"), name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > LONGEST) {
        close(fd);
        return NULL;
    }
    bytes = mem_alloc((size_t)st.st_size + 1);
    got = io_pread_full(fd, bytes, (size_t)st.st_size, 0);
    close(fd);
    *n = got < 0 ? 0 : (size_t)got;
    return bytes;
}

struct render_zone *render_zone_new(const char *name)
{
    struct render_zone *z;
    char *bytes;
    size_t n;

    if (is_utc(name)) {
        z = mem_alloc(sizeof(*z));
        make_spans(z);
        return z;
    }
    bytes = name_fits(name) ? read_file(name, &n) : NULL;
    if (!bytes)
        return NULL;
    z = render_zone_parse(bytes, n);
    free(bytes);
    return z;
}

void render_zone_free(struct render_zone *z)
{
    if (!z)
        return;
    free(z->transitions);
    free(z->spans);
    free(z);
}

void render_zone_put(const struct render_zone *z, struct buf *b)
{
    size_t i;

    buf_put_u32(b, (uint32_t)z->before);
    buf_put_u32(b, z->repeats);
    for (i = 0; i < z->n; i++) {
        buf_put_u64(b, (uint64_t)z->transitions[i].at);
        buf_put_u32(b, (uint32_t)z->transitions[i].east);
    }
}

int32_t render_zone_offset(const struct render_zone *z, int64_t at)
{
    const struct transition *t = z->transitions;
    size_t i = 0;
    int64_t last;

    if (z->n == 0 || at < t[0].at)
        return z->before;
    last = t[z->n - 1].at;
    if (at >= last) {
        if (!z->repeats)
            return t[z->n - 1].east;
        at -= ((at - last) / CYCLE + 1) * CYCLE;
    }
    if (at >= SPANS_BEGIN)
        i = z->spans[(at - SPANS_BEGIN) >> SPAN_BITS];
    while (i + 1 < z->n && t[i + 1].at <= at)
        i++;
    return t[i].east;
}
