/*
 * The private server: a `postgres` that asofs starts on a page view, to replay the log up to the
 * split point and to read tables.
 *
 * Nothing of the data directory's settings counts: it has a configuration, a pg_hba.conf and a
 * pg_ident.conf of its own in `run_dir`; no TCP port; its socket is in `run_dir`, which is 0700.
 * Preloaded libraries are empty, archiving, replication and autovacuum are off, and so is fsync:
 * what it wrote is made durable by whoever completes the view.
 *
 * The caller is, or has entered (identity.h), the identity of its programs: what is made in run_dir
 * is that user's.
 *
 * Steps: start, wait (until it accepts connections, which with hot standby off means that recovery
 * has ended), connect by conninfo, stop. It ends with SIGQUIT when this process is gone: to be
 * started and waited for in the main thread only (programs.h).
 */
#ifndef ASOFS_PG_PRIVATE_H
#define ASOFS_PG_PRIVATE_H

#include <stdint.h>

#include "pg/programs.h"

struct pg_setting {
    const char *name, *value; /* quoted as postgresql.conf wants it by pg_private_start */
};

struct pg_private_request {
    const struct pg_programs *programs; /* outlives the server */
    const char *data;                   /* the data directory as pagefs shows it */
    const char *run_dir; /* exists, belongs to the identity of programs, 0700; short enough for a
                            socket */
    const struct pg_setting *settings; /* more of them (recovery targets …), or NULL; ends with name
                                          NULL; outdo our own */
    char *const *env;                  /* for restore_command; NULL: none */
    int tool_fd; /* descriptor PG_PROGRAM_FD of restore_command, open as long as the server runs;
                    0: none */
    unsigned connections;              /* at most; at least 5 are made */
    unsigned max_prepared;
    uint64_t shared_buffers; /* bytes; 0: 128 MiB */
    bool unread;             /* it is stopped next: nobody connects, and nothing is changed there */
    const char *database;    /* that is likely to be asked for; NULL: none in particular */
    /* Recovery may end without a checkpoint, which is work in vain unless the server is stopped
     * next. Its restore_command makes the file "promote" (PG_PRIVATE_PROMOTE) for that. */
    bool quick_end;
    int stop_fd; /* readable: give up (-EINTR); -1: none */
};

#define PG_PRIVATE_PROMOTE "promote"

struct pg_private;

int pg_private_start(const struct pg_private_request *req, struct pg_private **s, struct err *err);

/*
 * Until it accepts connections. When it ends instead: -EIO with the last lines of its log that say
 * why (FATAL, PANIC, and the lines around them).
 *
 * Unless `unread`, a superuser and a database that lets him in are found, and what would keep
 * tables from being read is put aside, which changes the data directory: transactions that are
 * prepared in databases that can be shown are rolled back; and where no superuser may log in, the
 * bootstrap superuser may (and a note says so).
 */
int pg_private_wait(struct pg_private *s, struct err *err);

/*
 * For recovery_target_action=shutdown: until it has ended by itself, and well, or until `enough`
 * says so (1; NULL: never), which is asked again and again. -EIO as above when it ended otherwise.
 * The rest of s is freed by pg_private_abandon.
 */
int pg_private_wait_end_or(struct pg_private *s, bool (*enough)(void *arg), void *arg,
                           struct err *err);

/*
 * A libpq connection string without dbname: the socket, and a superuser ("postgres" if he is one,
 * else the bootstrap superuser, else another), with session_preload_libraries and
 * local_preload_libraries empty, which outdoes ALTER ROLE and ALTER DATABASE SET. Owned by s. Only
 * after pg_private_wait.
 */
const char *pg_private_conninfo(const struct pg_private *s);

/* Names of the databases that can be shown, sorted, templates left out; NULL-terminated. Owned by
 * s. Only after pg_private_wait. */
char *const *pg_private_databases(const struct pg_private *s);

/* The others (no templates either), and why; ends with name NULL. Owned by s. */
struct pg_omitted {
    char *name, *why;
};
const struct pg_omitted *pg_private_omitted(const struct pg_private *s);

/* Its log so far; freed by the caller. */
char *pg_private_log(struct pg_private *s);

/* A fast shutdown with a checkpoint; -EIO when it does not end well. Ends and frees s in any case.
 */
int pg_private_stop(struct pg_private *s, struct err *err);

/* Ended at once (SIGQUIT, then SIGKILL); frees s. NULL is fine. */
void pg_private_abandon(struct pg_private *s);

#endif
