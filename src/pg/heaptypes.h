/* The types of heaps, and what heaps.c shares with them. For the files of pg/; others have heaps.h. */
#ifndef ASOFS_PG_HEAPTYPES_H
#define ASOFS_PG_HEAPTYPES_H

#include "pg/heaps.h"

#define PG_HEAP_ALIGNS "csid" /* typalign, attalign */

/* Three queries: the types of these relations (an array literal) and all below them, columns of row types,
 * labels; and one for each reg* type among them. */
int pg_heap_types_read(struct pg_conn *conn, const char *relations, struct pg_heaps *h,
                       struct err *err);
void pg_heap_type_free(struct pg_heap_type *t); /* what it holds */

/* Of bsearch, in what begins with its OID. */
int pg_heap_compare_oids(const void *key, const void *element);

bool pg_heap_is_letter(const char *text, const char *letters); /* one of them, alone */
bool pg_heap_is_length(int64_t n);                             /* typlen, attlen */

#endif
