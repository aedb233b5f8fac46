/*
 * The server of a data directory, as its postmaster.pid tells: a file of who owns the directory, who
 * may have written what he likes.
 */
#ifndef ASOFS_PG_POSTMASTER_H
#define ASOFS_PG_POSTMASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"

#define PG_POSTMASTER_FILE "postmaster.pid"

/* The lines of it (server: miscadmin.h, LOCK_FILE_LINE_…; the same in all versions). */
struct pg_postmaster {
    pid_t
        pid; /* that of a server for one user is told as a negative number, and is positive here */
    int64_t started;  /* seconds since 1970; 0: not told */
    char *port;       /* "": not told, as what follows */
    char *socket_dir; /* the first */
    char *address;    /* that it listens on, the first */
};

/* -ENOENT: no server runs there, and none was killed. On failure *p is empty. */
int pg_postmaster_read(const char *data, struct pg_postmaster *p);
void pg_postmaster_free(struct pg_postmaster *p);

/*
 * A server works in its data directory; one whose data directory was a mount that is gone can neither read
 * nor write, and does not always end by itself. It is ended (SIGQUIT), and waited for, with all its
 * processes. Nothing is changed in the directory.
 *
 * data: the directory itself. device: of the mount that is gone, "MAJOR:MINOR"; NULL: not known any
 * more. It is done by who owns the directory (pg_identity_become): no other's process can be meant,
 * and if one was, nothing came of it. Only a program called postgres that works in that mount, and was
 * started when postmaster.pid says, gets the signal; what cannot be told is refused. May wait for
 * whatever the working directory of a process of his lies on.
 *
 * *pid: that was ended, or 0. *left: there is a postmaster.pid, of a server that is gone. -EBUSY: a
 * server runs on the directory itself. -ETIMEDOUT: processes are left.
 */
int pg_postmaster_end_lost(const char *data, const char *device, pid_t *pid, bool *left,
                           struct err *err);

#define PG_POSTMASTER_WAIT_MS 60000 /* at most, for the end of all of them */

#endif
