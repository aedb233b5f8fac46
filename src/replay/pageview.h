/*
 * replay/: a past moment out of base and log. May be called from base/, view/ and cmd/; calls pg/
 * (the private server), store/, pages/ and common/. It starts processes that end with the thread
 * that started them, so that has to be the main thread; lookahead alone has a thread of its own.
 *
 * A page view: a past moment of a cluster, out of a base and its log, without a restore.
 *
 *   pageview_open      the moment is reached (the log is replayed, unless the view exists already)
 *   pageview_serve     a private server shows it
 *   pageview_source    where a live view of one of its databases finds it (snapshot.h)
 *   pageview_freeze    the server is gone, and what it showed can be read as pages
 *   pageview_release   or: the server is gone, it is not needed any more
 *   pageview_close     a view without a name of its own is gone too
 *
 * How a moment is reached: the newest base that is early enough; a new view of it; a private server
 * that replays the log up to the split point, ends recovery (which undoes what was active), makes a
 * checkpoint and stops; pg_control says "shut down"; everything is synced; only then does view.json
 * say that the view is complete. A view that did not get so far is discarded and replayed, never
 * repaired. A complete view is not written any more: the server that reads it works on a scratch
 * view over it. A view that is neither kept nor shown as pages needs none of that: as soon as
 * recovery has ended, the server that replayed it is the one that shows it, and it is gone with
 * that; or it makes its checkpoint and stops, so that the pages can be read (pageview_freeze). Not
 * earlier: until then they may be in its memory only.
 */
#ifndef ASOFS_REPLAY_PAGEVIEW_H
#define ASOFS_REPLAY_PAGEVIEW_H

#include "pg/control.h"
#include "pg/private.h"
#include "store/store.h"
#include "replay/moment.h"

struct pageview_request {
    const char *store;
    struct moment moment;        /* MOMENT_NONE: of a view that exists */
    const char *view;            /* --view: kept under this name; NULL: not kept */
    const char *run_as;          /* NULL: the owner of the store, or postgres */
    const char *bindir;          /* NULL: looked for */
    const char *log;             /* --log: NULL: what the store says */
    const char *restore_command; /* NULL: what the store says */
    bool pages;                  /* its data directory is to be read too: pageview_pages */
    bool checkpoint;             /* of a live base, the latest: its server makes one before */
    const char *database;        /* that is wanted; NULL: several */
    unsigned connections;        /* that will be made */
    bool quiet;
    int stop_fd; /* -1: none */
};

struct pageview;

/* The request is borrowed until pageview_close. */
int pageview_open(const struct pageview_request *req, struct pageview **v, struct err *err);

/* PostgreSQL's programs are looked for, and a private server is started, unless it is there. What follows up to
 * pageview_source needs it, but pageview_shown. */
int pageview_serve(struct pageview *v, struct err *err);

/* Names of its databases, sorted, templates left out; NULL-terminated. Owned by v, until
 * pageview_release. */
char *const *pageview_databases(const struct pageview *v);

/* Those that cannot be shown, and why; ends with name NULL. The same. */
const struct pg_omitted *pageview_omitted(const struct pageview *v);

/* Where PostgreSQL's programs are. Owned by v; NULL: not looked for. */
const char *pageview_bindir(const struct pageview *v);

/* Of a view that is kept, the same each time. */
struct moment_shown pageview_shown(const struct pageview *v);

/* A libpq connection string of one of them; owned by the caller. */
char *pageview_source(const struct pageview *v, const char *database);

/* Is it read without the server that replayed it, because it is kept or shown as pages? */
bool pageview_is_complete(const struct pageview *v);

/* Bytes of log that were replayed for it just now. */
uint64_t pageview_replayed(const struct pageview *v);

/* The server is stopped, and what it wrote is in the pages: from now on they are there
 * (pageview_pages). What pg_control says of them is left in c. */
int pageview_freeze(struct pageview *v, struct pg_control *c, struct err *err);

/* The data directory as of the split point, open for reading until pageview_close; NULL unless it
 * was asked for, or opened, or frozen. */
struct store_view *pageview_pages(const struct pageview *v);

/* Of a view that is complete, with a server or without one. */
int pageview_open_pages(struct pageview *v, struct err *err);

/* Who the pages are read as; borrowed until pageview_close. */
const struct pg_identity *pageview_identity(const struct pageview *v);

/* Notes of a view that is kept (store.h). */
int pageview_read_note(struct pageview *v, const char *name, char **bytes, size_t *len,
                       struct err *err);
int pageview_write_note(struct pageview *v, const char *name, const struct buf *b, struct err *err);

/* The same for threads that have entered, any number of them, one at a time. */
int pageview_read_note_entered(struct pageview *v, const char *name, char **bytes, size_t *len,
                               struct err *err);
int pageview_write_note_entered(struct pageview *v, const char *name, const struct buf *b,
                                struct err *err);

/* Who reads those pages does it as their owner: in the thread that serves (pg/identity.h); NULL and
 * a view of something else are fine. */
int pageview_enter(const struct pageview *v, struct err *err);
void pageview_leave(const struct pageview *v);

/* NULL is fine, for both. */
void pageview_release(struct pageview *v);
void pageview_close(struct pageview *v);

#endif
