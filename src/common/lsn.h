/* A place on the write-ahead log: a byte offset, written as PostgreSQL does ("16/B374D848"). */
#ifndef ASOFS_COMMON_LSN_H
#define ASOFS_COMMON_LSN_H

#include <stdint.h>

#define LSN_TEXT_MAX 24

/* 0, or -EINVAL: two hexadecimal numbers of at most 8 digits with a slash between. */
int lsn_parse(const char *text, uint64_t *lsn);

const char *lsn_text(uint64_t lsn, char out[LSN_TEXT_MAX]); /* returns out */

#endif
