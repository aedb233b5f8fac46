/*
 * What a server answered to a query, checked where it comes in: who asks says what columns and how
 * many rows there have to be (struct pg_wanted), and an answer that is another is refused with
 * -EPROTO and words. So no caller has to look whether a row, a column or a number is
 * there.
 *
 * For the files of pg/ alone. The getters never fail: outside of the answer, and for NULL, they
 * give "", 0 and false.
 */
#ifndef ASOFS_PG_ANSWER_H
#define ASOFS_PG_ANSWER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define PG_MANY SIZE_MAX
#define PG_ANSWER_BYTES (256u << 20) /* of the values of an answer with any number of rows */

struct pg_wanted {
    /*
     * A letter for each column: t text, b boolean, n number (from 0), o OID, i integer (64 bits),
     * l LSN, s seconds since 1970 with at most six digits after the point. A capital letter: or
     * NULL. k, of the first column: OID, and rows are those of the OIDs in the array $1, each by itself
     * (memory.h).
     */
    const char *columns;
    size_t least, most; /* rows */
};

struct pg_answer;

size_t pg_rows(const struct pg_answer *a);
size_t pg_columns(const struct pg_answer *a);
bool pg_is_null(const struct pg_answer *a, size_t row, size_t column);
const char *pg_text(const struct pg_answer *a, size_t row, size_t column); /* as long as a lives */
bool pg_true(const struct pg_answer *a, size_t row, size_t column);
uint64_t pg_number(const struct pg_answer *a, size_t row, size_t column);
uint32_t pg_oid(const struct pg_answer *a, size_t row, size_t column);
int64_t pg_integer(const struct pg_answer *a, size_t row, size_t column);
uint64_t pg_lsn(const struct pg_answer *a, size_t row, size_t column);
int64_t pg_nanoseconds(const struct pg_answer *a, size_t row, size_t column);
void pg_answer_free(struct pg_answer *a);

/* ---- for query.c, which receives, and those who answer in place of a server ---- */

struct pg_answer *pg_answer_new(const struct pg_wanted *wanted); /* wanted outlives it */
/* The rows of a result, or of a part of it. */
int pg_answer_take(struct pg_answer *a, const PGresult *r, struct err *err);
/* Or one value, NULL or a text of so many bytes, in place of a result's, row by row. */
int pg_answer_add(struct pg_answer *a, const char *value, size_t len, struct err *err);
/* There are no more. */
int pg_answer_end(const struct pg_answer *a, struct err *err);

/* -EPROTO: "the server answered with …", and what to think of it. */
int pg_odd_answer(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
