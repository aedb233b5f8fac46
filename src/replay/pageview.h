/*
 * A page view: a past moment of a cluster, out of a base and its log, without a restore.
 *
 *   page_view_open     the moment is reached (the log is replayed, unless the view exists already),
 *                      and a private server shows it
 *   page_view_source   where a live view of one of its databases finds it (live.h)
 *   page_view_release  the server is gone: it is not needed any more
 *   page_view_close    a view without a name of its own is gone too
 *
 * How a moment is reached: the newest base that is early enough; a new view of it; a private server
 * that replays the log up to the split point, ends recovery (which undoes what was active), makes a
 * checkpoint and stops; pg_control says "shut down"; everything is synced; only then does view.json
 * say that the view is complete. A view that did not get so far is discarded and replayed, never
 * repaired. A complete view is not written any more: the server that reads it works on a scratch
 * view over it. A view that is neither kept nor shown as pages needs none of that: as soon as
 * recovery has ended, the server that replayed it is the one that shows it, and it is gone with
 * that.
 */
#ifndef ASOFS_REPLAY_PAGEVIEW_H
#define ASOFS_REPLAY_PAGEVIEW_H

#include "pg/private.h"
#include "store/store.h"
#include "replay/moment.h"

struct page_request {
    const char *store;
    struct moment moment;        /* MOMENT_NONE: of a view that exists */
    const char *view;            /* --view: kept under this name; NULL: not kept */
    const char *run_as;          /* NULL: the owner of the store, or postgres */
    const char *bindir;          /* NULL: looked for */
    const char *log;             /* --log: NULL: what the store says */
    const char *restore_command; /* NULL: what the store says */
    bool pages;                  /* its data directory is to be read too: page_view_pages */
    const char *database;        /* that is wanted; NULL: several */
    unsigned connections;        /* that will be made */
    bool quiet;
    int stop_fd; /* -1: none */
};

struct page_view;

/* The request is borrowed until page_view_close. */
int page_view_open(const struct page_request *req, struct page_view **v, struct err *err);

/* Names of its databases, sorted, templates left out; NULL-terminated. Owned by v, until
 * page_view_release. */
char *const *page_view_databases(const struct page_view *v);

/* Those that cannot be shown, and why; ends with name NULL. The same. */
const struct pg_omitted *page_view_omitted(const struct page_view *v);

/* Where PostgreSQL's programs are. Owned by v. */
const char *page_view_bindir(const struct page_view *v);

/* What it shows: the log in front of that place, and the time that was asked for, or else the newest
 * that base and log prove. Of a view that is kept, the same each time. */
struct page_shown {
    uint64_t lsn;
    int64_t time_us;
};
struct page_shown page_view_shown(const struct page_view *v);

/* A libpq connection string of one of them; owned by the caller. */
char *page_view_source(const struct page_view *v, const char *database);

/* The data directory as of the split point, open for reading until page_view_close; NULL unless it
 * was asked for. */
struct store_view *page_view_pages(const struct page_view *v);

/* Who reads those pages does it as their owner: in the thread that serves (pg/identity.h); NULL and
 * a view of something else are fine. */
int page_view_enter(const struct page_view *v, struct err *err);
void page_view_leave(const struct page_view *v);

/* NULL is fine, for both. */
void page_view_release(struct page_view *v);
void page_view_close(struct page_view *v);

#endif
