/*
 * Several databases of a page view as one view: at the top a directory for each (names escaped as
 * everywhere), below it what a view of that database has, .asofs/ too.
 *
 * Each is a view of its own (live.h), frozen and extracted one after the other over the same
 * private server. What comes out is a struct view that every function of view.h answers for, but
 * view_on_settled: nothing of it is still being extracted.
 */
#ifndef ASOFS_VIEW_DATABASES_H
#define ASOFS_VIEW_DATABASES_H

#include "view/snapshot.h"
#include "replay/pageview.h"

struct cluster_request {
    const struct view_request
        *request;                 /* of each; borrowed until view_free. `source` is not used */
    const struct page_view *page; /* borrowed for the call */
    const char *store;            /* as people know it */
};

/*
 * Extract all of them into the spool. Entries of the list of tables hold for each database; one
 * that matches nothing in any is refused, by name. --spool-limit and own_files are shared out.
 */
int cluster_extract(const struct cluster_request *r, struct view **v, struct err *err);

/* The same into plain files below dir_fd, as view_extract_files. */
int cluster_extract_files(const struct cluster_request *r, int dir_fd, const char *spool_dir,
                          struct view **v, struct err *err);

/* What cluster_extract would do (view_print_plan). */
int cluster_print_plan(const struct cluster_request *r, FILE *out, struct err *err);

/* view_print_summary, also of a view of one database. */
void cluster_print_summary(const struct view *v, const char *what);

#endif
