/*
 * Names of schemas and tables as names of files.
 *
 * Percent-escaping that is reversible and injective: two names never meet in one path. Escaped are
 * '%',
 * '/', control characters, the names "." and ".." and the empty name (as "%"), and at the top of a
 * view the name ".asofs", which is ours.
 */
#ifndef ASOFS_COMMON_ESCAPE_H
#define ASOFS_COMMON_ESCAPE_H

#include <stdbool.h>

/* The escaped name; the caller frees it. */
char *escape_name(const char *name);

#endif
