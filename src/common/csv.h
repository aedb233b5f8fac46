/* CSV by RFC 4180: writing with lines ended by a single newline, reading with either line end. */
#ifndef ASOFS_COMMON_CSV_H
#define ASOFS_COMMON_CSV_H

#include "common/buf.h"

/* One field, quoted only where it must be; NULL is an empty field. */
void csv_put_field(struct buf *b, const char *text);

/*
 * Read one record from *text (up to `end`) into at most `max` fields, each a fresh string that the
 * caller frees. Moves *text past the record. The number of fields, 0 at the end of the text, or
 * -EINVAL (a quote that is not closed, text after a closing quote, more than max fields); then no
 * field is the caller's.
 */
int csv_read_record(const char **text, const char *end, char **fields, int max);

#endif
