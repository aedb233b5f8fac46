/*
 * The ledger of an extraction: which chunk is in work, what became of it, and what the spool holds.
 * It brings the queue, the finisher, the files of single tables and the results together; who does
 * a chunk, a worker or the leader, is not its affair.
 *
 *   ledger_take → ledger_begin → ledger_progress … → ledger_done | ledger_put_back | ledger_put_off |
 *                                                    ledger_fail | ledger_give_to_leader |
 *                                                    ledger_no_room
 *
 * It belongs to the thread that extracts. The results have their own lock, and are the snapshot's.
 */
#ifndef ASOFS_EXTRACT_LEDGER_H
#define ASOFS_EXTRACT_LEDGER_H

#include "common/progress.h"
#include "extract/guest.h"
#include "extract/result.h"
#include "extract/spool.h"

#define LEDGER_NONE (-1)

struct ledger_config { /* what it points at is borrowed */
    const struct pg_catalog *catalog;
    const struct plan *plan;
    struct results *results;
    struct pg_conn *leader; /* whose server says how names are quoted */
    struct spool *spools;   /* by number; the last is opened when it is needed */
    const char *spool_dir;
    const char *encoding;
    enum pg_format format;
    int out_fd; /* -1, or a directory that gets plain files paths[table] */
    char *const *paths;
    size_t own_files;     /* without out_fd: how many large tables may have a spool file of their
                             own, which readers can then be given whole (fs/passthrough.h) */
    bool partial;         /* a table that fails does not end the rest */
    uint64_t spool_limit; /* bytes; 0: no limit */
    unsigned writers;     /* who may write at one time */
    const struct extract_guest *guest; /* told of chunks; NULL: none */
};

struct ledger;

struct ledger *ledger_new(const struct ledger_config *config);
void ledger_free(struct ledger *l);

/* ---- chunks that wait ---- */

/* The next that a worker may do, in work from now on; LEDGER_NONE: there is none, or no room for it. */
int64_t ledger_take(struct ledger *l);
/* The same of those that only the leader can do. */
int64_t ledger_take_for_leader(struct ledger *l);
/* A table's chunks go first. */
void ledger_prefer(struct ledger *l, uint32_t table);
size_t ledger_left(const struct ledger *l); /* chunks that wait or are in work */
const struct extract_direct *ledger_direct(const struct ledger *l); /* NULL: there are files */

/* ---- a chunk in work ---- */

struct ledger_job {
    char *copy_sql;
    char *lock_sql;  /* for whoever does not have the lock yet; NULL: it cannot be taken */
    uint32_t flags;  /* extract/protocol.h */
    int fd;          /* borrowed: the spool file, or the table's own (CHUNK_OWN_FILE) */
    uint64_t offset; /* of the chunk in the spool file; own file: 0 */
    uint64_t room;   /* bytes that may be written; UINT64_MAX: as many as there are */
    const struct extract_direct_table *direct; /* borrowed; not NULL: a worker writes it there */
};

/* How the chunk is done by whoever writes to this spool (or beside it: job->direct). */
int ledger_begin(struct ledger *l, uint32_t chunk, uint32_t spool, struct ledger_job *job,
                 struct err *err);
void ledger_job_free(struct ledger_job *job); /* also after a failure */

/* So many bytes more are written (wraps around when it is less); all that were told are taken back
 * before one of the seven below is called. Its table may have failed for it: ledger_has_failed. */
void ledger_add_under_way(struct ledger *l, uint32_t chunk, uint64_t more);
int ledger_check_spool(struct ledger *l, uint32_t chunk, struct err *err);
bool ledger_has_failed(const struct ledger *l, uint32_t chunk);
uint64_t ledger_weight(const struct ledger *l, uint32_t chunk); /* of extract/plan.h */
uint32_t ledger_part(const struct ledger *l, uint32_t chunk);   /* of its table, from 0 */

/* Negative: the extraction cannot go on. */
struct ledger_done {
    uint64_t bytes, rows, checksum;
    bool direct; /* it went into a second database (guest.h), not into a file */
};
int ledger_done(struct ledger *l, uint32_t chunk, uint32_t spool, const struct ledger_done *done,
                struct err *err);
/* Not the chunk's fault: somebody else tries, not for ever. */
int ledger_put_back(struct ledger *l, uint32_t chunk, const char *why, struct err *err);
/* Somebody else is at it, whom we do not know: it is tried when nothing else waits. */
void ledger_put_off(struct ledger *l, uint32_t chunk);
int ledger_fail(struct ledger *l, uint32_t chunk, const char *why, struct err *err);
/* It could not be written any further. 1: this is settled, it comes again when there is more room, or
 * its table has failed; 0: room is not what was missing, or there will not be more. */
int ledger_no_room(struct ledger *l, uint32_t chunk, int code, uint64_t written, struct err *err);
void ledger_give_to_leader(struct ledger *l, uint32_t chunk);
/* What an unfinished chunk left in the spool is forgotten. */
int ledger_trim(struct ledger *l, uint32_t spool, struct err *err);
/* Without files: it is loaded, and by nobody who works for this ledger. */
void ledger_done_elsewhere(struct ledger *l, uint32_t chunk);

/* Space that the guest has freed is given back to the file system. */
void ledger_take_back(struct ledger *l);

/* ---- tables ---- */

bool ledger_can_finish(const struct ledger *l);
/* Some milliseconds of work on files of several chunks (extract/finish.h). */
int ledger_finish_some(struct ledger *l, struct err *err);

/* What is not complete now never will be. */
void ledger_fail_rest(struct ledger *l, const char *why);

void ledger_get_progress(const struct ledger *l, struct progress_state *s); /* of whole chunks */

#endif
