/*
 * Where a view comes from, and what of it is wanted: a running server, or a store, in which a past
 * moment is reached first. What is done with it is the same for both.
 *
 *   source_init       the defaults; whoever takes options puts them into request and page
 *   source_take       SOURCE itself
 *   source_check…     what can be refused before anything is done
 *   source_open       of a store: the moment is reached; a private server shows it, unless all that is
 *                     wanted is remembered (remember.h)
 *   source_freeze, source_extract, source_extract_files, source_print_plan
 *   source_render     what is rendered instead, of what source_extract made
 *   source_release    the private server is not needed any more
 *   source_pages      what is left then, when it was asked for
 *   source_free
 */
#ifndef ASOFS_VIEW_SOURCE_H
#define ASOFS_VIEW_SOURCE_H

#include <stdio.h>

#include "replay/pageview.h"
#include "view/outdir.h"
#include "view/remember.h"
#include "view/snapshot.h"
#include "view/view.h"

struct source {
    char *place; /* libpq conninfo string, URI or database name; or the path of a store */

    /*
     * What is wanted. spool_dir, timezone and encoding, and all the texts of `page` but its store,
     * are memory that source_free frees. The members that both have are those of `request`: pages,
     * quiet, stop_fd. request.source, .shown and .bindir, and page.store and .connections, are set
     * by source_open.
     */
    struct snapshot_request request;
    struct pageview_request page; /* of a store */

    /* From source_open on, of a store. */
    struct pageview *pageview;
    bool several;                  /* all databases are meant */
    char *conninfo;                /* of the one database; NULL: there is no server yet */
    struct remembered *recalled;   /* what is shown of it; NULL: a server is asked */
    struct remembered *remembered; /* what the server said, to be written down; NULL: nothing new */
    bool forgets; /* it is a view that is kept, of which too little is remembered */
    char *shown_source;
    struct snapshot_shown shown;
};

void source_init(struct source *s);
void source_free(struct source *s); /* once more is fine */

/* Copy SOURCE out of an argv and overwrite a password in it. */
void source_take(struct source *s, char *arg);

/* Refuse options that exclude each other. */
int source_check(const struct source *s, struct err *err);

/* Refuse a spool directory that cannot be written, before any work. */
int source_check_spool(const struct source *s, struct err *err);

/* Refuse what cannot be served before it is extracted, before the moment is reached. */
int source_check_nowait(const struct source *s, struct err *err);

/* On failure, source_free is due all the same. */
int source_open(struct source *s, struct err *err);

/* After source_open: all databases of a store are meant. */
bool source_shows_several(const struct source *s);

/* view_freeze; of a source that may have been meant for a store, it is said that it is none. */
int source_freeze(struct source *s, struct view **v, struct err *err);

/* Of a store, or false: is each table that is wanted rendered, so that there is nothing to be copied? Freeze, look,
 * let go. */
int source_renders_all(struct source *s, bool *all, struct err *err);

/* Freeze and extract: into the spool, or into the directory. *v is the caller's to free, also after
 * a failure. */
int source_extract(struct source *s, struct view **v, struct err *err);
int source_extract_files(struct source *s, const struct outdir *d, struct view **v,
                         struct err *err);

/* After source_extract: the private server is not needed any more, and what is not copied is rendered
 * from now on (view_render). */
int source_render(struct source *s, struct view *v, bool eager, struct err *err);

/* Freeze, print tables, sizes and chunks, let go. */
int source_print_plan(struct source *s, FILE *out, struct err *err);

/* The private server is not needed any more, nor is anything else of a page view but its pages. */
void source_release(struct source *s);

/* The data directory of a page view, when request.pages asked for it; NULL: not so. It is open
 * until source_close. Whoever reads it, or what is rendered from it, does so as its owner, in a thread
 * that has entered (pageview_enter); where neither is there these do nothing. */
struct store_view *source_pages(const struct source *s);
int source_enter_pages(const struct source *s, struct err *err);
void source_leave_pages(const struct source *s);

/* All that source_open opened. */
void source_close(struct source *s);

#endif
