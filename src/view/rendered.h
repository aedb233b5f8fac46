/*
 * A table that is rendered out of frozen pages: its flat file. For rendering.c, which says when it is
 * opened and measured, and keeps what its readers leave within bounds.
 */
#ifndef ASOFS_VIEW_RENDERED_H
#define ASOFS_VIEW_RENDERED_H

#include "common/err.h"
#include "common/flatfile.h"
#include "render/lines.h"
#include "render/memory.h"
#include "view/frozenfiles.h"
#include "view/sum.h"

struct pg_identity;

/* What the tables of a view share. */
struct rendered_from {
    struct frozenfiles *files;
    struct render_xacts *xacts;
    bool checksums; /* pages have them */
    struct render_memory *memory;
    const struct pg_identity *as; /* who the threads have entered as */
    struct render_memory *early;  /* of all sums */
};

struct snapshot;

struct rendered {
    struct flatfile file; /* first; complete once it is measured */
    const struct rendered_from *from;
    struct snapshot *snapshot;
    uint32_t table;
    struct render_settings settings;
    uint64_t of;                                       /* lengths_of */
    void (*was_read)(void *arg, struct rendered *t);   /* from any thread, as is what follows */
    void (*was_summed)(void *arg, struct rendered *t); /* its results know the checksum now */
    void *arg;

    /* By relation; none before rendered_open. */
    struct frozenrelation **files; /* two of each: heap and TOAST, NULL: it has none */
    struct render_pages *toast_pages;
    struct render_toast **toasts;
    struct render_relation *relations;
    size_t nrelations;
    struct render_lines *lines; /* NULL: not open */
    uint64_t checksum;          /* where it was known when it was measured; else 0 */
    struct sum *sum;            /* else, then: of what is read; NULL: there is no need of it */
    _Atomic uint64_t read;      /* bytes, since what is kept of its text was given back */
};

/* Its members down to arg are set. Once; 0 or -errno. */
int rendered_open(struct rendered *t, struct err *err);
void rendered_close(struct rendered *t); /* also of one that was not opened */

/* It is measured: the flat file is complete. Its checksum is known once all of it was read in order. */
void rendered_complete(struct rendered *t);

/* Give back memory that readers left for those who come after them. */
void rendered_trim(struct rendered *t);

/* Bytes of its pages, in heap and TOAST, of one that is open. */
uint64_t rendered_pages(const struct rendered *t);

/* The table, for messages: with its database, where there are several. Owned by the caller. */
char *rendered_name(const struct rendered *t);

/* What is wrong, for people, without that name; owned by the caller. Where a file of the base is not what it
 * was, that is said, too. */
char *rendered_fault_text(const struct rendered *t, const struct render_fault *f);

#endif
