/* The live view: frozen out of a running server over libpq. */
#ifndef ASOFS_VIEW_SNAPSHOT_H
#define ASOFS_VIEW_SNAPSHOT_H

#include <stdio.h>

#include "extract/tablelist.h"
#include "view/view.h"

/* What a page view shows, instead of the moment at which its private server was asked. */
struct view_shown {
    const char *source; /* as people know it */
    int64_t unix_us;    /* the moment; 0: not known */
    uint64_t lsn;
};

struct view_request {
    const char *source;             /* libpq conninfo string, URI or database name */
    const struct view_shown *shown; /* of a page view; NULL: what the server says of now */
    struct tablelist tables;        /* empty: every table */
    bool may_miss; /* an entry may match nothing, and there may be no table: one of several
                      databases */
    bool looking;  /* it is frozen to be looked at, and will be again: no notes */
    bool readable; /* what the role may not read is left out */
    enum pg_format format;
    unsigned jobs;
    uint64_t chunk_size;
    int64_t lock_timeout_ms;
    bool freeze_by_lock;       /* protocol lock; else export */
    int64_t freeze_timeout_ms; /* protocol lock: how long SHARE may be held */
    int64_t hold_limit_ms;     /* 0: none */
    uint64_t spool_limit;      /* bytes; 0: none */
    size_t own_files; /* large tables that may have a spool file of their own (fs/passthrough.h) */
    bool partial;     /* a table that fails does not end the view */
    bool pages;       /* of a page view: the tree has .asofs/pages */
    int64_t worker_timeout_ms;
    const char *spool_dir;
    const char *timezone;
    const char
        *encoding;   /* NULL: UTF8, or the bytes as they are where the server knows no encoding */
    bool trust_base; /* of a page view: code that the base brings may run */
    const char *bindir; /* of a page view: PostgreSQL's programs; NULL: those in PATH */
    bool quiet;
    int stop_fd; /* readable: give up (-EINTR); -1: none */
};

/* The request is borrowed until view_free. On failure nothing is left locked. */
int view_freeze(const struct view_request *req, struct view **view, struct err *err);

/* Extract into the spool and make the files of .asofs/. The server is released afterwards. */
int view_extract(struct view *v, struct err *err);

/* The same in a thread of its own; view_free stops and joins it. Implies `partial`. */
int view_extract_begin(struct view *v, struct err *err);

/* Extract into plain files below dir_fd, which is empty, with intermediate data in spool_dir. */
int view_extract_files(struct view *v, int dir_fd, const char *spool_dir, struct err *err);

/* What view_extract would do: tables, sizes, chunks. */
void view_print_plan(const struct view *v, FILE *out);

/* One line for people: how much, how long. */
void view_print_summary(const struct view *v, const char *what);
void view_print_frozen(const struct view *v, const char *what); /* the same before extraction */

#endif
