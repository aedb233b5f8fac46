#include "pg/copysql.h"

#include "common/buf.h"
#include "pg/internal.h"

const char *const pg_format_names[] = {"csv", "text", "binary", NULL};

const char *pg_format_name(enum pg_format f)
{
    return pg_format_names[f];
}

const char *pg_format_extension(enum pg_format f)
{
    static const char *const names[] = {".csv", ".txt", ".bin"};

    return names[f];
}

/*
 * Plain COPY names a relation and skips the executor, which is quicker. It refuses materialized
 * views and generated columns, cannot name no columns, and knows no ranges; then a SELECT stands in
 * its place. A partitioned table is read leaf by leaf; itself it has no rows, only a header.
 */
static bool needs_select(const struct pg_copy_source *s)
{
    size_t i, n = 0;

    if (s->rel->kind != 'r' || s->table->filter || s->range.from || s->range.until)
        return true;
    for (i = 0; i < s->table->ncolumns; i++) {
        if (s->skip && s->skip[i])
            continue;
        if (s->table->columns[i].generated)
            return true;
        n++;
    }
    return n == 0;
}

static int put_columns(struct pg_conn *conn, struct buf *sql, const struct pg_copy_source *s,
                       struct err *err)
{
    const struct pg_table *t = s->table;
    bool any = false;
    size_t i;
    int rc = 0;

    for (i = 0; i < t->ncolumns && rc == 0; i++) {
        if (s->skip && s->skip[i])
            continue;
        buf_puts(sql, any ? ", " : "");
        rc = pg_put_identifier(conn, sql, t->columns[i].name, err);
        any = true;
    }
    return rc;
}

static void put_conditions(struct buf *sql, const struct pg_copy_source *s)
{
    const struct pg_copy_range *r = &s->range;
    const char *word = " WHERE ";

    if (r->from || r->until) {
        buf_printf(sql, "%sctid >= '(%llu,0)'", word, (unsigned long long)r->from);
        word = " AND ";
    }
    if (r->until)
        buf_printf(sql, "%sctid < '(%llu,0)'", word, (unsigned long long)r->until);
    if (s->table->filter)
        buf_printf(sql, "%s(%s)", word, s->table->filter);
}

static int put_select(struct pg_conn *conn, struct buf *sql, const struct pg_copy_source *s,
                      struct err *err)
{
    int rc;

    buf_puts(sql, "(SELECT ");
    rc = put_columns(conn, sql, s, err);
    buf_puts(sql, " FROM ONLY ");
    if (rc == 0)
        rc = pg_put_relation(conn, sql, s->rel->schema, s->rel->name, err);
    buf_puts(sql, " AS "); /* a filter may name the table, also where the rows are a leaf's */
    if (rc == 0)
        rc = pg_put_identifier(conn, sql, s->table->rel.name, err);
    put_conditions(sql, s);
    buf_putc(sql, ')');
    return rc;
}

static int put_relation(struct pg_conn *conn, struct buf *sql, const struct pg_copy_source *s,
                        struct err *err)
{
    int rc = pg_put_relation(conn, sql, s->rel->schema, s->rel->name, err);

    buf_puts(sql, " (");
    if (rc == 0)
        rc = put_columns(conn, sql, s, err);
    buf_putc(sql, ')');
    return rc;
}

static int put_options(struct pg_conn *conn, struct buf *sql, enum pg_format format, bool header,
                       const char *encoding, struct err *err)
{
    int rc = 0;

    buf_printf(sql, " (FORMAT %s", pg_format_name(format));
    if (format == PG_FORMAT_CSV)
        buf_printf(sql, ", HEADER %s", header ? "true" : "false");
    if (format != PG_FORMAT_BINARY) {
        buf_puts(sql, ", ENCODING ");
        rc = pg_put_literal(conn, sql, encoding, err);
    }
    buf_putc(sql, ')');
    return rc;
}

int pg_copy_sql(struct pg_conn *conn, const struct pg_copy_source *s, char **sql, struct err *err)
{
    struct buf b = {0};
    int rc;

    buf_puts(&b, "COPY ");
    rc = needs_select(s) ? put_select(conn, &b, s, err) : put_relation(conn, &b, s, err);
    buf_puts(&b, " TO STDOUT");
    if (rc == 0)
        rc = put_options(conn, &b, s->format, s->header, s->encoding, err);
    if (rc == 0)
        *sql = buf_steal(&b);
    buf_free(&b);
    return rc;
}

int pg_copyin_sql(struct pg_conn *conn, const struct pg_copy_target *t, char **sql, struct err *err)
{
    struct buf b = {0};
    size_t i;
    int rc;

    buf_puts(&b, "COPY ");
    rc = pg_put_relation(conn, &b, t->schema, t->table, err);
    for (i = 0; i < t->ncolumns && rc == 0; i++) {
        buf_puts(&b, i ? ", " : " (");
        rc = pg_put_identifier(conn, &b, t->columns[i], err);
    }
    buf_puts(&b, t->ncolumns ? ") FROM STDIN" : " FROM STDIN");
    if (rc == 0)
        rc = put_options(conn, &b, t->format, t->header, t->encoding, err);
    if (rc == 0)
        *sql = buf_steal(&b);
    buf_free(&b);
    return rc;
}

int pg_insert_sql(struct pg_conn *conn, const struct pg_copy_source *s, const char *schema,
                  char **sql, struct err *err)
{
    struct buf b = {0};
    int rc;

    buf_puts(&b, "INSERT INTO ");
    rc = pg_put_relation(conn, &b, schema, s->table->rel.name, err);
    buf_puts(&b, s->table->ncolumns ? " (" : " ");
    if (rc == 0)
        rc = put_columns(conn, &b, s, err);
    buf_puts(&b, s->table->ncolumns ? ") " : "");
    if (rc == 0)
        rc = put_select(conn, &b, s, err);
    if (rc == 0)
        *sql = buf_steal(&b);
    buf_free(&b);
    return rc;
}

int pg_lock_nowait_sql(struct pg_conn *conn, const struct pg_relation *rel, char **sql,
                       struct err *err)
{
    struct buf b = {0};
    int rc;

    buf_puts(&b, "LOCK TABLE ONLY ");
    rc = pg_put_relation(conn, &b, rel->schema, rel->name, err);
    buf_puts(&b, " IN ACCESS SHARE MODE NOWAIT");
    if (rc == 0)
        *sql = buf_steal(&b);
    buf_free(&b);
    return rc;
}
