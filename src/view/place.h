/* A store as the commands that change it find it: who works on it, and what its parts take up. */
#ifndef ASOFS_VIEW_PLACE_H
#define ASOFS_VIEW_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

/*
 * Open the store at `path`. change: root first becomes its owner, for good, so that nothing in it
 * comes to belong to root; who only looks stays who he is.
 */
int place_open(const char *path, bool change, struct store **s, struct err *err);

/* Bytes on disk below STORE/name, symbolic links not followed; what is not there has none. */
uint64_t place_bytes(const struct store *s, const char *name);

#endif
