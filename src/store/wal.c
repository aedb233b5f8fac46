/*
 * Names of segments are read strictly: what is not exactly one is somebody else's file. The
 * last number of all is no segment either, so the end of one never overflows.
 */
#include "store/wal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define NAME_DIGITS 24
#define PARTIAL ".partial"

/* ---- names ---- */

/* In the name the number is split where an LSN has its slash. */
static uint64_t segments_per_half(uint32_t segment_bytes)
{
    return (UINT64_C(1) << 32) / segment_bytes;
}

/* 8 digits, upper case as PostgreSQL writes them. */
static bool parse_part(const char *text, uint32_t *value)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *d;
    int i;

    for (*value = 0, i = 0; i < 8; i++) {
        d = text[i] ? strchr(digits, text[i]) : NULL;
        if (!d)
            return false;
        *value = *value << 4 | (uint32_t)(d - digits);
    }
    return true;
}

int wal_parse_name(const char *name, uint32_t segment_bytes, struct wal_segment *s)
{
    uint64_t per_half = segments_per_half(segment_bytes);
    uint32_t high, low;

    memset(s, 0, sizeof(*s));
    if (strnlen(name, NAME_DIGITS) < NAME_DIGITS || !parse_part(name, &s->timeline) ||
        !parse_part(name + 8, &high) || !parse_part(name + 16, &low))
        return -EINVAL;
    s->partial = strcmp(name + NAME_DIGITS, PARTIAL) == 0;
    if ((name[NAME_DIGITS] && !s->partial) || !s->timeline || low >= per_half)
        return -EINVAL;
    s->number = high * per_half + low;
    return s->number < UINT64_MAX / segment_bytes ? 0 : -EINVAL; /* its end is an LSN too */
}

void wal_segment_name(uint32_t timeline, uint64_t number, uint32_t segment_bytes, char out[25])
{
    uint64_t per_half = segments_per_half(segment_bytes);

    snprintf(out, NAME_DIGITS + 1, "%08X%08X%08X", timeline, (unsigned)(number / per_half),
             (unsigned)(number % per_half));
}

/* ---- reading a directory ---- */

struct reading {
    struct wal_list *list;
    const char *dir;
    int fd;
    size_t room, history_room;
};

static int add_history(struct reading *r, uint32_t timeline, struct err *err)
{
    struct wal_list *l = r->list;
    struct history h;
    int rc = history_read(r->fd, r->dir, timeline, &h, err);

    if (rc < 0)
        return rc;
    l->histories = mem_grow(l->histories, l->n_histories, &r->history_room, sizeof(*l->histories));
    l->histories[l->n_histories++] = h;
    return 0;
}

static int add_file(struct reading *r, const char *name, struct err *err)
{
    uint32_t bytes = r->list->segment_bytes;
    struct wal_segment s;
    uint32_t timeline;
    struct stat st;

    if (history_parse_name(name, &timeline))
        return add_history(r, timeline, err);
    if (wal_parse_name(name, bytes, &s) < 0)
        return 0;
    if (fstatat(r->fd, name, &st, 0) < 0) {
        if (errno == ENOENT) /* it became whole, or was pruned, meanwhile */
            return 0;
        return err_errno(err, "cannot look at the log segment %s/%s", r->dir, name);
    }
    if (!S_ISREG(st.st_mode))
        return 0;
    if (!s.partial && st.st_size != bytes)
        return err_set(err, EINVAL,
                       "the log segment %s/%s has %lld bytes instead of %u: it was cut, or is not "
                       "of this cluster",
                       r->dir, name, (long long)st.st_size, bytes);
    s.written = st.st_mtim;
    r->list->segments =
        mem_grow(r->list->segments, r->list->n, &r->room, sizeof(*r->list->segments));
    r->list->segments[r->list->n++] = s;
    return 0;
}

