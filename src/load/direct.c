/*
 * Without files: the snapshot workers load what they extract (extract/guest.h). The gate says when a
 * table's chunks may be handed out, and is told of those that are in; the rest, delete workers,
 * steps, publishing, is as with files.
 *
 * The binary form is the fastest, but it is safe only where a value has no number of a catalog in it:
 * regclass comes out as the OID of something else, an array of an enum is refused for the OID of its
 * type. So it is chosen where the types of all columns are portable (pg/typeform.h), and text
 * elsewhere.
 */
#include "load/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "pg/share.h"

static int loaded(void *arg, size_t table, uint32_t chunk, uint64_t rows, uint64_t bytes,
                  struct err *err)
{
    struct gate_job job = {.kind = GATE_LOAD, .item = (uint32_t)table, .part = chunk};
    struct loading *l = arg;

    l->bytes_told += bytes;
    return loading_job_done(l, &job, rows, bytes, err);
}

static struct extract_direct_table make_table(struct loading *l, size_t i)
{
    const struct pg_snaptable *t = &l->tables[i];
    struct table_work *w = &l->work[i];
    size_t k;

    w->skip = mem_array(t->ncolumns + 1, sizeof(*w->skip));
    for (k = 0; k < t->ncolumns; k++)
        w->skip[k] = t->columns[k].skip;
    log_debug("direct: %s.%s as %s", t->schema, t->name, pg_format_name(w->format));
    return (struct extract_direct_table){.schema = l->list->tables[i].schema,
                                         .name = t->name,
                                         .copy_sql = w->copy_sql ? w->copy_sql : "",
                                         .format = w->format,
                                         .skip = w->skip,
                                         .first_chunk = w->first_chunk};
}

void loading_make_direct(struct loading *l)
{
    size_t i;

    l->direct_tables = mem_array(l->list->n + 1, sizeof(*l->direct_tables));
    for (i = 0; i < l->list->n; i++)
        l->direct_tables[i] = make_table(l, i);
    l->direct = (struct extract_direct){.target = &l->target,
                                        .name = l->req.name,
                                        .run = l->run,
                                        .lc_monetary = l->lc_monetary,
                                        .lock_timeout_ms = l->req.lock_timeout_ms,
                                        .objects = l->req.mode == LOADING_OBJECTS,
                                        .tables = l->direct_tables,
                                        .loaded = loaded,
                                        .arg = l};
}

const struct extract_direct *loading_direct(const struct loading *l)
{
    return l->direct_tables ? &l->direct : NULL;
}

/* ---- others may join ---- */

static void share_tables(const struct loading *l, struct pg_share *s)
{
    size_t i;

    s->tables = mem_array(l->list->n + 1, sizeof(*s->tables));
    for (i = 0; i < l->list->n; i++) {
        const char *schema = l->shadows ? pg_shadow_schema(l->shadows, i) : l->tables[i].schema;

        s->tables[i] = (struct pg_share_table){.target_schema = (char *)(uintptr_t)schema,
                                               .skip = l->work[i].skip,
                                               .format = l->work[i].format};
    }
}

static void share_chunks(const struct plan *p, struct pg_share *s)
{
    size_t k;

    s->nchunks = p->nchunks;
    s->chunks = mem_array(p->nchunks + 1, sizeof(*s->chunks));
    for (k = 0; k < p->nchunks; k++)
        s->chunks[k] = (struct pg_share_chunk){.table = p->chunks[k].table,
                                               .leaf = p->chunks[k].leaf,
                                               .range = p->chunks[k].range,
                                               .weight = p->chunks[k].weight};
}

static void shut_all(struct loading *l)
{
    uint32_t i;

    l->shut = mem_array(l->list->n + 1, sizeof(*l->shut));
    for (i = 0; i < l->list->n; i++)
        l->shut[l->nshut++] = i;
}

int loading_share(struct loading *l, const struct loading_shared *shared, struct err *err)
{
    struct pg_share s = {.run = l->run,
                         .snapshot_id = (char *)(uintptr_t)shared->snapshot_id,
                         .system_identifier = l->list->system_identifier,
                         .database = l->list->database,
                         .encoding = l->list->encoding,
                         .timezone = l->list->timezone,
                         .catalog = (struct pg_catalog *)(uintptr_t)shared->catalog};
    int rc;

    if (!s.snapshot_id || !s.system_identifier || !*s.system_identifier)
        return 0;
    share_tables(l, &s);
    share_chunks(shared->plan, &s);
    rc = pg_share_write(l->conn, l->req.name, &s, err);
    l->shared = rc == 0;
    if (l->shared)
        shut_all(l);
    if ((rc == -EACCES || rc == -EEXIST) && !l->req.quiet)
        log_note("no other host can join this copy: %s", err->text);
    free(s.tables);
    free(s.chunks);
    return rc == -EACCES || rc == -EEXIST ? 0 : rc;
}

int loading_open_shared(struct loading *l, struct err *err)
{
    uint32_t *open;
    size_t i, n = 0, left = 0;
    int rc = 0;

    if (!l->nshut)
        return 0;
    open = mem_array(l->nshut, sizeof(*open));
    for (i = 0; i < l->nshut; i++)
        if (gate_is_open(l->gate, l->shut[i]))
            open[n++] = l->shut[i];
        else
            l->shut[left++] = l->shut[i];
    l->nshut = left;
    if (n)
        rc = pg_share_open(l->conn, l->req.name, l->run, open, n, err);
    free(open);
    return rc;
}
