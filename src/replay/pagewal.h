/* The WAL that a page view or a layer is replayed from: where it comes from, and how far it leads. */
#ifndef ASOFS_REPLAY_PAGEWAL_H
#define ASOFS_REPLAY_PAGEWAL_H

#include "pg/programs.h"
#include "store/walreach.h"
#include "store/store.h"
#include "store/wal.h"

/* Where the log comes from. */
struct pagewal {
    const char *dir;      /* of the segments, when there is no command */
    const char *command;  /* that fetches one; NULL: they are taken from dir */
    struct wal_list list; /* of dir; empty with a command */
};

/*
 * dir, command: what was asked for, or NULL: then what the store says; what was asked for outdoes
 * all that it says. A directory of shipped log that is not there yet is empty. What the server of a
 * live base has of the log is in the store's from now on (livewal.h).
 */
int pagewal_read(struct store *s, const char *dir, const char *command, struct pagewal *log,
                 struct err *err);

/* wal_reach(), with the times that the source itself said (walsaid.h). */
int pagewal_reach(const struct store *s, const struct wal_way *way, struct wal_reach *r,
                  struct err *err);

/* What a restore_command and its guard need; freed by store_names_free. */
char **pagewal_env(const struct store *s, const struct pagewal *log);

/* -EACCES: PostgreSQL's user cannot read that file. */
int pagewal_check_readable(const struct pg_programs *p, const char *path, struct err *err);

/* A segment that was asked for in vain ("": none), though it is there. */
int pagewal_check_missing(const struct pg_programs *p, const char *dir, const char *segment,
                          struct err *err);

/*
 * recovery_target_timeline. asofs has found it in the log itself, since the newest of all may be
 * one that does not come from this base; what a command fetches only the server can look through.
 * all: the log, perhaps with what the base has itself. Without a history the server does not take a
 * number, and has no choice either.
 */
#define PAGEWAL_TIMELINE_MAX 12
const char *pagewal_target_timeline(const struct pagewal *log, const struct wal_list *all,
                                    const struct store_base_facts *base,
                                    char out[PAGEWAL_TIMELINE_MAX]);

#endif
