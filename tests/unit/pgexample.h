/* What several tests of pg/ begin with: a catalog, and a connection that did not come about. */
#ifndef ASOFS_TESTS_PGEXAMPLE_H
#define ASOFS_TESTS_PGEXAMPLE_H

#include "pg/catalog.h"

/* One plain table with two columns, and one partitioned with two leaves. */
struct pg_catalog *example_catalog(void);

void rename_to(char **name, const char *other);

/* libpq quotes by the rules of a connection, which need not have come about: *state, a pg_conn. */
int open_nowhere(void **state);
int close_nowhere(void **state);

#define WITH_CONNECTION(f) cmocka_unit_test_setup_teardown(f, open_nowhere, close_nowhere)

#endif
