/*
 * How the values of types are written, as the catalog of a database says: what a type is made of (the
 * base of a domain, the elements of an array, the bounds of a range, the columns of a row) shapes
 * its text and its binary form.
 */
#ifndef ASOFS_PG_TYPEFORM_H
#define ASOFS_PG_TYPEFORM_H

#include "pg/conn.h"

struct pg_typeform {
    bool money; /* there is money in it, whose text lc_monetary shapes */
    /* Its binary form has no number of the catalog in it, but those that are the same everywhere, and
     * is shaped by no setting: it means the same in each database where `inside` is the same. */
    bool portable;
    char *inside; /* as pg_column.inside */
};

/* Of types as format_type() names them under an empty search_path, which are there: *forms, in
 * their order; NULL after a failure. */
int pg_typeform_read(struct pg_conn *conn, const char *const *types, size_t n,
                     struct pg_typeform **forms, struct err *err);

void pg_typeform_free(struct pg_typeform *forms, size_t n); /* NULL is fine */

/* May lc_monetary be this there? */
int pg_typeform_takes_monetary(struct pg_conn *conn, const char *lc_monetary, bool *takes,
                               struct err *err);

#endif
