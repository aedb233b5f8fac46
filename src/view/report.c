#include "view/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/csv.h"
#include "view/internal.h"

/* A name can hold bytes that are no UTF-8 (SQL_ASCII databases); JSON cannot. */
static json_t *json_text(const char *s)
{
    json_t *j = json_string(s);
    struct buf b = {0};

    if (j)
        return j;
    for (; *s; s++) {
        if ((unsigned char)*s < 0x80)
            buf_putc(&b, *s);
        else
            buf_printf(&b, "\\x%02x", (unsigned char)*s);
    }
    j = json_string(b.data);
    buf_free(&b);
    return j;
}

static void put_json(json_t *j, struct buf *out)
{
    char *s = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));

    buf_puts(out, s ? s : "{}");
    buf_putc(out, '\n');
    free(s);
    json_decref(j);
}

static json_t *server_json(const struct snapshot *s)
{
    return json_pack("{s:o,s:s,s:o,s:o,s:o,s:b}", "version", json_text(s->server.version_text),
                     "system_identifier", s->server.system_identifier, "source",
                     json_text(s->source), "database", json_text(s->server.database), "user",
                     json_text(s->server.user), "in_recovery", s->server.in_recovery);
}

/* Everything that shapes the text of values. */
static json_t *settings_json(const struct snapshot *s)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s,s:s*}", "timezone", s->req.timezone,
                     "encoding", s->encoding, "server_encoding", s->server.encoding, "datestyle",
                     "ISO, MDY", "intervalstyle", "postgres", "bytea_output", "hex",
                     "extra_float_digits", 1, "lc_monetary", s->server.lc_monetary, "format",
                     pg_format_name(s->req.format), "compression", s->req.compress ? "zstd" : NULL);
}

static void snapshot(struct snapshot *s, struct buf *out)
{
    struct results *r = snapshot_results(s);
    json_t *j;

    pthread_mutex_lock(&r->lock);
    j = json_pack("{s:s,s:s,s:s*,s:s,s:s,s:o,s:{s:i,s:i},s:o}", "asofs", PACKAGE_VERSION, "moment",
                  s->moment.time, "lsn_from", s->moment.lsn_from, "lsn", s->moment.lsn, "protocol",
                  s->req.freeze_by_lock ? "lock" : "export", "server", server_json(s), "workers",
                  "asked", (int)s->req.jobs, "joined", (int)r->joined, "settings",
                  settings_json(s));
    pthread_mutex_unlock(&r->lock);
    put_json(j, out);
}

struct totals {
    json_int_t count[TABLE_FAILED + 1];
    json_int_t ready; /* rendered: readable, and nobody has asked how long it is */
    json_int_t rows, bytes, estimate, estimate_done;
};

static bool is_ready(const struct snapshot *s, size_t table)
{
    return snapshot_renders(s, table) && snapshot_results(s)->ended &&
           snapshot_results(s)->tables[table].state == TABLE_WAITING;
}

static struct totals total_of(const struct snapshot *s)
{
    const struct results *r = snapshot_results(s);
    struct totals t = {0};
    size_t i;

    for (i = 0; i < r->n; i++) {
        const struct table_result *x = &r->tables[i];

        if (is_ready(s, i))
            t.ready++;
        else
            t.count[x->state]++;
        t.rows += (json_int_t)x->rows;
        t.bytes += (json_int_t)(x->bytes + x->under_way);
        t.estimate += (json_int_t)x->estimate;
        if (x->state == TABLE_COMPLETE || x->state == TABLE_FAILED)
            t.estimate_done += (json_int_t)x->estimate;
        else if (x->chunks)
            t.estimate_done += (json_int_t)(x->estimate / x->chunks * x->chunks_done);
    }
    return t;
}

static const char *state_name(const struct results *r, const struct totals *t)
{
    if (!r->ended)
        return "extracting";
    return t->count[TABLE_FAILED] ? "failed" : "complete";
}

static void status(struct snapshot *s, struct buf *out)
{
    struct results *r = snapshot_results(s);
    int64_t now = clock_ms();
    struct totals t;
    json_t *j;

    pthread_mutex_lock(&r->lock);
    t = total_of(s);
    j = json_pack(
        "{s:s,s:b,s:f,s:f,s:f,s:{s:I,s:I,s:I,s:I,s:I,s:I},s:I,s:I,s:I,s:I,s:I}", "state",
        state_name(r, &t), "source_held", !s->of_store && !r->released, "held_seconds",
        s->of_store ? 0.0 : (double)((r->released ? r->released_at : now) - s->locked) / 1000,
        "freeze_seconds", (double)(s->frozen - s->started) / 1000, "extract_seconds",
        (double)((r->ended ? r->ended_at : now) - s->frozen) / 1000, "tables", "all",
        (json_int_t)r->n, "waiting", t.count[TABLE_WAITING], "running", t.count[TABLE_RUNNING],
        "complete", t.count[TABLE_COMPLETE], "failed", t.count[TABLE_FAILED], "ready", t.ready,
        "chunks", (json_int_t)s->plan.nchunks, "rows", t.rows, "bytes", t.bytes, "estimated_bytes",
        t.estimate, "estimated_bytes_done", t.estimate_done);
    pthread_mutex_unlock(&r->lock);
    put_json(j, out);
}

static const char *kind_name(char kind)
{
    return kind == 'p' ? "partitioned table" : kind == 'm' ? "materialized view" : "table";
}

