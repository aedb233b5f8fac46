/* A store as commands find it: who works on it, and what its parts take up. */
#ifndef ASOFS_BASE_PLACE_H
#define ASOFS_BASE_PLACE_H

#include <stdint.h>

#include "store/store.h"

/* Open the store at `path`. root first becomes its owner, for good: also who only looks reads what
 * that user put there. */
int place_open(const char *path, struct store **s, struct err *err);

/* Root makes one only where nobody else can put something else in its place. */
int place_check_new(const char *path, struct err *err);

/* Bytes on disk below STORE/name, symbolic links not followed; what is not there has none. */
uint64_t place_bytes(const struct store *s, const char *name);

#endif
