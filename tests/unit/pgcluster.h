/*
 * A directory with a cluster that was just made, for tests that start PostgreSQL's programs. They
 * are skipped where there is no PostgreSQL. The programs are started through the test program
 * itself, whose main() has to be pg_child_main (pg/programs.h) when its first argument is "child".
 */
#ifndef ASOFS_UNIT_PGCLUSTER_H
#define ASOFS_UNIT_PGCLUSTER_H

#include "pg/programs.h"

/* Of the group of tests. */
int pgcluster_set_up(void **state);
int pgcluster_tear_down(void **state);

/* Skips the test, and says why, where there is no PostgreSQL. The rest but directories needs it. */
void pgcluster_need(void);

const struct pg_programs *pgcluster_programs(void);
const char *pgcluster_template(void); /* the cluster, which is left as it is */
char *pgcluster_copy(void);           /* a copy of it; its path, to be freed */

/* initdb into an empty directory, whose superuser is `user`. */
int pgcluster_init(const char *dir, const char *user, struct err *err);

/* An empty directory whose name begins with `what`; its path, to be freed. */
char *pgcluster_new_dir(const char *what);
void pgcluster_own(const char *path); /* is given to the user of the programs */
void pgcluster_append(const char *dir, const char *name, const char *text);

/* "Programs" of PostgreSQL that are one shell script; to be freed by pg_programs_free. */
struct pg_programs pgcluster_scripts(const char *name, const char *text);

void pgcluster_shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
