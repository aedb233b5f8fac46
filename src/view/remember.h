/*
 * What is remembered of a page view that is kept: its databases, the memory of each that was shown (pg/memory.h), its
 * definitions, and what pg_control says. Whoever mounts it again then needs no server, as long as nothing
 * is copied. It stands in notes of the view (docs/formats.md), made by whoever finds none, and anew where they
 * are damaged or of another version.
 */
#ifndef ASOFS_VIEW_REMEMBER_H
#define ASOFS_VIEW_REMEMBER_H

#include "common/buf.h"
#include "pg/memory.h"
#include "replay/pageview.h"

struct view;

struct remembered_database {
    char *name;
    struct pg_memory *memory;
    struct buf schema; /* of all of it, as pg_dump writes it */
};

struct remembered {
    char **names;               /* of all databases that can be shown, sorted; ends with NULL */
    struct pg_omitted *omitted; /* the others; ends with name NULL */
    struct remembered_database *all; /* those that were wanted */
    size_t n;
    struct pg_control control; /* what rendering takes of it: limits and checksums */
};

/*
 * What there is of one database, or of all (NULL). NULL: not all of it, or it cannot be used, which is told. A
 * database that is none is not missed.
 */
struct remembered *remembered_read(struct pageview *page, const char *database);
void remembered_free(struct remembered *r); /* NULL is fine */

/* NULL: it is not there. */
const struct remembered_database *remembered_find(const struct remembered *r, const char *name);

/* Ask the private server, after the view was extracted, about each database that it shows. */
int remembered_make(struct pageview *page, const struct view *v, int stop_fd, struct remembered **r,
                    struct err *err);

/* Write it down, with `control` in it. What cannot be written is told, and made another time. */
void remembered_write(const struct remembered *r, struct pageview *page);

#endif
