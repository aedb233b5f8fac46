/*
 * The values stand one after the other in one buffer, each followed by a zero; `cells` says
 * where each begins. That is a fourth of what libpq would need for many rows of small values.
 */
#include "pg/answer.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/lsn.h"
#include "common/mem.h"

#define IS_NULL UINT32_MAX
#define MAX_SECONDS (INT64_MAX / 1000000000 - 1)
#define QUOTED_MAX 40 /* of a value that is told */

struct pg_answer {
    const struct pg_wanted *wanted;
    size_t columns, rows;
    struct buf text;
    uint32_t *cells;
    size_t ncells, room;
};

int pg_odd_answer(struct err *err, const char *fmt, ...)
{
    char what[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    err_set(err, EPROTO, "the server answered with %s", what);
    return err_hint(err, "PostgreSQL does not answer so: this is another server, or something "
                         "between it and asofs changes what it says");
}

struct pg_answer *pg_answer_new(const struct pg_wanted *wanted)
{
    struct pg_answer *a = mem_alloc(sizeof(*a));

    a->wanted = wanted;
    a->columns = strlen(wanted->columns);
    return a;
}

void pg_answer_free(struct pg_answer *a)
{
    if (!a)
        return;
    buf_free(&a->text);
    free(a->cells);
    free(a);
}

/* ---- what is right ---- */

static bool is_digits(const char *p)
{
    return *p && strspn(p, "0123456789") == strlen(p);
}

static bool parse_number(const char *p, uint64_t *v)
{
    errno = 0;
    *v = is_digits(p) ? strtoull(p, NULL, 10) : 0;
    return is_digits(p) && errno == 0;
}

static bool parse_integer(const char *p, int64_t *v)
{
    errno = 0;
    *v = is_digits(p + (*p == '-')) ? strtoll(p, NULL, 10) : 0;
    return is_digits(p + (*p == '-')) && errno == 0;
}

/* "1700000000.123456": as the server writes a numeric. */
static bool parse_seconds(const char *p, int64_t *ns)
{
    size_t whole = strspn(p + (*p == '-'), "0123456789") + (*p == '-'), n = 0;
    int64_t fraction = 0;
    char seconds[24];

    if (whole >= sizeof(seconds))
        return false;
    memcpy(seconds, p, whole);
    seconds[whole] = '\0';
    if (!parse_integer(seconds, ns) || *ns > MAX_SECONDS || *ns < -MAX_SECONDS)
        return false;
    for (p += whole + (p[whole] == '.'); isdigit((unsigned char)*p) && n < 9; p++, n++)
        fraction = fraction * 10 + (*p - '0');
    for (; n < 9; n++)
        fraction *= 10;
    *ns = *ns * 1000000000 + (*seconds == '-' ? -fraction : fraction);
    return !*p;
}

static const char *name_of(char letter)
{
    switch (tolower((unsigned char)letter)) {
    case 'b':
        return "a boolean";
    case 'l':
        return "a place on the log";
    case 's':
        return "a time";
    case 't':
        return "a text";
    default:
        return "a number";
    }
}

static bool is_right(char letter, const char *v)
{
    uint64_t u;
    int64_t i;

    switch (tolower((unsigned char)letter)) {
    case 'b':
        return (*v == 't' || *v == 'f') && !v[1];
    case 'n':
        return parse_number(v, &u);
    case 'k':
    case 'o':
        return parse_number(v, &u) && u <= UINT32_MAX;
    case 'i':
        return parse_integer(v, &i);
    case 'l':
        return lsn_parse(v, &u) == 0;
    case 's':
        return parse_seconds(v, &i);
    default:
        return true;
    }
}

/* ---- taking ---- */

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static int check_columns(const struct pg_answer *a, const PGresult *r, struct err *err)
{
    int i, n = PQnfields(r);

    if ((size_t)n != a->columns)
        return pg_odd_answer(err, "%d column%s where %zu were asked for", n, plural(n), a->columns);
    for (i = 0; i < n; i++)
        if (PQfformat(r, i) != 0)
            return pg_odd_answer(err, "binary values where text was asked for");
    return 0;
}

static size_t bytes_of(const struct pg_answer *a)
{
    size_t n = a->text.len + a->ncells * sizeof(*a->cells);

    return n < PG_ANSWER_BYTES ? n : PG_ANSWER_BYTES;
}

static int add_value(struct pg_answer *a, char letter, const char *v, size_t len, struct err *err)
{
    uint32_t *cell;

    a->cells = mem_grow(a->cells, a->ncells, &a->room, sizeof(*a->cells));
    cell = &a->cells[a->ncells++];
    *cell = IS_NULL;
    if (len >= PG_ANSWER_BYTES - bytes_of(a))
        return pg_odd_answer(err, "more than %u MiB", PG_ANSWER_BYTES >> 20);
    if (!v) {
        if (isupper((unsigned char)letter))
            return 0;
        return pg_odd_answer(err, "NULL where %s is due", name_of(letter));
    }
    if (strlen(v) != len)
        return pg_odd_answer(err, "a zero byte within a value");
    if (!is_right(letter, v))
        return pg_odd_answer(err, "\"%.*s\" where %s is due", QUOTED_MAX, v, name_of(letter));
    *cell = (uint32_t)a->text.len;
    buf_put(&a->text, v, len + 1);
    return 0;
}

static int take_value(struct pg_answer *a, const PGresult *r, int row, int column, struct err *err)
{
    const char *v = PQgetisnull(r, row, column) ? NULL : PQgetvalue(r, row, column);

    return add_value(a, a->wanted->columns[column], v, (size_t)PQgetlength(r, row, column), err);
}

int pg_answer_take(struct pg_answer *a, const PGresult *r, struct err *err)
{
    int row, i, n = PQntuples(r), rc = check_columns(a, r, err);

    for (row = 0; row < n && rc == 0; row++, a->rows++) {
        if (a->rows == a->wanted->most)
            return pg_odd_answer(err, "more than %zu row%s", a->rows, plural((int)a->rows));
        for (i = 0; (size_t)i < a->columns && rc == 0; i++)
            rc = take_value(a, r, row, i, err);
    }
    return rc;
}

int pg_answer_add(struct pg_answer *a, const char *value, size_t len, struct err *err)
{
    int rc;

    if (a->rows == a->wanted->most)
        return pg_odd_answer(err, "more than %zu row%s", a->rows, plural((int)a->rows));
    rc = add_value(a, a->wanted->columns[a->ncells % a->columns], value, len, err);
    a->rows = a->ncells / a->columns;
    return rc;
}

int pg_answer_end(const struct pg_answer *a, struct err *err)
{
    if (a->rows < a->wanted->least)
        return pg_odd_answer(err, "%zu rows where at least %zu were due", a->rows,
                             a->wanted->least);
    return 0;
}

/* ---- getting ---- */

static const char *value(const struct pg_answer *a, size_t row, size_t column)
{
    size_t i = row * a->columns + column;

    if (row >= a->rows || column >= a->columns || a->cells[i] == IS_NULL)
        return NULL;
    return a->text.data + a->cells[i];
}

size_t pg_rows(const struct pg_answer *a)
{
    return a->rows;
}

size_t pg_columns(const struct pg_answer *a)
{
    return a->columns;
}

bool pg_is_null(const struct pg_answer *a, size_t row, size_t column)
{
    return !value(a, row, column);
}

const char *pg_text(const struct pg_answer *a, size_t row, size_t column)
{
    const char *v = value(a, row, column);

    return v ? v : "";
}

bool pg_true(const struct pg_answer *a, size_t row, size_t column)
{
    return *pg_text(a, row, column) == 't';
}

uint64_t pg_number(const struct pg_answer *a, size_t row, size_t column)
{
    uint64_t v;

    return parse_number(pg_text(a, row, column), &v) ? v : 0;
}

uint32_t pg_oid(const struct pg_answer *a, size_t row, size_t column)
{
    return (uint32_t)pg_number(a, row, column);
}

int64_t pg_integer(const struct pg_answer *a, size_t row, size_t column)
{
    int64_t v;

    return parse_integer(pg_text(a, row, column), &v) ? v : 0;
}

uint64_t pg_lsn(const struct pg_answer *a, size_t row, size_t column)
{
    uint64_t v;

    return lsn_parse(pg_text(a, row, column), &v) == 0 ? v : 0;
}

int64_t pg_nanoseconds(const struct pg_answer *a, size_t row, size_t column)
{
    int64_t v;

    return parse_seconds(pg_text(a, row, column), &v) ? v : 0;
}
