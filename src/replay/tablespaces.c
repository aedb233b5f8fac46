#include "replay/tablespaces.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/lsn.h"
#include "common/mem.h"
#include "store/wal.h"
#include "store/walrecord.h"
#include "replay/segment.h"

#define FATAL_TO_RECOVERY 130

struct tablespaces {
    struct tablespaces_wal log;
    struct segment segment;
    struct segment before; /* read when a record of both matters; else n is 0 */
    struct wal_walk *walk; /* of the two */
};

static int give_either(void *arg, uint64_t number, const uint8_t **bytes, size_t *n,
                       struct err *err)
{
    const struct tablespaces *t = arg;
    const struct segment *s = number == t->segment.number  ? &t->segment
                              : number == t->before.number ? &t->before
                                                           : NULL;

    (void)err;
    if (!s || !s->n)
        return 0;
    *bytes = s->bytes;
    *n = s->n;
    return 1;
}

struct tablespaces *tablespaces_new(const struct tablespaces_wal *log)
{
    struct tablespaces *t = mem_alloc(sizeof(*t));
    struct wal_source source = {
        .segment = give_either, .arg = t, .segment_bytes = log->segment_bytes};

    t->log = *log;
    t->walk = wal_walk_new(&source);
    return t;
}

void tablespaces_free(struct tablespaces *t)
{
    if (!t)
        return;
    wal_walk_free(t->walk);
    segment_free(&t->segment);
    segment_free(&t->before);
    free(t);
}

/* ---- records ---- */

/* xl_tblspc_create_rec (commands/tablespace.h): a number, and the place with its NUL. */
#define PLACE 4u

/* In pg_tblspc itself (allow_in_place_tablespaces). */
static bool is_in_place(const struct wal_parts *p)
{
    return p->n_data == PLACE + 1 && !p->data[PLACE];
}

static bool is_creation(const struct wal_record *r)
{
    struct wal_parts p;

    return r->n >= WAL_RECORD_HEAD && r->manager == WAL_TBLSPC &&
           (r->info & WAL_INFO) == WAL_TBLSPC_CREATE && !(wal_read_parts(r, &p) && is_in_place(&p));
}

static int refuse_tablespace(const struct wal_record *r, struct err *err)
{
    struct wal_parts p;
    char *place = wal_read_parts(r, &p) && p.n_data > PLACE
                      ? mem_printf("%.*s", (int)(p.n_data - PLACE), (const char *)p.data + PLACE)
                      : mem_strdup("a place that the next segment tells");

    err_set(err, ENOTSUP,
            "a tablespace is created in the log, at %s: replay would write there; moments after it "
            "need a base that was taken later",
            place);
    free(place);
    return -ENOTSUP;
}

/* Records that begin before `to`, from where the walk is; then from where pages say. */
static int look_on(struct tablespaces *t, uint64_t to, struct err *err)
{
    struct wal_record r;
    uint64_t at;
    int rc;

    do {
        while ((rc = wal_next(t->walk, &r, err)) == 1 && r.start < to && !is_creation(&r))
            ;
        if (rc < 0 || (r.n && r.start >= to))
            return rc < 0 ? rc : 0;
        if (rc == 1 || (wal_ending(t->walk)->end == WAL_END_UNFINISHED && is_creation(&r)))
            return refuse_tablespace(&r, err);
        at = wal_ending(t->walk)->at;
        rc = wal_seek(t->walk, at - at % WAL_PAGE + WAL_PAGE, to, &at, err);
    } while (rc == 1);
    return rc;
}

/* Should no record begin where replay is said to begin, all of the segment is looked through. */
static int begin_walk(struct tablespaces *t, uint64_t start, uint64_t to, struct err *err)
{
    struct wal_record r;
    uint64_t at;

    if (t->log.from <= start)
        return wal_seek(t->walk, start, to, &at, err);
    wal_begin(t->walk, t->log.from);
    if (wal_next(t->walk, &r, err) == 0 && wal_ending(t->walk)->end == WAL_END_BROKEN)
        return wal_seek(t->walk, start, to, &at, err);
    wal_begin(t->walk, t->log.from);
    return 1;
}

static int look_through(struct tablespaces *t, uint64_t start, uint64_t to, struct err *err)
{
    int rc = begin_walk(t, start, to, err);

    return rc == 1 ? look_on(t, to, err) : rc;
}

/* ---- a record on two segments ---- */

/* Bytes 16 and 17 of a record are the first, or 8 after the first, that this segment has of it. */
static bool may_be_split(const struct tablespaces *t)
{
    const uint8_t *p = t->segment.bytes + WAL_SEGMENT_HEAD;
    unsigned there;

    if (t->segment.n < WAL_SEGMENT_HEAD + WAL_RECORD_HEAD)
        return false;
    for (there = 0; there <= 8; there += 8)
        if (p[there + 1] == WAL_TBLSPC && (p[there] & WAL_INFO) == WAL_TBLSPC_CREATE)
            return true;
    return false;
}

