/* Looking inside a store: asofs store check, asofs store map. Changes nothing. */
#ifndef ASOFS_STORE_CHECK_H
#define ASOFS_STORE_CHECK_H

#include <stdint.h>

#include "common/err.h"
#include "store/store.h"

struct check_report {
    uint64_t bases, views, files,
        pages;         /* looked at: files with difference storage, stored pages */
    uint64_t findings; /* lines told */
};

/*
 * Everything in the store against itself: descriptions, manifests and their bases, journals, side
 * page tables, and the checksum of every stored page. `tell` gets one line for each finding, with
 * what it is about and what it means. 0 also with findings; negative when the store cannot be
 * opened.
 */
int store_check(struct store *s, void (*tell)(void *arg, const char *line), void *arg,
                struct check_report *report, struct err *err);

/*
 * One view, and what it stands on. -EBUSY: another process writes it; -ENOENT: there is none.
 */
int store_check_view(struct store *s, const char *name, void (*tell)(void *arg, const char *line),
                     void *arg, struct check_report *report, struct err *err);

/* A run of pages from one place. */
struct map_run {
    uint64_t first, count; /* pages */
    const char *place;     /* "view", "layer 2", "base", "zero" */
    uint64_t unreadable;   /* pages of it whose checksum does not match */
};

/* Which layer holds which page of a file of a view: its size, then each run in order. */
int store_map(struct store *s, const char *view, const char *path, uint64_t *size,
              void (*each)(void *arg, const struct map_run *run), void *arg, struct err *err);

#endif
