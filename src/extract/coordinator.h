/*
 * The coordinator: hands chunks to snapshot workers, hears when flat files are complete, replaces workers that
 * die, and releases the leader as soon as the last chunk is in.
 *
 *   coordinator_new → coordinator_run → (results and spools are read) → coordinator_free
 *
 * coordinator_run belongs to one thread.
 */
#ifndef ASOFS_EXTRACT_COORDINATOR_H
#define ASOFS_EXTRACT_COORDINATOR_H

#include "common/progress.h"
#include "extract/result.h"
#include "extract/spool.h"
#include "pg/dump.h"
#include "pg/freeze.h"

struct coordinator_config {
    struct pg_conn *leader;           /* frozen; released by the coordinator, closed by the caller */
    const struct pg_catalog *catalog;
    const struct plan *plan;
    const struct pg_target *target;   /* pinned to the leader's server */
    const char *snapshot_id;
    const char *timezone;
    const char *encoding;
    enum pg_format format;
    unsigned jobs;                    /* workers asked for, at least 1 */
    int64_t worker_timeout_ms;        /* silence after which a worker is replaced */
    const char *spool_dir;
    int out_fd;                       /* -1, or a directory that gets plain files paths[table] */
    char *const *paths;
    struct pg_dump *dump;             /* running or not; read to its end before the release */
    char *schema_error;               /* why it could not be started, or NULL; becomes the coordinator's */
    int stop_fd;                      /* readable: stop now (-EINTR) */
    struct progress *progress;
};

struct coordinator;

struct coordinator *coordinator_new(const struct coordinator_config *config);

/*
 * Until every table is complete (0), or something failed that cannot be mended (negative, err: why); then
 * all workers are gone, and the leader's transaction is open unless everything had been extracted.
 */
int coordinator_run(struct coordinator *c, struct err *err);

/* Kills what still runs, frees results and spools. */
void coordinator_free(struct coordinator *c);

struct results *coordinator_results(struct coordinator *c);

/* The spool file that extents call `number`; valid until coordinator_free. */
int coordinator_spool_fd(const struct coordinator *c, uint32_t number);

unsigned coordinator_joined(const struct coordinator *c); /* workers that took part */

/* "" or why .asofs/schema.sql could not be made. */
const char *coordinator_schema_error(const struct coordinator *c);

#endif
