/*
 * A snapshot: one database, frozen out of a running server over libpq. Its life; each function says
 * which step it expects.
 *
 *   snapshot_freeze    connect, collect, lock, freeze, plan; results can be asked for
 *   snapshot_prepare   what is to be done with it; tables can be preferred
 *   snapshot_run       workers fill the spool; the server is released
 *   snapshot_free
 */
#ifndef ASOFS_VIEW_SNAPSHOT_H
#define ASOFS_VIEW_SNAPSHOT_H

#include <stdio.h>
#include <time.h>

#include "common/err.h"
#include "extract/guest.h"
#include "extract/tablelist.h"
#include "pg/copysql.h"

/* What a page view shows, instead of the moment at which its private server was asked. */
struct snapshot_shown {
    const char *source; /* as people know it */
    int64_t unix_us;    /* the moment; 0: not known */
    uint64_t lsn;
};

struct remembered_database;

/* Of a page view: are tables rendered from its pages (rendering.h), as far as they can be? */
enum snapshot_render { SNAPSHOT_COPY, SNAPSHOT_RENDER_WHERE_IT_PAYS, SNAPSHOT_RENDER };

struct snapshot_request {
    const char *source;                 /* libpq conninfo string, URI or database name */
    const struct snapshot_shown *shown; /* of a page view; NULL: what the server says of now */
    struct tablelist tables;            /* empty: every table */
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
    enum snapshot_render render;
    int compress;           /* files of tables that are rendered: level (frame.h); 0: plain */
    uint64_t replayed;      /* rendering_pays */
    uint64_t render_memory; /* bytes: rendering.h */
    int64_t worker_timeout_ms;
    const char *spool_dir;
    const char *timezone;
    const char
        *encoding;   /* NULL: UTF8, or the bytes as they are where the server knows no encoding */
    bool trust_base; /* of a page view: code that the base brings may run */
    const char *bindir; /* of a page view: PostgreSQL's programs; NULL: those in PATH */
    /* Of a page view: no server is asked (remember.h); NULL: one is. Then snapshot_freeze fails with -EREMOTE where
     * only a server helps, and with -EPROTO where what is remembered makes no sense. */
    const struct remembered_database *recalled;
    const struct extract_guest *guest; /* NULL: none (extract/guest.h) */
    bool quiet;
    int stop_fd; /* readable: give up (-EINTR); -1: none */
};

struct snapshot;

/* `source` and `shown` are borrowed for the call, the rest of what the request points at until
 * snapshot_free. On failure nothing is left locked. */
int snapshot_freeze(const struct snapshot_request *req, struct snapshot **s, struct err *err);
void snapshot_free(struct snapshot *s); /* NULL is fine */

struct timespec snapshot_time(const struct snapshot *s); /* the moment: every file's mtime */

/* Refuse, after the freeze, what is sure not to fit. */
int snapshot_check_space(const struct snapshot *s, const char *dir, bool is_spool, struct err *err);

struct snapshot_job {
    int out_fd;                               /* plain files below it; -1: into the spool */
    const char *spool_dir;                    /* of intermediate data */
    int stop_fd;                              /* readable: give up (-EINTR); -1: none */
    void (*settled)(void *arg, size_t table); /* extract/result.h */
    void *settled_arg;
};

/* After the freeze, once. */
void snapshot_prepare(struct snapshot *s, const struct snapshot_job *job);

/* Extract what was prepared. The server is released afterwards, also after a failure. */
int snapshot_run(struct snapshot *s, struct err *err);

/* In place of these two, once: nothing is extracted here; others join the exported snapshot. */
int snapshot_check_held(struct snapshot *s, struct err *err);
int snapshot_release(struct snapshot *s, struct err *err);

/* What would be extracted: tables, sizes, chunks. */
void snapshot_print_plan(const struct snapshot *s, FILE *out);

#endif