static double seconds_of(const struct table_result *r)
{
    if (!r->started_at)
        return 0;
    return (double)((r->ended_at ? r->ended_at : clock_ms()) - r->started_at) / 1000;
}

static void put_table(const struct snapshot *s, size_t i, struct buf *out)
{
    const struct pg_relation *rel = &s->catalog->tables[i].rel;
    const struct table_result *r = &snapshot_results(s)->tables[i];

    csv_put_field(out, rel->schema);
    buf_putc(out, ',');
    csv_put_field(out, rel->name);
    buf_putc(out, ',');
    csv_put_field(out, s->tree.paths[i]);
    buf_printf(out, ",%s,%s,%llu,%llu,%llu,%zu,%.3f,", kind_name(rel->kind),
               is_ready(s, i) ? "ready" : table_state_name(r->state), (unsigned long long)r->rows,
               (unsigned long long)(r->bytes + r->under_way), (unsigned long long)r->estimate,
               r->chunks, seconds_of(r));
    if (r->state == TABLE_COMPLETE && r->checksum)
        buf_printf(out, "%016llx", (unsigned long long)r->checksum);
    buf_putc(out, ',');
    csv_put_field(out, r->error);
    buf_putc(out, ',');
    csv_put_field(out, s->catalog->tables[i].filter);
    buf_puts(out, snapshot_renders(s, i) ? ",heap," : ",copy,");
    csv_put_field(out, snapshot_why_copied(s, i));
    buf_putc(out, '\n');
}

static void tables(struct snapshot *s, struct buf *out)
{
    struct results *r = snapshot_results(s);
    size_t i;

    buf_puts(out, "schema,table,file,kind,state,rows,bytes,estimated_bytes,chunks,seconds,xxh3,"
                  "error,filter,via,reason\n");
    pthread_mutex_lock(&r->lock);
    for (i = 0; i < r->n; i++)
        put_table(s, i, out);
    pthread_mutex_unlock(&r->lock);
}

/* What each file has in it, from left to right. */
static void columns(struct snapshot *s, struct buf *out)
{
    size_t i, k;

    buf_puts(out, "schema,table,column,type,generated,inside\n");
    for (i = 0; i < s->catalog->ntables; i++) {
        const struct pg_table *t = &s->catalog->tables[i];

        for (k = 0; k < t->ncolumns; k++) {
            csv_put_field(out, t->rel.schema);
            buf_putc(out, ',');
            csv_put_field(out, t->rel.name);
            buf_putc(out, ',');
            csv_put_field(out, t->columns[k].name);
            buf_putc(out, ',');
            csv_put_field(out, t->columns[k].type_name);
            buf_puts(out, t->columns[k].generated ? ",t," : ",f,");
            csv_put_field(out, t->columns[k].inside);
            buf_putc(out, '\n');
        }
    }
}

static void put_chunks(const struct table_result *t, const char *path, struct buf *out)
{
    uint64_t offset = 0;
    size_t k;

    for (k = 0; k < t->chunks; k++) {
        if (t->lengths[k]) {
            csv_put_field(out, path);
            buf_printf(out, ",%llu,%llu,%016llx\n", (unsigned long long)offset,
                       (unsigned long long)t->lengths[k], (unsigned long long)t->chunk_sums[k]);
        }
        offset += t->lengths[k];
    }
}

/* Where a file may be cut into parts that hold whole rows; of those that are complete. */
static void chunks(struct snapshot *s, struct buf *out)
{
    struct results *r = snapshot_results(s);
    size_t i;

    buf_puts(out, "file,offset,bytes,xxh3\n");
    pthread_mutex_lock(&r->lock);
    for (i = 0; i < r->n; i++)
        if (r->tables[i].state == TABLE_COMPLETE)
            put_chunks(&r->tables[i], s->tree.paths[i], out);
    pthread_mutex_unlock(&r->lock);
}

static void errors(struct snapshot *s, struct buf *out)
{
    struct results *r = snapshot_results(s);
    size_t i;

    pthread_mutex_lock(&r->lock);
    for (i = 0; i < r->n; i++)
        if (r->tables[i].error)
            buf_printf(out, "%s: %s\n", s->tree.paths[i], r->tables[i].error);
    if (r->schema_error)
        buf_printf(out, "schema.sql could not be made: %s\n", r->schema_error);
    pthread_mutex_unlock(&r->lock);
}

static void schema(struct snapshot *s, struct buf *out)
{
    struct results *r = snapshot_results(s);
    const char *line;

    pthread_mutex_lock(&r->lock);
    line = r->schema_error;
    if (!line)
        buf_put(out, r->schema.data, r->schema.len);
    else
        buf_puts(out, "-- The definitions could not be read:\n");
    while (line && *line) {
        size_t n = strcspn(line, "\n");

        buf_printf(out, "-- %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    pthread_mutex_unlock(&r->lock);
}

bool report_is_of_results(enum meta_file which)
{
    return which == META_CHUNKS || which == META_ERRORS || which == META_STATUS ||
           which == META_TABLES;
}

struct flatfile *report_make(struct snapshot *s, enum meta_file which)
{
    static void (*const makers[META_FILES])(struct snapshot *, struct buf *) = {
        [META_CHUNKS] = chunks, [META_COLUMNS] = columns,   [META_ERRORS] = errors,
        [META_SCHEMA] = schema, [META_SNAPSHOT] = snapshot, [META_STATUS] = status,
        [META_TABLES] = tables,
    };
    struct buf text = {0};

    makers[which](s, &text);
    return flatfile_from_text(&text);
}
