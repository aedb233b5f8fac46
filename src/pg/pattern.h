/*
 * psql's object name patterns, as regular expressions for the server.
 *
 * The rules are those of psql's \d: letters are folded to lower case outside double quotes, * and ?
 * are wildcards, a dot outside quotes separates schema from name, other regular-expression
 * characters keep their meaning, except $ which is a letter. Pure: no server is asked.
 */
#ifndef ASOFS_PG_PATTERN_H
#define ASOFS_PG_PATTERN_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"

struct pg_pattern {
    char *text;   /* as it was written */
    char *schema; /* anchored regular expression, NULL when the pattern has no schema part */
    char *name;   /* anchored regular expression */
    bool exact;   /* nothing in it is a wildcard: it names one table */
};

/* -EINVAL with err filled for an empty, three-part or unterminated pattern. */
int pg_pattern_parse(const char *text, struct pg_pattern *p, struct err *err);
void pg_pattern_free(struct pg_pattern *p);

/* A name, or a whole table, as the pattern that matches just it: for messages, out of which it can
 * be pasted after --tables. */
void pg_pattern_put_name(struct buf *out, const char *name);
void pg_pattern_put(struct buf *out, const char *schema, const char *name);
char *pg_pattern_of(const char *schema, const char *name); /* the caller frees it */

#endif
