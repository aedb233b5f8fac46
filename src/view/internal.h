/*
 * What the files of view/ share. Not to be included from other rooms.
 *
 * A view is one or several snapshots under one tree, always. A node of the tree says which member
 * it belongs to, and which table or text of that member it is; so with one member nothing is
 * different.
 */
#ifndef ASOFS_VIEW_INTERNAL_H
#define ASOFS_VIEW_INTERNAL_H

#include <pthread.h>

#include "common/flatfile.h"
#include "common/progress.h"
#include "extract/coordinator.h"
#include "view/snapshot.h"
#include "view/tree.h"
#include "view/view.h"

/* One database, frozen; see snapshot.h. */
struct snapshot {
    struct snapshot_request req; /* what it points at is borrowed; source and shown are not used any
                                more once it is frozen */
    bool of_store;               /* a page view: nobody is held */
    struct pg_target target;
    struct pg_conn *leader; /* NULL once released */
    struct pg_server server;
    const char *encoding; /* of the files */
    char *source;         /* "dbname@host" */
    struct pg_catalog *catalog;
    struct pg_moment moment;
    /* Of a page view, where tables are rendered (rendering.h); else NULL. */
    struct described *described;
    bool *rendered; /* by table: it is, and has no chunk in the plan */
    struct plan plan;
    struct results *results; /* from the freeze on; they have their own lock */
    struct tree tree;        /* its names alone */
    struct pg_dump dump;
    struct workers *workers;
    struct coordinator *coordinator; /* from snapshot_prepare on */
    struct progress progress;
    int64_t started, locked, frozen; /* clock_ms: begin, first lock, snapshot */
};

static inline struct results *snapshot_results(const struct snapshot *s)
{
    return s->results;
}

static inline bool snapshot_renders(const struct snapshot *s, size_t table)
{
    return s->rendered && s->rendered[table];
}

/* "" where that is a matter of course. */
const char *snapshot_why_copied(const struct snapshot *s, size_t table);

struct member {
    struct snapshot *snapshot;
    bool final[META_FILES];             /* protected by the view's lock */
    struct flatfile *texts[META_FILES]; /* written once, before it is `final` */
    int out_fd; /* where plain files of it are yet to be written, which are rendered; -1 */
};

struct view {
    char *source; /* "dbname@host", or the store */
    struct member *members;
    size_t n;
    const struct tree *tree; /* that of the only member, or `joined` */
    struct tree joined;
    int64_t started; /* clock_ms: view_new */
    void (*settled)(void *arg);
    void *settled_arg;

    struct rendering *rendering; /* rendering.h; NULL: everything is copied */
    struct writing *writing;     /* writing.h; NULL: what is rendered is served */

    bool threaded; /* extraction runs in `thread` */
    pthread_t thread;
    int halt_fd; /* eventfd that stops it; -1 without */

    pthread_mutex_t lock;
};

/* A view of no snapshot yet, with room for some. */
struct view *view_new(const char *source, size_t room);

/* One more member, which is the view's from now on. It is what view_extract and view_extract_files
 * extract. Until view_join the names are its names. */
void view_add(struct view *v, struct snapshot *s);

/* Show the members below a directory each (tree_join). */
void view_join(struct view *v, char *const *dirs, bool pages);

#endif
