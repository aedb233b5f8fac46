#include "pg/recalled.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/mem.h"
#include "pg/internal.h"

static uint64_t key_of(const char *sql)
{
    struct hash *h = hash_new();
    uint64_t key;

    hash_update(h, sql, strlen(sql));
    key = hash_value(h);
    hash_free(h);
    return key;
}

void pg_memory_free(struct pg_memory *m)
{
    size_t i;

    if (!m)
        return;
    for (i = 0; i < m->n; i++)
        free(m->kept[i].cells);
    for (i = 0; i < m->nbytes; i++)
        free(m->bytes[i]);
    free(m->kept);
    free(m->bytes);
    for (i = 0; i < PG_MEMORY_TEXTS; i++)
        free(m->server[i]);
    free(m);
}

/* ---- the bytes ---- */

static char *own_bytes(struct pg_memory *m, const char *bytes, size_t len)
{
    char *own = mem_alloc(len + 1);

    if (len)
        memcpy(own, bytes, len);
    m->bytes = mem_resize(m->bytes, m->nbytes + 1, sizeof(*m->bytes));
    return m->bytes[m->nbytes++] = own;
}

/* A cell: NULL_CELL; or TEXT_CELL, the text and a zero. */
enum { NULL_CELL = 'n', TEXT_CELL = 't' };

static void put_cell(struct buf *b, const char *text)
{
    buf_putc(b, text ? TEXT_CELL : NULL_CELL);
    if (text)
        buf_put(b, text, strlen(text) + 1);
}

/* From *p on, where it ends is left. */
static bool take_cell(const char **p, const char *end, const char **cell)
{
    const char *zero;

    *cell = NULL;
    if (*p < end && **p == NULL_CELL) {
        (*p)++;
        return true;
    }
    if (*p == end || **p != TEXT_CELL)
        return false;
    *cell = *p + 1;
    zero = memchr(*cell, '\0', (size_t)(end - *cell));
    *p = zero ? zero + 1 : end;
    return zero;
}

/* All that is left of p belongs to it, or to those after it. */
static bool take_cells(struct pg_kept *k, const char **p, const char *end)
{
    size_t n = (size_t)k->columns * k->rows, i;

    if (n > (size_t)(end - *p))
        return false;
    k->cells = mem_array(n + 1, sizeof(*k->cells));
    for (i = 0; i < n; i++)
        if (!take_cell(p, end, &k->cells[i]))
            return false;
    return true;
}

static struct pg_kept *add_kept(struct pg_memory *m, uint64_t key, uint32_t columns, uint32_t rows)
{
    m->kept = mem_resize(m->kept, m->n + 1, sizeof(*m->kept));
    m->kept[m->n] = (struct pg_kept){.key = key, .columns = columns, .rows = rows};
    return &m->kept[m->n++];
}

static const char *cell_of(const struct pg_answer *a, size_t row, size_t column)
{
    return pg_is_null(a, row, column) ? NULL : pg_text(a, row, column);
}

void pg_memory_keep(struct pg_memory *m, const char *sql, const struct pg_answer *a)
{
    size_t columns = pg_columns(a), row, i;
    struct pg_kept *k = add_kept(m, key_of(sql), (uint32_t)columns, (uint32_t)pg_rows(a));
    struct buf b = {0};
    const char *p;

    for (row = 0; row < pg_rows(a); row++)
        for (i = 0; i < columns; i++)
            put_cell(&b, cell_of(a, row, i));
    p = own_bytes(m, b.data, b.len);
    take_cells(k, &p, p + b.len);
    buf_free(&b);
}

void pg_memory_put(const struct pg_memory *m, struct buf *b)
{
    size_t i, k;

    buf_put_u32(b, (uint32_t)m->version);
    for (i = 0; i < PG_MEMORY_TEXTS; i++)
        buf_put_str(b, m->server[i]);
    buf_put_u32(b, (uint32_t)m->n);
    for (i = 0; i < m->n; i++) {
        const struct pg_kept *a = &m->kept[i];

        buf_put_u64(b, a->key);
        buf_put_u32(b, a->columns);
        buf_put_u32(b, a->rows);
        for (k = 0; k < (size_t)a->columns * a->rows; k++)
            put_cell(b, a->cells[k]);
    }
}

