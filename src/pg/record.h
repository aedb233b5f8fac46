/*
 * What a second database says of the copies made into it: schema "asofs", which is made when it is
 * missing, and known to be ours by its comment, "asofs: format 1".
 *
 *   asofs.view     a row for each name: which copy is current, of which moment. It is a view of
 *   asofs.label    the same as it was written, with "marker": of a copy that has unlogged tables, the
 *                  file (pg_relation_filenode) that asofs.marker had; and of
 *   asofs.marker   unlogged, with one row. When that is lost, so are the rows of all unlogged tables,
 *                  and asofs.view says "lost" in place of "current"
 *   asofs."table"  the copy-table list of the last copy of each name, with its times; unlogged: a copy
 *                  of this name has made the table so
 *   asofs.chunk    what the copy under way has done: parts of flat files that were loaded, from 0 on;
 *                  below 0 all other work, cleared tables and indexes, say. So nothing is done twice,
 *                  whatever becomes of an answer
 */
#ifndef ASOFS_PG_RECORD_H
#define ASOFS_PG_RECORD_H

#include <stddef.h>

#include "pg/conn.h"

struct pg_record_table {
    const char *schema, *name; /* in the source */
    const char *target_schema; /* of the snapshot table; its name is the same */
    const char *filter;        /* or NULL */
    uint32_t parts;
};

/*
 * The schema is there and ours; and the name is, for as long as conn is open. -EBUSY: another copy
 * of this name is under way (who, since when). -EEXIST: a schema asofs that is not ours, or of
 * another version, or without its tables, or with what would run as us. -EACCES: what has to be granted.
 */
int pg_record_prepare(struct pg_conn *conn, const char *name, struct err *err);

/* The name is still ours: asked in the transaction that makes a copy current. -ESTALE: it is not,
 * for what is behind conn is another session now. */
int pg_record_check_name(struct pg_conn *conn, const char *name, struct err *err);

/*
 * A new run: the list is written down, and a chunk for each part, numbered through the list, and for
 * `others` pieces of work, numbered from -1 down. From then on nothing of an earlier run of this name
 * is committed any more by who says so below. *unlisted: tables that an earlier copy of this name
 * filled and that are not listed now, as a text for people, or NULL; the caller's to free. -EBUSY: a
 * worker of an earlier run does not end, or another copy that is under way fills one of the tables.
 */
int pg_record_list(struct pg_conn *conn, const char *name, const struct pg_record_table *tables,
                   size_t n, uint64_t others, int64_t *run, char **unlisted, struct err *err);

/* The chunks of this run are not needed any more. */
int pg_record_forget_chunks(struct pg_conn *conn, const char *name, int64_t run, struct err *err);

/* ---- within a transaction of pg_write_begin (copyin.h) ---- */

/* 0: the chunk is ours until the transaction ends; 1: it is loaded already, with *rows; -EBUSY:
 * another session is at it; -ESTALE: there is no such chunk (any more). */
int pg_record_claim(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk,
                    uint64_t *rows, struct err *err);
int pg_record_chunk_done(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk,
                         uint64_t rows, struct err *err);

/* Behind the statements that clear it. -ESTALE: the run is over, and nothing may be committed. */
int pg_record_cleared(struct pg_conn *conn, const char *name, int64_t run,
                      const char *target_schema, const char *table, struct err *err);

/* ---- a transaction of its own ---- */

/* checksum: XXH3 in hexadecimal, or NULL. Once more, when more is known. -ESTALE: the run is over. */
int pg_record_loaded(struct pg_conn *conn, const char *name, int64_t run, const char *target_schema,
                     const char *table, uint64_t rows, const char *checksum, struct err *err);

/* ---- for who looks, with no more rights than everybody has ---- */

struct pg_record_view { /* a row of asofs.view; texts are "" where nothing is known */
    char *name, *state, *moment, *lsn, *source, *published_at;
    uint64_t tables, rows;
};

/* A row of asofs."table" of the last run of its copy; schema is the target's. */
struct pg_record_entry {
    char *view, *schema, *name, *filter, *cleared_at, *loaded_at, *checksum;
    uint64_t rows;
};

struct pg_record {
    struct pg_record_view *views;
    size_t nviews;
    struct pg_record_entry *entries;
    size_t nentries;
};

/* name: NULL for all. -ENOENT: no copy (of this name) was ever begun here. */
int pg_record_read(struct pg_conn *conn, const char *name, struct pg_record **r, struct err *err);
void pg_record_free(struct pg_record *r); /* NULL is fine */

/*
 * Until the copy is current, and of a later moment than that (NULL: of whichever). It listens, and
 * looks again now and then; on a standby it only looks. A database into which nothing was copied
 * yet is waited for, too. -EINVAL: newer_than is no time; -EINTR: the stop descriptor of conn.
 */
int pg_record_wait(struct pg_conn *conn, const char *name, const char *newer_than, struct err *err);

#endif
