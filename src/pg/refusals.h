/*
 * What stands in the way of taking tables, in words: collected while the catalog is read
 * (relations.c, columns.c), so that all of it is told at once. For the files of pg/; others have
 * catalog.h.
 */
#ifndef ASOFS_PG_REFUSALS_H
#define ASOFS_PG_REFUSALS_H

#include "pg/catalog.h"

#define PG_NAMES_MAX 1200 /* bytes */

/* Names in an error, which has room for some. */
struct pg_names {
    struct buf text;
    size_t more;
};

void pg_names_add(struct pg_names *n, const char *name);

/* "WHAT: names" and the advice (NULL: none), after what err says already; nothing if there are no
 * names. They are freed. */
void pg_names_refuse(struct err *err, struct pg_names *n, const char *what, const char *advice);

/* Problems, collected so that all are told at once; each under its heading. */
struct pg_problems {
    struct pg_names missing, not_table, of[PG_WHYS];
    bool exclusion_missed; /* a pattern that matches nothing looks like one of the list's "!" */
};

void pg_problems_note_missing(struct pg_problems *p, const char *pattern);

/* 0: there are none; else -EINVAL. They are freed. */
int pg_problems_refuse(struct pg_problems *p, struct err *err);

/* "TABLE is no good.": -EINVAL */
int pg_refuse_table(const struct pg_table *t, struct err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* -ENOENT: no tables, and what was left out. */
int pg_refuse_empty(const struct pg_catalog *c, const struct pg_server *server, struct err *err);

#endif
