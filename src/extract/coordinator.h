/*
 * The coordinator: hands chunks to snapshot workers, hears when flat files are complete, replaces
 * workers that die, and releases the leader as soon as the last chunk is in.
 *
 *   coordinator_new → coordinator_run → coordinator_free
 *
 * coordinator_run belongs to one thread. Others may meanwhile look at the results, and call
 * coordinator_prefer.
 */
#ifndef ASOFS_EXTRACT_COORDINATOR_H
#define ASOFS_EXTRACT_COORDINATOR_H

#include "common/progress.h"
#include "extract/guest.h"
#include "extract/workers.h"
#include "pg/dump.h"
#include "pg/freeze.h"

struct coordinator_config {
    struct pg_conn *leader;  /* frozen; released by the coordinator, closed by the caller */
    struct workers *workers; /* that may have joined; the caller's, outlive the coordinator */
    bool matviews_by_leader; /* protocol lock: only the leader's snapshot is theirs */
    const struct pg_catalog *catalog;
    const struct plan *plan;
    struct results *results; /* what becomes of each table */
    const char *encoding;
    enum pg_format format;
    int out_fd; /* -1, or a directory that gets plain files paths[table] */
    char *const *paths;
    size_t own_files;      /* without out_fd: how many large tables may have a spool file of their
                              own, which readers can then be given whole (fs/passthrough.h) */
    struct pg_dump *dump;  /* running or not; read to its end before the release */
    int stop_fd;           /* readable: stop now (-EINTR) */
    bool partial;          /* a table that fails does not end the rest */
    int64_t frozen_at;     /* clock_ms */
    int64_t hold_limit_ms; /* how long the source may be held; 0: no limit */
    uint64_t spool_limit;  /* bytes; 0: no limit */
    struct progress *progress;
    const struct extract_guest *guest; /* NULL: none; own_files are 0 then */
};

struct coordinator;

struct coordinator *coordinator_new(const struct coordinator_config *config);

/*
 * Until every table is settled (0), or something failed that cannot be mended (negative, err: why;
 * what was not complete has failed for the same reason). All workers are gone then.
 */
int coordinator_run(struct coordinator *c, struct err *err);

void coordinator_free(struct coordinator *c);

/* Somebody waits for this table: its chunks go first. From any thread. */
void coordinator_prefer(struct coordinator *c, uint32_t table);

#endif
