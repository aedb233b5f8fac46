/* Writing CSV by RFC 4180, lines ended by a single newline. */
#ifndef ASOFS_COMMON_CSV_H
#define ASOFS_COMMON_CSV_H

#include "common/buf.h"

/* One field, quoted only where it must be; NULL is an empty field. */
void csv_put_field(struct buf *b, const char *text);

#endif
