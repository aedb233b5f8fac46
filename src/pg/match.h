/*
 * Names matched without a server: the regular expressions that a pattern is made into (pattern.h), of those
 * patterns whose only wildcards are * and ?. The answer is the server's. Pure.
 */
#ifndef ASOFS_PG_MATCH_H
#define ASOFS_PG_MATCH_H

#include <stdbool.h>

/* Is it one of those? The others have to be left to the server. */
bool pg_match_can(const char *regex);

/* Does it match the whole of the name? Both are UTF-8; or, with `bytes`, a character is a byte. */
bool pg_match(const char *regex, const char *name, bool bytes);

#endif
