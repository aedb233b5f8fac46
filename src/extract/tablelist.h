/*
 * The copy-table list: which tables, which of their columns and rows a view holds.
 *
 *   # a comment
 *   sales.*
 *   !sales.audit_*
 *   public.orders (id, "Customer", total) WHERE total > 0
 *
 * One entry a line: a psql pattern, or one with "!" in front to leave tables out, columns in
 * parentheses, a row filter behind WHERE. Blank lines and lines that begin with # are passed over.
 * Pure, but for tablelist_read.
 */
#ifndef ASOFS_EXTRACT_TABLELIST_H
#define ASOFS_EXTRACT_TABLELIST_H

#include "pg/catalog.h"

struct tablelist {
    struct pg_selection *entries;
    size_t n, room;
};

/* One pattern without columns or filter (--tables). */
int tablelist_add_pattern(struct tablelist *l, const char *pattern, struct err *err);

/* What it matches is left out, whatever else says of it (--exclude-table). */
int tablelist_exclude(struct tablelist *l, const char *pattern, struct err *err);

/* A whole text; errors name `where` and the line number. */
int tablelist_parse(struct tablelist *l, const char *text, size_t len, const char *where,
                    struct err *err);

/* The same from a file, or standard input for "-". */
int tablelist_read(struct tablelist *l, const char *path, struct err *err);

void tablelist_free(struct tablelist *l);

#endif
