/*
 * PostgreSQL's own programs as children: found for a major version, run as somebody who is not
 * root, and ended when asofs ends, however it ends.
 *
 * A program is started through `asofs child` (internal, cmd/child.c), which changes to the user,
 * asks the kernel for a signal when its parent is gone, and then becomes the program. Programs run
 * with a bare environment: PATH, HOME=/nonexistent, LC_ALL=C, TZ=UTC and what is given. Their
 * working directory is ours if the user can enter it, else /: give them absolute paths.
 *
 * The kernel sends that signal at the end of the *thread* that started the child, so programs that
 * outlive a call must be started from the main thread.
 */
#ifndef ASOFS_PG_PROGRAMS_H
#define ASOFS_PG_PROGRAMS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"
#include "pg/identity.h"

struct pg_programs {
    char *bindir;
    int major; /* 15 */
    struct pg_identity as;
};

/*
 * The directory with the programs of a major version: bindir (--bindir) if given, else where
 * Debian, Red Hat (their directories' names say the version) and PATH have them. Refuses, naming
 * what was looked for and where, when there is none of that version (as `postgres --version` says).
 * `as` is copied.
 */
int pg_programs_find(int major, const char *bindir, const struct pg_identity *as,
                     struct pg_programs *p, struct err *err);
void pg_programs_free(struct pg_programs *p);

/* The major version of a data directory, from PG_VERSION; or a negative errno. */
int pg_version_of(const char *data_dir, struct err *err);

#define PG_PROGRAM_FD 3

struct pg_program_fds {
    int out, err; /* become its standard output and error; -1: /dev/null */
    int more;     /* becomes PG_PROGRAM_FD, for what the program itself starts; -1: none */
};

/*
 * Start bindir/program. argv[0] is replaced by its full path. Standard input is /dev/null.
 * end_with: the signal it gets when
 * this process (its main thread) is gone. env: "NAME=value" entries, NULL-terminated, or NULL; they
 * are in no command line. What keeps the program from starting is told on its standard error, and
 * its status is 127.
 */
int pg_program_start(const struct pg_programs *p, const char *program, char *const argv[],
                     char *const env[], const struct pg_program_fds *fds, int end_with, pid_t *pid,
                     struct err *err);

/*
 * Run it to its end. Standard output is collected in `out` (NULL: dropped), `input` (NULL: none) is
 * its standard input. stop_fd readable: it is ended and -EINTR returned. A status other than 0 is
 * -EIO with what it wrote to standard error.
 */
int pg_program_run(const struct pg_programs *p, const char *program, char *const argv[],
                   char *const env[], const char *input, int stop_fd, struct buf *out,
                   struct err *err);

/* As pg_program_run; what it wrote to standard error is put into `complaints` in any case. */
int pg_program_run_heard(const struct pg_programs *p, const char *program, char *const argv[],
                         char *const env[], const char *input, int stop_fd, struct buf *out,
                         struct buf *complaints, struct err *err);

/*
 * As pg_program_run, and every PG_LOOK_MS look() is called until it returns false: there is no more to
 * be looked for. It must not take long.
 */
#define PG_LOOK_MS 200
int pg_program_run_watched(const struct pg_programs *p, const char *program, char *const argv[],
                           char *const env[], int stop_fd, bool (*look)(void *arg), void *arg,
                           struct err *err);

/* Wait for its end at most timeout_ms: 1 and its wait status, or 0. */
int pg_program_ended(pid_t pid, int timeout_ms, int *status);

/*
 * The main function of `asofs child --user=UID:GID|- --end-with=SIGNAL --parent=PID
 * [--keep=NAME]...
 * -- PROGRAM ARG...`; returns only when it fails. keep: a variable of the environment that stays.
 */
int pg_child_main(int argc, char **argv);

#endif
