/*
 * Which of some tables patterns choose, by the rules of the catalog of a database (relations.c): but
 * the tables are those of a view that is somewhere else, and the server only matches them, so that a
 * pattern means the same everywhere.
 */
#ifndef ASOFS_PG_CHOOSE_H
#define ASOFS_PG_CHOOSE_H

#include "pg/catalog.h"

struct pg_chosen {
    const char *schema, *name;
    bool chosen; /* out */
};

/*
 * Without entries that include, every table is. A pattern without a schema sees those on the
 * search_path of this session's user. -EINVAL: patterns that match nothing, named, or everything is
 * left out. Outside of a transaction.
 */
int pg_choose(struct pg_conn *conn, const struct pg_server *server,
              const struct pg_selection *entries, size_t n, struct pg_chosen *tables,
              size_t ntables, struct err *err);

#endif
