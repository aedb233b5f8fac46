/*
 * A time zone, out of its TZif file (RFC 8536), for any moment that PostgreSQL has: what its own
 * library says. Read by any number of threads.
 */
#ifndef ASOFS_RENDER_ZONE_H
#define ASOFS_RENDER_ZONE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct render_zone;

/* A name as SET TIME ZONE takes it, which is also the name of a file of the system's, or UTC.
 * NULL: it is none, or it cannot be read: what depends on the zone is not rendered then. */
struct render_zone *render_zone_new(const char *name);

/* Out of a file's bytes, version 2 or later, without leap seconds. */
struct render_zone *render_zone_parse(const char *bytes, size_t n);

void render_zone_free(struct render_zone *z); /* NULL is fine */

/* All that it says of any moment, as bytes: whoever has the same has the same offsets. */
void render_zone_put(const struct render_zone *z, struct buf *b);

/* Seconds east of UTC at a moment in seconds since 1970. */
int32_t render_zone_offset(const struct render_zone *z, int64_t unix_seconds);

#endif
