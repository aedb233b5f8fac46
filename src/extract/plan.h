/*
 * extract/: from a frozen state to flat files. May be called from view/, load/, capture/ and cmd/;
 * calls common/ and pg/.
 *
 * The plan: tables cut into chunks, and the order in which they are handed out. Pure.
 */
#ifndef ASOFS_EXTRACT_PLAN_H
#define ASOFS_EXTRACT_PLAN_H

#include "pg/copysql.h"

/* A block range of one relation: the unit of work. Chunks of a table stand together, in file order.
 */
struct chunk {
    uint32_t table;             /* index into the catalog's tables */
    int32_t leaf;               /* index into its leaves; -1: the table itself */
    struct pg_copy_range range; /* all zero: the whole relation */
    uint64_t weight;            /* estimated bytes in the source */
    bool first, last;           /* of its flat file */
};

struct plan {
    struct chunk *chunks;
    size_t nchunks;
    size_t *first; /* by table: its first chunk; first[ntables] = nchunks */
    size_t ntables;
    uint32_t *order; /* chunk numbers: largest table first, a table's chunks in file order */
    bool backwards;  /* the order is the other way round, in everything */
    uint64_t weight; /* of all chunks */
};

/* chunk_size in bytes of heap + TOAST; 0 cuts nothing. */
void plan_make(struct plan *p, const struct pg_catalog *c, uint64_t chunk_size);
/* The same of those tables alone that are not left out, by their numbers; the others have no chunk. */
void plan_make_part(struct plan *p, const struct pg_catalog *c, uint64_t chunk_size,
                    const bool *left_out);
/*
 * The plan of another host: of these chunks, which are in its order (a copy is taken), for who begins
 * at its end. Every table has one at least.
 */
void plan_join(struct plan *p, const struct chunk *chunks, size_t n, size_t ntables);
void plan_free(struct plan *p);

const struct pg_relation *plan_relation(const struct pg_catalog *c, const struct chunk *k);
size_t plan_table_chunks(const struct plan *p, size_t table);
/* How many chunks of the table of this one stand in the order from it on, itself included. */
size_t plan_chunks_on(const struct plan *p, uint32_t chunk);

#endif
