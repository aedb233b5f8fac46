/*
 * The views that are mounted on this machine, looked at with patience: the process that serves one
 * may have stopped, and then it never answers. For a process with one thread only (common/ask.h).
 */
#ifndef ASOFS_VIEW_MOUNTED_H
#define ASOFS_VIEW_MOUNTED_H

#include "common/err.h"
#include "view/inspect.h"

/* inspect_open of a view, mounted or not; -ETIMEDOUT: who serves it does not answer. */
int mounted_open(struct inspected *i, const char *dir, struct err *err);

struct mounted {
    const char *dir, *source; /* as the mount says */
    /* Of struct inspected; else "dead", "pages" (a data directory: asofs pagefs), "closed" (to this
     * user), "no answer" or "unknown", with the moment "-". */
    const char *state, *moment;
};

/* Tells each, in the order of inspect_each_mount; not those of private servers. They are asked at
 * once, so that many that do not answer take no longer than one. */
int mounted_each(void (*tell)(void *arg, const struct mounted *m), void *arg, struct err *err);

#endif
