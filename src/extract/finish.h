/*
 * Finishing flat files of several chunks: their bytes are read once in file order, while they are
 * still in the page cache, for the checksum; for a table that has a file of its own they are
 * written to it on the way and the spool space is given back. Done in short steps between the
 * coordinator's other work.
 *
 * A chunk's bytes are checked against the checksum its worker sent: what is in the spool is what
 * came from the server.
 */
#ifndef ASOFS_EXTRACT_FINISH_H
#define ASOFS_EXTRACT_FINISH_H

#include "extract/plan.h"
#include "extract/spool.h"

struct finisher;

struct finished {
    size_t table;
    uint64_t bytes;
    uint64_t checksum;
};

/*
 * Both borrowed: spools, the array that chunk locations refer to; own_files, by table a descriptor
 * to write the file to, or -1 (looked at when the table's first chunk is added).
 */
struct finisher *finisher_new(const struct plan *p, struct spool *spools, const int *own_files);
void finisher_free(struct finisher *f);

/* A chunk of a table with several chunks, which is not given up, lies in the spool. */
void finisher_add(struct finisher *f, uint32_t chunk, uint32_t spool, uint64_t offset,
                  uint64_t length, uint64_t checksum);

/*
 * Work on for some milliseconds. 1 = *done names a table that is finished; 0 = did some work, or
 * none was possible (finisher_has_work tells); negative = a file could not be read or written.
 */
int finisher_step(struct finisher *f, struct finished *done, struct err *err);

/* Nothing more is done for a table, and nothing of it is looked at any more: it is never finished. */
void finisher_give_up(struct finisher *f, uint32_t table);
bool finisher_gave_up(const struct finisher *f, uint32_t table);
/* The same of one that has failed: its space is given back. */
void finisher_drop(struct finisher *f, uint32_t table);

/* A chunk that was added has been read. */
bool finisher_is_past(const struct finisher *f, uint32_t chunk);
bool finisher_has_work(const struct finisher *f);

#endif
