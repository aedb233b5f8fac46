#include "view/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/csv.h"
#include "view/internal.h"

/* A name can hold bytes that are no UTF-8 (SQL_ASCII databases); JSON cannot. */
static json_t *text(const char *s)
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

static json_t *server_json(const struct view *v)
{
    return json_pack("{s:o,s:s,s:o,s:o,s:o,s:b}", "version", text(v->server.version_text),
                     "system_identifier", v->server.system_identifier, "source", text(v->source),
                     "database", text(v->server.database), "user", text(v->server.user),
                     "in_recovery", v->server.in_recovery);
}

/* Everything that shapes the text of values. */
static json_t *settings_json(const struct view *v)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:s,s:s}", "timezone", v->req->timezone,
                     "encoding", v->req->encoding, "server_encoding", v->server.encoding,
                     "datestyle", "ISO, MDY", "intervalstyle", "postgres", "bytea_output", "hex",
                     "extra_float_digits", 1, "lc_monetary", v->server.lc_monetary, "format",
                     pg_format_name(v->req->format));
}

static json_t *totals_json(const struct view *v)
{
    struct results *r = coordinator_results(v->coordinator);
    json_int_t rows = 0, bytes = 0;
    size_t t;

    for (t = 0; t < r->n; t++) {
        rows += (json_int_t)r->tables[t].rows;
        bytes += (json_int_t)r->tables[t].bytes;
    }
    return json_pack("{s:I,s:I,s:I,s:I}", "tables", (json_int_t)r->n, "chunks",
                     (json_int_t)v->plan.nchunks, "rows", rows, "bytes", bytes);
}

void report_snapshot(const struct view *v, struct buf *out)
{
    json_t *j = json_pack(
        "{s:s,s:s,s:s,s:s,s:o,s:{s:i,s:i},s:o,s:o,s:{s:f,s:f}}", "asofs", PACKAGE_VERSION, "moment",
        v->moment.time, "lsn", v->moment.lsn, "protocol", "export", "server", server_json(v),
        "workers", "asked", (int)v->req->jobs, "joined", (int)coordinator_joined(v->coordinator),
        "settings", settings_json(v), "totals", totals_json(v), "seconds", "freeze",
        (double)(v->frozen - v->started) / 1000, "extract",
        (double)(v->extracted - v->frozen) / 1000);
    char *s = json_dumps(j, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    buf_puts(out, s ? s : "{}");
    buf_putc(out, '\n');
    free(s);
    json_decref(j);
}

static const char *kind_name(char kind)
{
    return kind == 'p' ? "partitioned table" : kind == 'm' ? "materialized view" : "table";
}

static void put_table(const struct view *v, size_t i, struct buf *out)
{
    const struct pg_relation *rel = &v->catalog->tables[i].rel;
    const struct table_result *r = &coordinator_results(v->coordinator)->tables[i];

    csv_put_field(out, rel->schema);
    buf_putc(out, ',');
    csv_put_field(out, rel->name);
    buf_putc(out, ',');
    csv_put_field(out, v->tree.paths[i]);
    buf_printf(out, ",%s,%s,%llu,%llu,%llu,%zu,%016llx,", kind_name(rel->kind),
               table_state_name(r->state), (unsigned long long)r->rows,
               (unsigned long long)r->bytes, (unsigned long long)r->estimate, r->chunks,
               (unsigned long long)r->checksum);
    csv_put_field(out, r->error);
    buf_putc(out, '\n');
}

void report_tables(const struct view *v, struct buf *out)
{
    size_t i;

    buf_puts(out, "schema,table,file,kind,state,rows,bytes,estimated_bytes,chunks,xxh3,error\n");
    for (i = 0; i < v->catalog->ntables; i++)
        put_table(v, i, out);
}

void report_errors(const struct view *v, struct buf *out)
{
    const char *schema = coordinator_schema_error(v->coordinator);

    if (*schema)
        buf_printf(out, "schema.sql could not be made: %s\n", schema);
}

void report_schema(const struct view *v, struct buf *out)
{
    const char *line = coordinator_schema_error(v->coordinator);

    if (!*line) {
        buf_put(out, v->dump.text.data, v->dump.text.len);
        return;
    }
    buf_puts(out, "-- The definitions could not be read:\n");
    while (*line) {
        size_t n = strcspn(line, "\n");

        buf_printf(out, "-- %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
}
