/*
 * What others wrote (a server's message, the name of a table, a path), as it is shown to people: no
 * character of it moves a terminal's cursor, hides text, or looks like a line of ours.
 */
#ifndef ASOFS_COMMON_PRINTABLE_H
#define ASOFS_COMMON_PRINTABLE_H

#include "common/buf.h"

/*
 * Append text with its control characters, those that turn the direction of writing, and bytes that
 * are no UTF-8 written as \xHH (of each byte). Lines stay lines; `indent` is put in front of each
 * but the first, unless it begins with a blank.
 */
void printable_put(struct buf *b, const char *text, const char *indent);

/* printf to standard output, of what is printable. Negative when that failed. */
int printable_out(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