/* The segments in front of this one, whichever timeline's it was. *n: how many were read. */
static int look_before(struct tablespaces *t, const char *dir, const struct wal_segment *s,
                       unsigned *n, struct err *err)
{
    uint64_t border = s->number * t->log.segment_bytes;
    DIR *d = opendir(dir);
    struct wal_segment other;
    struct dirent *e;
    char *path;
    int rc = 0;

    while (d && rc == 0 && (e = readdir(d))) {
        if (wal_parse_name(e->d_name, t->log.segment_bytes, &other) < 0 ||
            other.number + 1 != s->number || other.timeline > s->timeline)
            continue;
        path = mem_printf("%s/%s", dir, e->d_name);
        if (segment_read(path, other.number, t->log.segment_bytes, &t->before, NULL) == 0) {
            ++*n;
            rc = look_through(t, border - t->log.segment_bytes, border, err);
        }
        free(path);
    }
    if (d)
        closedir(d);
    t->before.n = 0;
    return rc;
}

static int look_at_split(struct tablespaces *t, const char *path, const struct wal_segment *s,
                         struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash ? mem_printf("%.*s", (int)(slash - path), path) : mem_strdup(".");
    unsigned n = 0;
    int rc = look_before(t, dir, s, &n, err);

    free(dir);
    if (rc == 0 && !n)
        return err_set(err, ENOTSUP,
                       "it begins within a record that may create a tablespace, and the segment in "
                       "front of it, which would tell, is not there");
    return rc;
}

/* ---- a segment ---- */

/* Only what its first page says of all of it: else recovery does not read on, either. */
static int check_known(const struct tablespaces *t, uint64_t start, struct err *err)
{
    const struct wal_ending *e = wal_ending(t->walk);

    if (e->end == WAL_END_FOREIGN && e->found_at == start)
        return err_set(err, ENOTSUP, "it cannot be looked through: %s", e->why);
    return 0;
}

/* A record may have begun in front of the segment. */
static int look_at_border(struct tablespaces *t, const char *path, const struct wal_segment *s,
                          struct err *err)
{
    uint64_t start = s->number * t->log.segment_bytes, at;
    int rc = wal_seek(t->walk, start, start + WAL_PAGE, &at, err);
    bool goes_on = rc == 1 ? at != start + WAL_SEGMENT_HEAD : !wal_ending(t->walk)->end;

    if (rc == 0)
        rc = check_known(t, start, err);
    if (rc < 0)
        return rc;
    return goes_on && t->log.from <= start && may_be_split(t) ? look_at_split(t, path, s, err) : 0;
}

int tablespaces_look(struct tablespaces *t, const char *path, const char *name, struct err *err)
{
    struct wal_segment s;
    uint64_t start;
    int rc;

    if (wal_parse_name(name, t->log.segment_bytes, &s) < 0)
        return 0;
    start = s.number * t->log.segment_bytes;
    if (start + t->log.segment_bytes <= t->log.from)
        return 0;
    rc = segment_read(path, s.number, t->log.segment_bytes, &t->segment, err);
    if (rc == 0 && t->log.system)
        rc = segment_check_system(&t->segment, t->log.system, err);
    if (rc == 0)
        rc = look_at_border(t, path, &s, err);
    return rc < 0 ? rc : look_through(t, start, start + t->log.segment_bytes, err);
}

/* ---- the guard ---- */

char *tablespaces_guarded(const char *command)
{
    return mem_printf(
        "( %s ); r=$?; f=\"%%p\"; [ $r -eq 0 ] || f=\"pg_wal/%%f\"; "
        "if [ -e \"$f\" ]; then \"$ASOFS_PROGRAM\" guard \"$f\" \"%%f\" || exit %d; fi; exit $r",
        command, FATAL_TO_RECOVERY);
}

static uint64_t number_in_env(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : 0;
}

/* What it does not know it cannot guard. */
static int read_env(struct tablespaces_wal *log, struct err *err)
{
    const char *from = getenv(SEGMENT_FROM_ENV);
    uint64_t bytes = number_in_env(SEGMENT_BYTES_ENV);

    log->system = number_in_env(SEGMENT_SYSTEM_ENV);
    log->segment_bytes = (uint32_t)bytes;
    if (bytes < WAL_PAGE || bytes > UINT32_MAX || bytes & (bytes - 1) || !from ||
        lsn_parse(from, &log->from) < 0)
        return err_set(err, EINVAL, "the environment lacks what asofs guard needs");
    return 0;
}

static int guard(const char *path, const char *name, struct err *err)
{
    struct tablespaces_wal log;
    struct tablespaces *t;
    int rc = read_env(&log, err);

    if (rc < 0)
        return rc;
    t = tablespaces_new(&log);
    rc = tablespaces_look(t, path, name, err);
    tablespaces_free(t);
    return rc;
}

int tablespaces_guard_main(int argc, char **argv)
{
    struct err err;

    if (argc == 3 && guard(argv[1], argv[2], &err) == 0)
        return 0;
    fprintf(stderr, "segment %s: %s\n", argc == 3 ? argv[2] : "?",
            argc == 3 ? err.text : "a file and its name are needed");
    return FATAL_TO_RECOVERY;
}
