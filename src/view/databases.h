/*
 * Several databases of a page view as one view: at the top a directory for each (names escaped as
 * everywhere), below it what a view of that database has, .asofs/ too.
 *
 * Each is a member of the view, frozen and extracted one after the other over the same private
 * server. Nothing of what comes out is still being extracted.
 */
#ifndef ASOFS_VIEW_DATABASES_H
#define ASOFS_VIEW_DATABASES_H

#include "replay/pageview.h"
#include "view/remember.h"
#include "view/snapshot.h"
#include "view/view.h"

struct databases_request {
    /* Of each; what it points at is borrowed until view_free. `source` and `shown` are not used. */
    const struct snapshot_request *request;
    const struct pageview *page; /* borrowed for the call */
    const struct remembered
        *recalled;     /* borrowed until view_free; NULL: the page view has a server */
    const char *store; /* as people know it; borrowed for the call */
};

/*
 * Extract all of them into the spool. Entries of the list of tables hold for each database; one
 * that matches nothing in any is refused, by name. --spool-limit and own_files are shared out.
 */
int databases_extract(const struct databases_request *r, struct view **v, struct err *err);

/* The same into plain files below dir_fd, as view_extract_files. */
int databases_extract_files(const struct databases_request *r, int dir_fd, const char *spool_dir,
                            struct view **v, struct err *err);

/* What databases_extract would do (snapshot_print_plan). */
int databases_print_plan(const struct databases_request *r, FILE *out, struct err *err);

#endif
