/*
 * Looking at a view from outside, through its .asofs/ files: a mount, complete or not, or a
 * directory that `asofs extract` made; of one database, or of a cluster, with a directory for each.
 */
#ifndef ASOFS_VIEW_INSPECT_H
#define ASOFS_VIEW_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct inspected_table {
    char *database; /* the directory of its database, in a view of several; else NULL */
    char *schema, *name;
    char *file;     /* below the view's directory */
    char *state;    /* waiting, running, complete, failed; or ready: rendered, not yet measured */
    char *checksum; /* 16 hexadecimal digits, or "" */
    char *error;
    char *filter;  /* only these rows of the table are in it; or "" */
    bool rendered; /* from the pages, when it is read; else it is a copy */
    uint64_t rows, bytes, estimate;
    double seconds; /* in work so far, or in all */
};

struct inspected {
    char *json;   /* status.json as it is; of several: {"state": …, "databases": {NAME: …}} */
    char *state;  /* extracting, complete, failed */
    char *moment; /* ISO 8601 */
    char *source; /* "dbname@host", "dbname of STORE"; of several: "STORE" */
    bool source_held;
    double held_seconds, extract_seconds;
    uint64_t estimate, estimate_done, bytes;
    struct inspected_table *tables;
    size_t ntables;
};

/* -EINVAL when dir holds no view. */
int inspect_open(struct inspected *i, const char *dir, struct err *err);
void inspect_free(struct inspected *i);

/* A regular file below dir, whatever somebody else has put there: no link is followed, and no pipe
 * waited for. A descriptor, or -1 with errno. */
int inspect_open_file(const char *dir, const char *file);

/* The whole of a file of .asofs/, after what is in the buffer; it ends with a NUL. */
int inspect_read_meta(const char *dir, const char *name, struct buf *b, struct err *err);

/* XXH3 of a file as 16 hexadecimal digits. It is a regular one below dir; that goes for what
 * inspect_open reads, too: tables.csv, which names it, may be somebody else's. No link is followed,
 * and no pipe waited for. */
int inspect_checksum(const char *dir, const char *file, char out[17], struct err *err);

/* A table as a person writes it: schema.table, in a view of several with DATABASE/ in front, or the
 * name of its file below dir. NULL: there is none. */
const struct inspected_table *inspect_find(const struct inspected *i, const char *name);

/* Until it is complete; it comes first in the queue from now on. */
int inspect_wait(const char *dir, const struct inspected_table *t, struct err *err);

/* Is its file as the view says? Size and checksum, as far as the view says them; and all of it can be
 * read. */
int inspect_verify(const char *dir, const struct inspected_table *t, struct err *err);

/*
 * The views mounted on this machine, as "path\0": calls f for each, in the order of
 * /proc/self/mounts, and stops when it returns non-zero.
 */
int inspect_each_mount(int (*f)(void *arg, const char *dir, const char *source), void *arg,
                       struct err *err);

#endif
