/* How far the copy under way is, of which asofs.chunk (record.h) has a row for each part. */
#ifndef ASOFS_PG_RECORDPARTS_H
#define ASOFS_PG_RECORDPARTS_H

#include "pg/conn.h"

struct pg_record_parts {
    uint64_t done, of; /* 0 of 0: none is under way, nor was one cut off */
    uint64_t rows;     /* of those that are done */
    bool is_over;      /* nobody is at it; what there is was left behind. On a standby: not known */
};

/* With no more rights than everybody has; the schema has to be there (pg_record_read). */
int pg_record_count_parts(struct pg_conn *conn, const char *name, struct pg_record_parts *parts,
                          struct err *err);

#endif
