/*
 * Who may connect to a private server (private.h), and what he finds there. Not to be used outside
 * pg/.
 *
 * While the server runs: superuser_try_usual. If that finds nobody, only a server without
 * connections tells who may connect; so, while it does not run: superuser_ask_insiders and, where
 * there is none, superuser_let_bootstrap_in; and once it runs again: superuser_try_insiders. The
 * server is stopped and started by private.c.
 *
 * Who connects rolls back prepared transactions of the databases that can be shown.
 */
#ifndef ASOFS_PG_SUPERUSER_H
#define ASOFS_PG_SUPERUSER_H

#include "common/proc.h"
#include "pg/privateconf.h"

struct superuser {
    const struct privateconf *conf; /* borrowed */
    int stop_fd;
    char *likely;               /* database; NULL */
    char *conninfo;             /* of the last try */
    char **databases;           /* that can be shown; ends with NULL */
    struct pg_omitted *omitted; /* ends with name NULL */
    struct err refusal;         /* what the last try to connect said */
};

void superuser_free(struct superuser *s); /* what it holds */

struct superuser_insiders {
    struct proc_args roles, databases; /* superusers who may log in; where one may */
    char *bootstrap;                   /* OID 10, who always is there */
};

void superuser_free_insiders(struct superuser_insiders *in);

/* 1: a superuser connected, and s->conninfo, databases and omitted are set. 0: none could. */
int superuser_try_usual(struct superuser *s, struct err *err);

/* `in` is zeroed; freed by the caller, also on failure. There are a bootstrap superuser and a
 * database at least, but perhaps no roles. */
int superuser_ask_insiders(struct superuser *s, struct superuser_insiders *in, struct err *err);

/* Changes the data directory: the bootstrap superuser may log in, and stands in in->roles. Told in
 * a note. */
int superuser_let_bootstrap_in(struct superuser *s, struct superuser_insiders *in, struct err *err);

/* 1 as above; that nobody can connect is an error. */
int superuser_try_insiders(struct superuser *s, const struct superuser_insiders *in,
                           struct err *err);

#endif
