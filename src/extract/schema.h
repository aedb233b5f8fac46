/*
 * schema.sql beside the extraction: pg_dump's text becomes part of the results, or why there is
 * none. For the thread that extracts.
 */
#ifndef ASOFS_EXTRACT_SCHEMA_H
#define ASOFS_EXTRACT_SCHEMA_H

#include "extract/result.h"
#include "pg/dump.h"

struct schema {
    struct pg_dump *dump; /* borrowed, as what follows; running or not */
    struct pg_conn *leader;
    struct results *results;
    int64_t checked; /* clock_ms */
    bool was_blocked;
};

bool schema_is_running(const struct schema *s);

/* One of the two descriptors of pg_dump, to be polled while it is running, is readable. */
void schema_hear(struct schema *s);

/*
 * Only pg_dump is left: it is not waited for when it waits for somebody who waits for us, which
 * two checks that are some time apart find. The leader's connection must be idle. now: clock_ms
 */
void schema_check(struct schema *s, int64_t now);

#endif
