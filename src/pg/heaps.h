/*
 * Heaps: what of the catalog concerns the bytes of rows, for who reads them without the server: where
 * the files are, how rows are laid out, what the types are made of.
 *
 * Read with a fixed number of queries however many tables there are, in the transaction in which the
 * catalog was read. Values, so that they can be kept; nothing here is a promise that rows can be
 * rendered. No code that the database brings along is run by it (trust.h).
 */
#ifndef ASOFS_PG_HEAPS_H
#define ASOFS_PG_HEAPS_H

#include "pg/catalog.h"

/* pg_attribute. */
struct pg_heap_attribute {
    char *name;
    uint32_t type;   /* atttypid; 0: dropped */
    int16_t len;     /* attlen */
    char align;      /* attalign */
    bool is_virtual; /* attgenerated: computed when it is read; since 18 */
    /* In rows that were written before the column was added (attmissingval): the text, as the type's
     * output function writes it in this session; NULL: null. */
    char *missing;
    bool is_moment;      /* it is a timestamptz: */
    int64_t moment;      /* in microseconds since 2000, as it is stored */
    bool missing_unread; /* there is one, but code of the database's would write its text */
};

/* pg_class, of a relation that has rows of its own. */
struct pg_heap {
    uint32_t oid;
    char *method;     /* name of the access method */
    bool is_heap;     /* it is PostgreSQL's own */
    bool is_foreign;  /* it is code that did not come with PostgreSQL */
    char persistence; /* relpersistence: p, u, t */
    char *path;       /* below the data directory, as "base/5/16384"; NULL: it is gone */
    char *toast_path; /* of its TOAST table; NULL: it has none */
    struct pg_heap_attribute *attributes; /* all that there ever were, in order */
    size_t nattributes;
};

struct pg_heap_label { /* pg_enum; or what a reg* type calls an OID, under an empty search_path */
    uint32_t oid;
    char *text;
};

struct pg_heap_field { /* pg_attribute, of a row type */
    uint32_t type;     /* 0: dropped */
    int16_t len;
    char align;
};

/* pg_type, and what belongs to it. */
struct pg_heap_type {
    uint32_t oid;
    char kind; /* typtype: b, c, d, e, p, r, m */
    int16_t len;
    char align;
    char delimiter; /* typdelim */
    bool is_array;  /* an array of varying length, written by PostgreSQL's own function */
    bool
        is_foreign; /* its text is written by code that did not come with PostgreSQL: its own, or that of a type in it */
    uint32_t
        element; /* array: typelem; domain: typbasetype; range: rngsubtype; multirange: its range;
                         else 0 */
    char *name;  /* format_type() of it, for people */
    struct pg_heap_label
        *labels; /* of an enum, or a reg* type (then 0 has one, too), in order of OID */
    size_t nlabels;
    struct pg_heap_field *fields; /* of a row type, all that there ever were */
    size_t nfields;
};

/* All in order of OID, each once. */
struct pg_heaps {
    int version; /* of the server, 150004 */
    uint32_t block_bytes;
    uint32_t max_align; /* MAXALIGN */
    uint32_t
        toast_chunk; /* TOAST_MAX_CHUNK_SIZE: bytes of a value that a row of its TOAST table has */
    bool checksums;  /* pages have them */
    char *encoding;  /* of the database */
    char *timezone;  /* of the session: missing values are shown in it */
    struct pg_heap *heaps; /* of tables that are not partitioned, and of leaves */
    size_t nheaps;
    struct pg_heap_type *types; /* of the attributes, and those that they are made of */
    size_t ntypes;
};

/* What is not PostgreSQL's is refused with -EPROTO. *h is the caller's; NULL after a failure. */
int pg_heaps_read(struct pg_conn *conn, const struct pg_catalog *c, struct pg_heaps **h,
                  struct err *err);
void pg_heaps_free(struct pg_heaps *h); /* NULL is fine */

/* NULL: it is not there. */
const struct pg_heap *pg_heaps_find(const struct pg_heaps *h, uint32_t oid);
const struct pg_heap_type *pg_heaps_find_type(const struct pg_heaps *h, uint32_t oid);

#endif
