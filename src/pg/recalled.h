/* A memory's insides: its bytes, and its answers. For the files of pg/; others have memory.h. */
#ifndef ASOFS_PG_RECALLED_H
#define ASOFS_PG_RECALLED_H

#include "pg/answer.h"
#include "pg/memory.h"

struct pg_kept {  /* an answer */
    uint64_t key; /* of the query */
    uint32_t columns, rows;
    const char **cells; /* by row; NULL: null */
};

#define PG_MEMORY_TEXTS 7 /* of struct pg_server (memory.c) */

struct pg_memory {
    int version;                   /* of the server */
    char *server[PG_MEMORY_TEXTS]; /* what it is, in the order of memory.c */
    struct pg_kept *kept;
    size_t n;
    char **bytes; /* that the cells lie in */
    size_t nbytes;
};

/* Keep the answer to a query. */
void pg_memory_keep(struct pg_memory *m, const char *sql, const struct pg_answer *a);

/*
 * What was kept, as an answer that the caller frees; where the first column is a k (answer.h), of its rows those
 * whose OID stands in the array literal `oids`. -EPROTO: nothing was kept, or not what is wanted.
 */
int pg_memory_answer(const struct pg_memory *m, const char *sql, const char *oids,
                     const struct pg_wanted *wanted, struct pg_answer **answer, struct err *err);

#endif
