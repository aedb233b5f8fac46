/*
 * What the source said of its own log: at that time of its clock, the log ended there. Written down
 * by who receives the log (STORE/source-log), a few of them, the newest last.
 *
 * What a log proves by its records ends with the last commit (walreach.h), and an idle source makes
 * none. A log that reaches to where the source's own ended then has everything until then, whenever
 * it came here.
 */
#ifndef ASOFS_STORE_WALSAID_H
#define ASOFS_STORE_WALSAID_H

#include "store/wal.h"

struct wal_said {
    int64_t time_us; /* since 1970; what was committed until then lies before `lsn` */
    uint64_t lsn;
    uint32_t timeline;
};

#define WALSAID_MAX 8

/* Appended to what is there, of which the oldest goes. */
int walsaid_add(const char *store, const struct wal_said *said, struct err *err);

/* How many there are, at most WALSAID_MAX; a file that is missing or damaged says nothing. */
size_t walsaid_read(const char *store, struct wal_said out[WALSAID_MAX]);

/* The newest of these times that is proved by a log which reaches to `end` on the way to `towards`;
 * 0: none. Pure. */
int64_t walsaid_proves(const struct wal_said *said, size_t n, const struct wal_list *l,
                       uint32_t towards, uint64_t end);

#endif
