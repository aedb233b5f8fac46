/*
 * A data directory that becomes a base where it lies (asofs base add): a restored backup, what a
 * server or a standby left that was shut down, or what a crash left. It is never written, and must
 * not change from then on.
 *
 * Refused is what cannot be replayed from: a directory on which a server runs; one that was copied
 * while a server ran and has no backup_label; a backup whose recovery was begun and not ended; one
 * of another cluster, major version or page size than the store is of.
 *
 * A live base is another matter: a cluster that was shut down, on which a server runs again when it is
 * served (asofs live). It has to be a standby's, unless a primary's is asked for; as its freezes are
 * recovered as after a crash, full_page_writes and, of a primary, fsync are on. The directory,
 * its tablespaces and the store lie on one file system.
 */
#ifndef ASOFS_BASE_ADOPT_H
#define ASOFS_BASE_ADOPT_H

#include <stdbool.h>

#include "common/err.h"

/* All strings are borrowed for the call. */
struct base_adopt_request {
    const char *store;           /* made when there is none */
    const char *dir;             /* the data directory */
    const char *log;             /* the directory where its log is archived, or NULL */
    const char *restore_command; /* what fetches a segment %f of it to %p, or NULL */
    bool crashed;                /* also what pg_control says a server runs on: of a crash */
    bool live;                   /* a server shall run on it, while asofs serves it (below) */
    bool primary;                /* also one that is no standby */
    const char *run_as;          /* NULL: the owner of the store, or postgres */
    const char *bindir;          /* NULL: looked for */
};

/* *id: of the base; the caller's to free. On failure nothing is left, also no store that was not
 * there. */
int base_adopt(const struct base_adopt_request *req, char **id, struct err *err);

#endif
