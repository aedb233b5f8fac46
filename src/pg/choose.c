#include "pg/choose.h"

#include <errno.h>
#include <stdlib.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/refusals.h"

enum { T_SCHEMAS, T_NAMES, P_SCHEMAS, P_NAMES, P_EXCLUDE, PATH, PARAMETERS };

/* The tables in order; behind them a row for each pattern that matched nothing. */
static const char choose_sql[] =
    "WITH t AS (SELECT t.nsp, t.rel, t.i, pg_catalog.array_position($6::text[], t.nsp) AS place"
    "  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS t(nsp, rel, i)),"
    " p AS (SELECT * FROM unnest($3::text[], $4::text[], $5::boolean[])"
    "  WITH ORDINALITY AS p(nsp, rel, exclude, no)),"
    " seen AS (SELECT t.*, t.place IS NOT NULL AND NOT EXISTS (SELECT FROM t d"
    "   WHERE d.rel = t.rel AND d.place < t.place) AS visible FROM t),"
    " hit AS MATERIALIZED (SELECT t.i, p.no, p.exclude FROM seen t JOIN p"
    "  ON t.rel COLLATE pg_catalog.\"default\" ~ p.rel AND CASE WHEN p.nsp IS NULL THEN t.visible"
    "   ELSE t.nsp COLLATE pg_catalog.\"default\" ~ p.nsp END)"
    " SELECT t.i, (NOT EXISTS (SELECT FROM p WHERE NOT p.exclude)"
    "   OR t.i IN (SELECT h.i FROM hit h WHERE NOT h.exclude))"
    "  AND t.i NOT IN (SELECT h.i FROM hit h WHERE h.exclude), NULL::bigint FROM t"
    " UNION ALL SELECT NULL, NULL, p.no FROM p"
    "  WHERE NOT p.exclude AND p.no NOT IN (SELECT h.no FROM hit h)"
    " ORDER BY 3 NULLS FIRST, 1";

enum { C_TABLE, C_CHOSEN, C_MISSED };

static void put_arrays(const struct pg_selection *entries, size_t n, const struct pg_chosen *tables,
                       size_t ntables, char *values[PATH])
{
    struct buf b[PATH] = {{0}};
    size_t i;

    for (i = 0; i < PATH; i++)
        buf_putc(&b[i], '{');
    for (i = 0; i < ntables; i++) {
        pg_put_element(&b[T_SCHEMAS], tables[i].schema);
        pg_put_element(&b[T_NAMES], tables[i].name);
    }
    for (i = 0; i < n; i++) {
        pg_put_element(&b[P_SCHEMAS], entries[i].pattern.schema);
        pg_put_element(&b[P_NAMES], entries[i].pattern.name);
        pg_put_element(&b[P_EXCLUDE], entries[i].exclude ? "t" : "f");
    }
    for (i = 0; i < PATH; i++) {
        buf_putc(&b[i], '}');
        values[i] = buf_steal(&b[i]);
    }
}

static int ask_choice(struct pg_conn *conn, char *const *values, struct pg_answer **a,
                      struct err *err)
{
    static const struct pg_wanted wanted = {"NBN", 0, PG_MANY};
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, choose_sql, PARAMETERS, (const char *const *)values, &wanted, a, err);
    pg_rollback(conn);
    return rc;
}

static int refuse_missed_patterns(const struct pg_answer *a, size_t from,
                                  const struct pg_selection *entries, size_t n, struct err *err)
{
    size_t *numbers = mem_array(pg_rows(a) + 1, sizeof(*numbers)), k = 0, i;
    int rc;

    for (i = from; i < pg_rows(a); i++) {
        uint64_t no = pg_number(a, i, C_MISSED);

        if (no >= 1 && no <= n)
            numbers[k++] = (size_t)no - 1;
    }
    rc = k ? pg_refuse_missed("no table of the view matches", entries, numbers, k, err)
           : pg_odd_answer(err, "a pattern that is none");
    free(numbers);
    return rc;
}

static int take_choice(const struct pg_answer *a, struct pg_chosen *tables, size_t ntables,
                       struct err *err)
{
    size_t i, some = 0;

    for (i = 0; i < ntables; i++) {
        tables[i].chosen = pg_true(a, i, C_CHOSEN);
        some += tables[i].chosen;
    }
    return some ? 0 : err_set(err, EINVAL, "no table of the view is left to take");
}

int pg_choose(struct pg_conn *conn, const struct pg_server *server,
              const struct pg_selection *entries, size_t n, struct pg_chosen *tables,
              size_t ntables, struct err *err)
{
    char *values[PARAMETERS];
    struct pg_answer *a = NULL;
    size_t i;
    int rc;

    put_arrays(entries, n, tables, ntables, values);
    values[PATH] = server->search_path;
    rc = ask_choice(conn, values, &a, err);
    if (rc == 0 && pg_rows(a) < ntables)
        rc = pg_odd_answer(err, "too few tables");
    if (rc == 0 && pg_rows(a) > ntables)
        rc = refuse_missed_patterns(a, ntables, entries, n, err);
    else if (rc == 0)
        rc = take_choice(a, tables, ntables, err);
    pg_answer_free(a);
    for (i = 0; i < PATH; i++)
        free(values[i]);
    return rc;
}
