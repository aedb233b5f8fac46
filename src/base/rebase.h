/*
 * asofs base rebase: a store that was moved, copied or restored is taken as it is now.
 *
 * A base is known by the inodes and times of its files, which a copy does not have. It is the same
 * base if names, types and sizes of all files are the same, and their contents are proved: by the
 * checksums of PostgreSQL's backup_manifest (CRC-32C, which is its default), and for the log in
 * pg_wal by those of its records. What no checksum proves, a person can vouch for (`unproven`):
 * then size and time of last change must be as they were, to the second. Layers and views have a
 * checksum for each page.
 */
#ifndef ASOFS_BASE_REBASE_H
#define ASOFS_BASE_REBASE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct rebase_request {
    const char *store, *run_as; /* run_as: NULL, or --run-as */
    bool unproven;
    void (*rebased)(void *arg, const char *id, uint64_t proved, uint64_t unproven); /* files */
    void (*finding)(void *arg, const char *line); /* of a layer or view that is damaged */
    void *arg;
};

/* Bases that are as they were are left alone. -EIO: something was found. */
int base_rebase(const struct rebase_request *req, struct err *err);

#endif
