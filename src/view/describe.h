/*
 * Which tables of a page view are rendered, and what render/ takes of them; the others are copied, and why
 * is said for people. Pure: from what pg/ read to what render/ reads.
 */
#ifndef ASOFS_VIEW_DESCRIBE_H
#define ASOFS_VIEW_DESCRIBE_H

#include "pg/copysql.h"
#include "pg/heaps.h"
#include "render/rows.h"

struct describe_request {
    const struct pg_catalog *catalog;
    const struct pg_heaps *heaps;
    enum pg_format format;
    const char *encoding;           /* of the files */
    const char *timezone;           /* in which they show moments */
    bool has_zone;                  /* render_zone_new knows that zone */
    const struct render_zone *zone; /* it: where it is not that of heaps, missing values that are
                                       moments are written anew; NULL: they cannot be */
};

/* What has rows of its own: the table, or a leaf of it. For struct render_relation. */
struct described_relation {
    char *name;       /* "schema"."name" as people write it: for messages */
    char *path;       /* of the main fork, below the data directory */
    char *toast_path; /* NULL: there is no TOAST table */
    struct render_attribute *attributes;
    size_t nattributes;
    uint16_t *columns;
    size_t ncolumns;
};

struct described_table {
    char *copied;   /* why it cannot be rendered, a few words: "row filter"; NULL: it can */
    bool runs_code; /* and it is copied by code that did not come with PostgreSQL: of a type or an
                       access method (a row filter's is not looked at) */
    bool zoned;     /* its text depends on the time zone */
    bool zoned_missing; /* so does a missing value that is not written anew: it is as in
                           heaps->timezone */
    struct described_relation *relations; /* leaves in the order of the catalog; none: no rows */
    size_t nrelations;
};

struct described {
    enum render_format format;
    struct render_types *types;     /* those of the attributes */
    struct described_table *tables; /* as in the catalog */
    size_t ntables;
};

/* Nothing of the request is needed afterwards. */
struct described *describe_tables(const struct describe_request *r);
void described_free(struct described *d); /* NULL is fine */

#endif
