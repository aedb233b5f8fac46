/*
 * What the epochs say of names: which id a name stood for when it first changed in an epoch.
 * Everything here is covered by the tree's lock (livestate.h).
 */
#ifndef ASOFS_LIVE_PASTNAMES_H
#define ASOFS_LIVE_PASTNAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "live/table.h"

struct past_name {
    struct table_link by_name, by_dir; /* keys: hash of directory and name; id of the directory */
    uint64_t epoch;
    uint64_t id; /* 0: there was no such name */
    mode_t mode; /* its type */
    char name[];
};

struct past_names {
    struct table by_name, by_dir;
};

void past_names_free(struct past_names *t);

int past_names_add(struct past_names *t, uint64_t epoch, uint64_t dir, const char *name,
                   uint64_t id, mode_t mode);
bool past_names_said(const struct past_names *t, uint64_t epoch, uint64_t dir, const char *name);

/* What the first epoch >= from says; NULL: none says anything. */
const struct past_name *past_names_find(const struct past_names *t, uint64_t from, uint64_t dir,
                                        const char *name);

/* All of a directory, of any epoch: after `n`, or the first (NULL). */
const struct past_name *past_names_of_dir(const struct past_names *t, uint64_t dir,
                                          const struct past_name *n);

/* What epoch `from` says, `to` says from now on; what it has said itself holds. */
void past_names_relabel(struct past_names *t, uint64_t from, uint64_t to, uint64_t dir,
                        const char *name);

/* Up to `max` of what an epoch says is forgotten; true: there may be more. */
bool past_names_forget(struct past_names *t, uint64_t epoch, size_t max);

#endif
