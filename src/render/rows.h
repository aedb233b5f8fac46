/*
 * A block's visible rows as lines of the flat file, in the order of their line pointers, as COPY writes
 * them (FORMAT csv, or text): fields, quotes, ends of lines.
 */
#ifndef ASOFS_RENDER_ROWS_H
#define ASOFS_RENDER_ROWS_H

#include "render/field.h"
#include "render/heap.h"
#include "render/work.h"
#include "render/xacts.h"

/* pg_attribute, dropped ones too, in the order of their numbers. */
struct render_attribute {
    const struct render_type *type; /* NULL: dropped, or not wanted */
    int16_t len;                    /* attlen, as its type has it */
    char align;                     /* attalign */
    char *
        missing; /* in rows that were written before the column was added (attmissingval): its text;
                      NULL: it is null there */
};

/* One relation that has rows: a table, or a leaf of one. All borrowed. */
struct render_relation {
    struct render_pages pages;
    bool checksums;             /* the cluster has them */
    struct render_toast *toast; /* NULL: there is none */
    const struct render_attribute *attributes;
    size_t nattributes;
    const uint16_t *columns; /* of the file, in its order: numbers of attributes, from 0; each has a
                                type, and comes once */
    size_t ncolumns;
    struct render_xacts *xacts;
    enum render_format format;
};

/* The lines are appended to *o, and *rows grows. Or -errno with w->fault, and *item (1 to n; 0: the page
 * itself): then nothing is appended. */
int render_rows_put(struct render_work *w, const struct render_relation *r, uint64_t block,
                    const char *page, struct out *o, uint64_t *rows, int *item);

/* Their length alone: *bytes and *rows grow; the same or the same fault for every page. */
int render_rows_measure(struct render_work *w, const struct render_relation *r, uint64_t block,
                        const char *page, uint64_t *bytes, uint64_t *rows, int *item);

/*
 * The same of a part of the page: from item *item (1 to n) on, up to the row with which there are
 * `enough` bytes. Afterwards *item is where to go on, or 0 at the end of the page.
 */
int render_rows_put_from(struct render_work *w, const struct render_relation *r, uint64_t block,
                         const char *page, uint64_t enough, struct out *o, uint64_t *rows,
                         int *item);
int render_rows_measure_from(struct render_work *w, const struct render_relation *r, uint64_t block,
                             const char *page, uint64_t enough, uint64_t *bytes, uint64_t *rows,
                             int *item);

/* The first line of a CSV file. */
void render_rows_header(char *const *names, size_t n, struct out *o);

#endif
