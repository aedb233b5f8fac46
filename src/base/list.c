#include "base/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "common/mem.h"
#include "pg/slot.h"
#include "replay/moment.h"
#include "replay/pagewal.h"
#include "store/livewal.h"
#include "base/writer.h"

/* ---- bases ---- */

/* From its first moment to the end, as a mount would find them. */
static void take_range(struct base_listed *b, const struct wal_list *all,
                       const struct wal_reach *reach)
{
    const struct store_base_facts *f = &b->facts;
    uint64_t first = moment_first_lsn(f), end;

    if (reach->end && moment_reaches(reach->end, first, all->segment_bytes)) {
        b->wal_end = reach->end;
        b->wal_end_time = moment_last_time(f, reach);
        return;
    }
    if (!wal_covers(all, f->timeline, f->start_lsn, &end))
        end = f->start_lsn;
    wal_segment_name(wal_timeline_at(all, wal_newest(all, f->timeline, first), end),
                     end / all->segment_bytes, all->segment_bytes, b->missing);
}

static int look_at_wal(struct base_listed *b, const struct store *s, const struct wal_list *log,
                       struct err *err)
{
    const struct store_base_facts *f = &b->facts;
    char *own = mem_printf("%s/pg_wal", b->directory);
    struct wal_segment missing, there;
    struct wal_reach reach;
    struct wal_list all;
    struct wal_way way = {.list = &all,
                          .dir = store_wal_directory(s),
                          .own = own,
                          .system = store_cluster(s) ? store_cluster(s)->system_identifier : 0,
                          .timeline = f->timeline,
                          .from = f->start_lsn,
                          .before = UINT64_MAX};
    int rc = 0;

    wal_add_own(log, own, f->timeline, &all);
    if (b->freeze)
        wal_end_with_own(&all, f->consistent_lsn, &missing, &there);
    if (!wal_is_left(log, f->timeline, moment_first_lsn(f), &b->left_for)) {
        b->left_for = 0;
        rc = pagewal_reach(s, &way, &reach, err);
        if (rc == 0)
            take_range(b, &all, &reach);
    }
    wal_free(&all);
    free(own);
    return rc;
}

static void look_at_base(struct base_listed *b, struct store *s, const struct wal_list *log)
{
    struct store_base opened;
    struct err err;
    int rc = store_open_base(s, b->id, &opened, &err);

    store_is_frozen(s, b->id, &b->freeze, &b->made_for, NULL);
    b->rung = store_is_rung(s, b->id);
    if (rc == 0) {
        b->directory = mem_strdup(opened.directory);
        if (opened.n_layers)
            b->below = mem_strdup(opened.n_layers > 1 ? opened.layer_ids[opened.n_layers - 2]
                                                      : opened.directory_id);
        rc = manifest_check(opened.manifest, opened.disk, &err); /* as a mount does */
        store_close_base(&opened);
    }
    if (rc == 0)
        rc = store_base_facts(s, b->id, &b->facts, &err);
    if (rc == 0 && !b->facts.plain)
        rc = look_at_wal(b, s, log, &err);
    if (rc < 0)
        b->error = mem_strdup(err.text);
}

static void free_listed(struct base_listed *b)
{
    free(b->id);
    free(b->error);
    free(b->below);
    free(b->made_for);
    free(b->directory);
    *b = (struct base_listed){0};
}

static int look_at_bases(struct base_list *l, struct store *s, const struct wal_list *log,
                         struct err *err)
{
    char **ids, **id;
    int rc = store_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    for (id = ids; *id; id++)
        l->n++;
    l->bases = mem_array(l->n, sizeof(*l->bases));
    for (l->n = 0, id = ids; *id; id++) {
        l->bases[l->n].id = mem_strdup(*id);
        look_at_base(&l->bases[l->n], s, log);
        if (l->bases[l->n].error && !store_has_base(s, *id))
            free_listed(&l->bases[l->n]); /* it was dropped just now */
        else
            l->n++;
    }
    store_names_free(ids);
    return 0;
}

/* ---- the live base ---- */

/* "2024-05-06T07:08:09.123456Z" in seconds since 1970; 0: it is none. */
static int64_t seconds_of(const json_t *time)
{
    const char *text = json_string_value(time);
    struct tm tm = {0};

    return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : 0;
}

