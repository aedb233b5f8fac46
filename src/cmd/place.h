/* A store as the commands that change it find it: who works on it, and what its parts take up. */
#ifndef ASOFS_CMD_PLACE_H
#define ASOFS_CMD_PLACE_H

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

/*
 * The lock of whoever makes a view of that name (view/page.c). 1: somebody makes it now. With
 * `take`, 0 leaves the lock with the caller until place_unlock_making(s, name, *fd).
 */
int place_lock_making(const struct store *s, const char *name, bool take, int *fd, struct err *err);
void place_unlock_making(const struct store *s, const char *name, int fd);

#endif
