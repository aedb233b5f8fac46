/*
 * load/: a view fills a second database, its snapshot tables: delete workers clear them, loader
 * workers load flat files into them, a coordinator publishes the whole. May be called from cmd/;
 * calls common/, pg/ and extract/.
 *
 * The gate: which job may begin. Pure: events in, jobs out; no socket, no clock.
 *
 *   CLEAR    of a snapshot table (of its shadow, made anew): for the delete workers
 *   LOAD     of a part of a flat file: for the loader workers
 *   FINISH   a step of a table when all of it is loaded (an index, a constraint, ANALYZE)
 *
 * A part is given out only once both are true: the part is complete, and *every* snapshot table
 * that its file feeds is cleared; until then it is held back. Orders can be set between tables: one
 * is cleared only after another (children before parents), or loaded only after another is loaded
 * whole (parents before children). A step waits for the steps of lower phases of its table; from
 * GATE_PHASE_ALL on, for those of every table.
 *
 * A job that was taken ends in gate_done or gate_put_back. A LOAD of a file that is open can also be
 * done without: by somebody who has no file. Everything is done when gate_left is 0.
 */
#ifndef ASOFS_LOAD_GATE_H
#define ASOFS_LOAD_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_MAX_TRIES 5
#define GATE_PHASE_ALL 100
#define GATE_PHASES 128

enum gate_kind { GATE_CLEAR, GATE_LOAD, GATE_FINISH };
#define GATE_KINDS (GATE_FINISH + 1)

struct gate_job {
    enum gate_kind kind;
    uint32_t item; /* the table; of a LOAD: the file */
    uint32_t part; /* of a LOAD: of the file, from 0; of a FINISH: the step, from 0 */
};

struct gate;

struct gate *gate_new(size_t ntables);
void gate_free(struct gate *g);

/* ---- before the first event ---- */

/* A file of so many parts that feeds these tables (one at least). Files are numbered from 0. */
uint32_t gate_add_file(struct gate *g, const uint32_t *tables, size_t n, uint32_t parts);

/* A step of this table, of a phase below GATE_PHASES. Its steps are numbered from 0 in the order
 * they were added. */
uint32_t gate_add_step(struct gate *g, uint32_t table, unsigned phase);

/* `table` is cleared only after `other` was; is loaded only after `other` was. false: that would
 * close a circle, nothing changes. */
bool gate_clear_after(struct gate *g, uint32_t table, uint32_t other);
bool gate_load_after(struct gate *g, uint32_t table, uint32_t other);

/* ---- events ---- */

/* The bytes of a part are in their place. Once for each part. */
void gate_part_complete(struct gate *g, uint32_t file, uint32_t part);

/* A job that was taken is done, or is to be done once more, before others; false: it has been tried
 * GATE_MAX_TRIES times. */
void gate_done(struct gate *g, const struct gate_job *job);
bool gate_put_back(struct gate *g, const struct gate_job *job);

/* ---- jobs ---- */

/* The next job of this kind; false: there is none now. */
bool gate_take(struct gate *g, enum gate_kind kind, struct gate_job *job);

size_t gate_left(const struct gate *g, enum gate_kind kind); /* not done */
size_t gate_waiting(struct gate *g, enum gate_kind kind);    /* could be taken now */

/* Every snapshot table it feeds is cleared, and it is its turn: its parts may be loaded. */
bool gate_is_open(struct gate *g, uint32_t file);

bool gate_is_cleared(const struct gate *g, uint32_t table);
bool gate_is_loaded(const struct gate *g, uint32_t table); /* every part of every file */
bool gate_is_finished(const struct gate *g, uint32_t table);

#endif