static int read_names(struct reading *r, DIR *d, struct err *err)
{
    struct dirent *e;
    int rc = 0;

    errno = 0;
    while (rc == 0 && (e = readdir(d))) {
        rc = add_file(r, e->d_name, err);
        errno = 0;
    }
    if (rc == 0 && errno)
        rc = err_errno(err, "cannot read the log directory %s", r->dir);
    return rc;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_places(const void *a, const void *b)
{
    const struct wal_segment *x = a, *y = b;

    return x->number != y->number ? compare_numbers(x->number, y->number)
                                  : compare_numbers(x->timeline, y->timeline);
}

/* The whole one comes before the partial one of the same name. */
static int compare_segments(const void *a, const void *b)
{
    const struct wal_segment *x = a, *y = b;
    int order = compare_places(x, y);

    return order ? order : (int)x->partial - (int)y->partial;
}

static void sort_and_merge(struct wal_list *l)
{
    size_t i, n = 0;

    if (l->n)
        qsort(l->segments, l->n, sizeof(*l->segments), compare_segments);
    for (i = 0; i < l->n; i++)
        if (!n || l->segments[i].number != l->segments[n - 1].number ||
            l->segments[i].timeline != l->segments[n - 1].timeline)
            l->segments[n++] = l->segments[i];
    l->n = n;
}

static int compare_histories(const void *a, const void *b)
{
    const struct history *x = a, *y = b;

    return compare_numbers(x->timeline, y->timeline);
}

static void sort_histories(struct wal_list *l)
{
    if (l->n_histories)
        qsort(l->histories, l->n_histories, sizeof(*l->histories), compare_histories);
}

int wal_read(const char *dir, uint32_t segment_bytes, struct wal_list *l, struct err *err)
{
    struct reading r = {.list = l, .dir = dir};
    DIR *d = opendir(dir);
    int rc;

    *l = (struct wal_list){.segment_bytes = segment_bytes};
    if (!d)
        return err_errno(err, "cannot read the log directory %s", dir);
    r.fd = dirfd(d);
    rc = read_names(&r, d, err);
    closedir(d);
    if (rc < 0) {
        wal_free(l);
        return rc;
    }
    sort_and_merge(l);
    sort_histories(l);
    return 0;
}

void wal_free(struct wal_list *l)
{
    size_t i;

    for (i = 0; i < l->n_histories; i++)
        history_free(&l->histories[i]);
    free(l->histories);
    free(l->segments);
    *l = (struct wal_list){.segment_bytes = l->segment_bytes};
}

/* ---- a base's own ---- */

static void *copy_of(const void *from, size_t n, size_t size)
{
    void *to = mem_array(n, size);

    if (n)
        memcpy(to, from, n * size);
    return to;
}

static void copy_list(const struct wal_list *l, struct wal_list *all)
{
    size_t i;

    *all = *l;
    all->segments = copy_of(l->segments, l->n, sizeof(*l->segments));
    all->histories = copy_of(l->histories, l->n_histories, sizeof(*l->histories));
    for (i = 0; i < l->n_histories; i++)
        all->histories[i].turns =
            copy_of(l->histories[i].turns, l->histories[i].n, sizeof(*l->histories[i].turns));
}

bool wal_has_history(const struct wal_list *l, uint32_t timeline)
{
    size_t i;

    for (i = 0; i < l->n_histories; i++)
        if (l->histories[i].timeline == timeline)
            return true;
    return false;
}

static bool has_segment(const struct wal_list *l, const struct wal_segment *s)
{
    return l->n && bsearch(s, l->segments, l->n, sizeof(*s), compare_places);
}

static void add_own_segments(const struct wal_list *l, const struct wal_list *own,
                             struct wal_list *all)
{
    size_t i;

    all->segments = mem_resize(all->segments, l->n + own->n + 1, sizeof(*all->segments));
    for (i = 0; i < own->n; i++) {
        if (own->segments[i].partial || has_segment(l, &own->segments[i]))
            continue;
        all->segments[all->n] = own->segments[i];
        all->segments[all->n++].own = true;
    }
    sort_and_merge(all);
}

/* What is taken is `own`'s no more. */
static void add_own_histories(const struct wal_list *l, uint32_t timeline, struct wal_list *own,
                              struct wal_list *all)
{
    size_t i;

    all->histories =
        mem_resize(all->histories, l->n_histories + own->n_histories + 1, sizeof(*all->histories));
    for (i = 0; i < own->n_histories; i++) {
        if (own->histories[i].timeline > timeline || wal_has_history(l, own->histories[i].timeline))
            continue;
        all->histories[all->n_histories++] = own->histories[i];
        own->histories[i] = (struct history){0};
    }
    sort_histories(all);
}

void wal_add_own(const struct wal_list *l, const char *pg_wal, uint32_t timeline,
                 struct wal_list *all)
{
    struct wal_list own;
    struct err ignored;

    copy_list(l, all);
    if (wal_read(pg_wal, l->segment_bytes, &own, &ignored) < 0)
        return;
    add_own_segments(l, &own, all);
    add_own_histories(l, timeline, &own, all);
    wal_free(&own);
}

bool wal_end_with_own(struct wal_list *all, uint64_t end, struct wal_segment *missing,
                      struct wal_segment *there)
{
    uint64_t number = end ? (end - 1) / all->segment_bytes : 0;
    size_t i, own = all->n;

    for (i = 0; i < all->n && all->segments[i].number <= number; i++)
        if (all->segments[i].number == number && all->segments[i].own)
            own = i;
    if (own == all->n || i == all->n)
        return false;
    *missing = all->segments[own];
    *there = all->segments[i];
    all->n = i;
    return true;
}

/* ---- timelines ---- */

/* Of a timeline without a history nothing is known but itself. */
static struct history history_of(const struct wal_list *l, uint32_t timeline)
{
    size_t i;

    for (i = 0; i < l->n_histories; i++)
        if (l->histories[i].timeline == timeline)
            return l->histories[i];
    return (struct history){.timeline = timeline};
}

static bool comes_through(const struct history *h, uint32_t timeline, uint64_t at)
{
    uint64_t begin, end;

    return history_part(h, timeline, &begin, &end) && at <= end;
}

uint32_t wal_newest(const struct wal_list *l, uint32_t timeline, uint64_t at)
{
    size_t i;

    for (i = l->n_histories; i-- > 0;)
        if (l->histories[i].timeline > timeline && comes_through(&l->histories[i], timeline, at))
            return l->histories[i].timeline;
    return timeline;
}

bool wal_is_left(const struct wal_list *l, uint32_t timeline, uint64_t at, uint32_t *newest)
{
    *newest = l->n_histories ? l->histories[l->n_histories - 1].timeline : timeline;
    return *newest > wal_newest(l, timeline, at);
}

uint32_t wal_timeline_at(const struct wal_list *l, uint32_t towards, uint64_t at)
{
    struct history h = history_of(l, towards);
    size_t i;

    for (i = 0; i < h.n; i++)
        if (at < h.turns[i].end)
            return h.turns[i].timeline;
    return towards;
}

const struct wal_segment *wal_without_history(const struct wal_list *l, uint32_t towards)
{
    const struct wal_segment *s;

    for (s = l->segments; s < l->segments + l->n; s++)
        if (s->timeline > towards && !history_of(l, s->timeline).n)
            return s;
    return NULL;
}

/* ---- what they cover ---- */

/* The first segment of that number or a higher one. */
static size_t first_at(const struct wal_list *l, uint64_t number)
{
    size_t low = 0, high = l->n, middle;

    while (low < high) {
        middle = low + (high - low) / 2;
        if (l->segments[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where the timeline of a segment is left on the way; 0: that part of it is not on the way. */
static uint64_t left_at(const struct history *h, const struct wal_segment *s, uint32_t bytes)
{
    uint64_t begin, end, start = s->number * bytes;

    return history_part(h, s->timeline, &begin, &end) && begin / bytes <= s->number && end > start
               ? end
               : 0;
}

/* A segment in which a timeline was left is there on the next one too, which repeats its beginning.
 */
const struct wal_segment *wal_segment_at(const struct wal_list *l, uint32_t towards,
                                         uint64_t number)
{
    struct history h = history_of(l, towards);
    const struct wal_segment *found = NULL;
    size_t i;

    for (i = first_at(l, number); i < l->n && l->segments[i].number == number; i++)
        if (left_at(&h, &l->segments[i], l->segment_bytes))
            found = &l->segments[i];
    return found;
}

bool wal_covers(const struct wal_list *l, uint32_t timeline, uint64_t from, uint64_t *end)
{
    uint32_t towards = wal_newest(l, timeline, from);
    struct history h = history_of(l, towards);
    uint64_t number = from / l->segment_bytes, left, next;
    const struct wal_segment *s;

    *end = from;
    for (; (s = wal_segment_at(l, towards, number)); number++) {
        left = left_at(&h, s, l->segment_bytes);
        next = (number + 1) * l->segment_bytes;
        *end = left < next ? left : next;
        if (s->partial || left < next) /* nothing after it was received */
            break;
    }
    return *end > from;
}
