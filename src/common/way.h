/*
 * The way to a path, from the root: who could put something else in its place. Only root asks,
 * before it works on what somebody else owns as that user: what was looked at once must be what is
 * opened by its path later.
 */
#ifndef ASOFS_COMMON_WAY_H
#define ASOFS_COMMON_WAY_H

#include <sys/types.h>

#include "common/err.h"

/*
 * Refuses (-EPERM) a way that leads through a directory in which somebody else than root and the
 * `n` users of `trusted` can exchange what lies there, or through a link of such. What path names
 * may be missing, or belong to whom it likes. Relative paths begin at the working directory.
 * Anything else that is wrong with the way is no matter here (0): who opens the path says so.
 */
int way_check(const char *path, const uid_t *trusted, size_t n, struct err *err);

#endif