static void take_freeze(struct base_list *l, const json_t *freeze)
{
    const json_t *bytes = json_object_get(freeze, "bytes");
    json_int_t number = json_integer_value(json_object_get(freeze, "number"));
    size_t i;

    for (i = 0; i < l->n && number > 0 && json_is_integer(bytes); i++)
        if (l->bases[i].freeze == (uint64_t)number && json_integer_value(bytes) >= 0) {
            l->bases[i].kept_known = true;
            l->bases[i].kept = (uint64_t)json_integer_value(bytes);
            l->bases[i].frozen_at = seconds_of(json_object_get(freeze, "time"));
        }
}

/* With a base that is not understood, which was told, it is not known. */
static void look_at_live(struct base_list *l, struct store *s)
{
    json_t *status, *freeze;
    size_t i;

    if (store_find_live(s, &l->live, NULL) != 1 || !l->live.mount)
        return;
    store_read_status(l->live.mount, &status, NULL);
    json_array_foreach(json_object_get(status, "freezes"), i, freeze) take_freeze(l, freeze);
    json_decref(status);
}

/* ---- the log ---- */

/* The log, or an empty one where there is none (yet). */
static int read_wal(struct store *s, struct wal_list *log, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    int rc;

    *log = (struct wal_list){.segment_bytes = c ? c->segment_bytes : 1u << 24};
    if (!c)
        return 0;
    livewal_bring(s);
    rc = wal_read(store_wal_directory(s), c->segment_bytes, log, err);
    return rc == -ENOENT && !c->log ? 0 : rc;
}

static void add_gap(struct base_list *l, size_t *room, const struct wal_list *log,
                    const struct wal_segment *after, uint64_t first)
{
    struct wal_gap *gap;

    l->gaps = mem_grow(l->gaps, l->n_gaps, room, sizeof(*l->gaps));
    gap = &l->gaps[l->n_gaps++];
    wal_segment_name(after->timeline, first, log->segment_bytes, gap->first);
    wal_segment_name(after->timeline, after->number - 1, log->segment_bytes, gap->last);
}

static void find_gaps(struct base_list *l, const struct wal_list *log)
{
    size_t i = 0, room = 0;
    uint64_t end;

    while (i < log->n) {
        const struct wal_segment *g = &log->segments[i];

        /* one on a branch that was left covers nothing */
        end = wal_covers(log, g->timeline, g->number * log->segment_bytes, &end)
                  ? (end - 1) / log->segment_bytes + 1
                  : g->number + 1;
        while (i < log->n && log->segments[i].number < end)
            i++;
        if (i < log->n && log->segments[i].number != end) /* else a timeline that begins anew */
            add_gap(l, &room, log, &log->segments[i], end);
    }
}

static void describe_wal(struct base_list *l, const struct store *s, const struct wal_list *log)
{
    l->log = mem_strdup(store_wal_directory(s));
    l->segments = log->n;
    l->bytes = (uint64_t)log->n * log->segment_bytes;
    if (log->n)
        l->received = log->segments[log->n - 1].written.tv_sec;
    find_gaps(l, log);
}

/* ---- all of it ---- */

static int read_store(struct base_list *l, struct store *s, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    struct wal_list log;
    int rc = read_wal(s, &log, err);

    if (rc < 0)
        return rc;
    rc = look_at_bases(l, s, &log, err);
    if (rc == 0)
        look_at_live(l, s);
    if (rc == 0 && c) {
        l->of_cluster = true;
        describe_wal(l, s, &log);
        l->restore_command = mem_strdup(c->restore_command);
        l->conninfo = mem_strdup(c->conninfo);
        l->slot = mem_strdup(c->slot);
    }
    wal_free(&log);
    return rc;
}

int base_list_read(const char *store, const char *run_as, struct base_list *l, struct err *err)
{
    struct writer w = {.path = store, .run_as = run_as};
    int rc = writer_open(&w, false, err);

    *l = (struct base_list){0};
    if (rc == 0)
        rc = read_store(l, w.store, err);
    writer_close(&w, rc);
    return rc;
}

void base_list_free(struct base_list *l)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        free_listed(&l->bases[i]);
    free(l->bases);
    store_live_free(&l->live);
    free(l->log);
    free(l->gaps);
    free(l->restore_command);
    free(l->conninfo);
    free(l->slot);
    *l = (struct base_list){0};
}

int base_list_slot(const struct base_list *l, struct slot_listed *slot, struct err *err)
{
    int64_t retained = pg_slot_retained(l->conninfo, l->slot, &slot->active, err);

    if (retained < 0)
        return (int)retained;
    slot->retained = (uint64_t)retained;
    return 0;
}
