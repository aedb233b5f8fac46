/*
 * A base whose directory was copied, moved or restored: the same names and bytes, other inodes and
 * times. The manifest is written anew, with the id and the numbers of entries that layers and views
 * know it by.
 */
#ifndef ASOFS_STORE_REBASE_H
#define ASOFS_STORE_REBASE_H

#include "common/err.h"
#include "pages/disk.h"
#include "pages/manifest.h"

/* -ESTALE, with the first that differs named: names, types and sizes of files are not the same. */
int rebase_compare(const struct manifest *was, const struct manifest *now, struct err *err);

/* The manifest at `from` of d becomes that at `to`, with this id. */
int rebase_manifest(struct disk *d, const char *from, const char *to, uint64_t id, struct err *err);

#endif
