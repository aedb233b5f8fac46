/*
 * Drops columns out of a flat file on its way to the server: generated ones stand in the file, and
 * COPY refuses them. A stream: bytes in as they come, cut anywhere; bytes out. Pure.
 *
 * The forms are those that COPY … TO writes (PostgreSQL 14 to 18, src/backend/commands/copyto.c):
 * csv with ',', '"' and '\n'; text with '\t' and '\n'; binary with its header in front of the first
 * row (or none, in the middle of a file) and a trailer that may be missing. Every encoding that a
 * client may have is ASCII where these bytes are.
 */
#ifndef ASOFS_LOAD_FIELDS_H
#define ASOFS_LOAD_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "pg/copysql.h"

struct fields;

/* drop[i]: of column i of n; at least one stays. binary_header: the stream begins with it. */
struct fields *fields_new(enum pg_format format, const bool *drop, size_t n, bool binary_header);
void fields_free(struct fields *f);

/* Appends to `out` what stays. -EINVAL: a row has another number of fields than n. */
int fields_put(struct fields *f, const char *bytes, size_t len, struct buf *out, struct err *err);

/* No more bytes come. -EINVAL: they ended in the middle of a row. */
int fields_end(const struct fields *f, struct err *err);

#endif
