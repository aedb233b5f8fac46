/*
 * What was measured, and the checksums that became known, of the tables of a view that is kept (render/index.h): remembered in
 * notes of the view, so that whoever mounts it again need not measure them. Those of little are together in one note, each larger
 * table has one of its own (docs/formats.md).
 *
 * A table's lengths are found by its key, XXH3 of all that its text depends on: base and moment, database, files and their
 * blocks, columns, format, encoding, the zone and all its rules. So what is found is of that table, as it is
 * rendered now, or is not found; and if it makes no sense it is measured anew.
 *
 * From any thread that has entered as the owner of the store.
 */
#ifndef ASOFS_VIEW_LENGTHS_H
#define ASOFS_VIEW_LENGTHS_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"

struct lengths;
struct rendered;
struct render_zone;
struct snapshot;

/* Where notes are, as replay/pageview.h has them; called by one thread at a time. */
struct lengths_notes {
    int (*read)(void *arg, const char *name, char **bytes, size_t *len, struct err *err);
    int (*write)(void *arg, const char *name, const struct buf *b, struct err *err);
    void *arg;
};

struct lengths *lengths_new(const struct lengths_notes *notes); /* copied */
void lengths_free(struct lengths *k);                           /* NULL is fine */

/* What the keys of all tables of a snapshot depend on: of struct rendered. zone NULL: it is not known. */
uint64_t lengths_of(const struct snapshot *s, uint64_t base_id, const struct render_zone *zone);

/* Of a table that was just opened: is it measured now? Its checksum is what was remembered. */
bool lengths_recall(struct lengths *k, struct rendered *t);

/* It was measured, and is there until k is freed. What cannot be written is told once, and is no failure. */
void lengths_keep(struct lengths *k, const struct rendered *t);

/* Its checksum became known: that is written down later. */
void lengths_keep_sum(struct lengths *k, const struct rendered *t);

/* Those of little are written down, if there are any new ones, and checksums. */
void lengths_write(struct lengths *k);

#endif
