/* A store as its owner: who works on it is the user that PostgreSQL's programs run as. */
#ifndef ASOFS_REPLAY_OWNER_H
#define ASOFS_REPLAY_OWNER_H

#include "pg/programs.h"
#include "store/store.h"

/*
 * The store at `path`, open, with PostgreSQL's programs for it; all that is done in it from then on
 * is done as the user that they run as, its owner: this thread has entered (pg/identity.h), until
 * owner_leave. run_as, bindir: NULL, or what was asked for. On failure too p may be left and freed.
 */
int owner_open_store(const char *path, const char *run_as, const char *bindir, struct store **s,
                     struct pg_programs *p, struct err *err);

/* The same without the programs, which are looked for when they are needed. */
int owner_open(const char *path, const char *run_as, struct store **s, struct pg_programs *p,
               struct err *err);
int owner_find_programs(const struct store *s, const char *bindir, struct pg_programs *p,
                        struct err *err);

/* The same again, later. */
int owner_enter(const struct pg_programs *p, struct err *err);
void owner_leave(const struct pg_programs *p);

#endif