static void get_server(struct pg_memory *m, struct reader *r)
{
    size_t i;

    m->version = (int)(reader_u32(r) & INT32_MAX);
    for (i = 0; i < PG_MEMORY_TEXTS; i++)
        m->server[i] = reader_str(r);
}

static bool get_kept(struct pg_memory *m, struct reader *r)
{
    uint64_t key = reader_u64(r);
    uint32_t columns = reader_u32(r), rows = reader_u32(r);
    const char *p = r->p;

    if (r->bad || !take_cells(add_kept(m, key, columns, rows), &p, r->p + r->left))
        return false;
    r->left -= (size_t)(p - r->p);
    r->p = p;
    return true;
}

struct pg_memory *pg_memory_get(const char *bytes, size_t len)
{
    struct pg_memory *m = mem_alloc(sizeof(*m));
    struct reader r = {own_bytes(m, bytes, len), len, false};
    uint32_t n;

    get_server(m, &r);
    for (n = reader_u32(&r); n && get_kept(m, &r); n--)
        ;
    if (n == 0 && reader_done(&r))
        return m;
    pg_memory_free(m);
    return NULL;
}

/* ---- answering ---- */

int pg_version(const struct pg_conn *conn)
{
    return conn->memory ? conn->memory->version : PQserverVersion(conn->pq);
}

struct oids {
    uint32_t *all; /* sorted */
    size_t n;
};

static int compare_oids(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* "{1,2,3}", as it is written here. */
static struct oids parse_oids(const char *list)
{
    struct oids o = {0};
    size_t room = 0;

    for (list++; *list >= '0' && *list <= '9'; list += *list == ',') {
        char *end;

        o.all = mem_grow(o.all, o.n, &room, sizeof(*o.all));
        o.all[o.n++] = (uint32_t)strtoul(list, &end, 10);
        list = end;
    }
    if (o.n)
        qsort(o.all, o.n, sizeof(*o.all), compare_oids);
    return o;
}

static bool has_oid(const struct oids *o, const char *cell)
{
    uint32_t oid = cell ? (uint32_t)strtoul(cell, NULL, 10) : 0;

    return o->n && bsearch(&oid, o->all, o->n, sizeof(*o->all), compare_oids);
}

static int add_row(struct pg_answer *a, const struct pg_kept *k, size_t row, struct err *err)
{
    const char **cells = &k->cells[row * k->columns];
    uint32_t i;
    int rc = 0;

    for (i = 0; i < k->columns && rc == 0; i++)
        rc = pg_answer_add(a, cells[i], cells[i] ? strlen(cells[i]) : 0, err);
    return rc;
}

static int add_rows(struct pg_answer *a, const struct pg_kept *k, const struct oids *wanted,
                    struct err *err)
{
    size_t row;
    int rc = 0;

    for (row = 0; row < k->rows && rc == 0; row++)
        if (!wanted || has_oid(wanted, k->cells[row * k->columns]))
            rc = add_row(a, k, row, err);
    return rc == 0 ? pg_answer_end(a, err) : rc;
}

static const struct pg_kept *find_kept(const struct pg_memory *m, const char *sql)
{
    uint64_t key = key_of(sql);
    size_t i;

    for (i = 0; i < m->n; i++)
        if (m->kept[i].key == key)
            return &m->kept[i];
    return NULL;
}

int pg_memory_answer(const struct pg_memory *m, const char *sql, const char *oids,
                     const struct pg_wanted *wanted, struct pg_answer **answer, struct err *err)
{
    const struct pg_kept *k = find_kept(m, sql);
    bool by_oid = *wanted->columns == 'k';
    struct pg_answer *a;
    struct oids o = {0};
    int rc;

    *answer = NULL;
    if (!k || k->columns != strlen(wanted->columns))
        return err_set(err, EPROTO, "what is remembered of the server does not answer this");
    if (by_oid)
        o = parse_oids(oids);
    a = pg_answer_new(wanted);
    rc = add_rows(a, k, by_oid ? &o : NULL, err);
    free(o.all);
    if (rc == 0)
        *answer = a;
    else
        pg_answer_free(a);
    return rc;
}
