/*
 * A guest of the coordinator: somebody with children and sockets of his own, who takes part in its
 * turns and is told of each chunk whose bytes are in their place, before the whole file is there.
 * Chunks in a spool file stay there until he frees them, one by one; a full spool holds the
 * snapshot workers back until then.
 * (load/ is one: its delete and loader workers run while the extraction goes on. Who knows both
 * rooms makes one known to the other.)
 *
 * All functions are called by the thread that extracts. What returns int ends the extraction when
 * it is negative.
 */
#ifndef ASOFS_EXTRACT_GUEST_H
#define ASOFS_EXTRACT_GUEST_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "pg/copysql.h"

/*
 * No files: the snapshot workers write into tables of a second database, over a connection of their
 * own. Each chunk is a transaction there, which also writes down that it is done (pg/record.h), so
 * that one which is handed out once more is not loaded twice. A table's chunks are handed out only
 * when it is open (below).
 *
 * What only the leader can read comes to the guest by the spool all the same (`chunk` below).
 *
 * Or the chunks become large objects there (pg/objects.h), one each, of the bytes that they have in
 * a flat file.
 */
struct extract_direct_table {
    const char *schema;    /* objects: of the table in the source */
    const char *name;      /* without schema, as the server calls it when it refuses a row */
    const char *copy_sql;  /* COPY … FROM STDIN; objects: "" */
    enum pg_format format; /* without a header, on both sides; objects: of the file */
    const bool *skip;      /* of each column of the source: it is not extracted; NULL: all are */
    uint32_t first_chunk;  /* the number of its first chunk there */
};

struct extract_direct {
    const struct pg_target *target;
    const char *name; /* of the copy; its run */
    int64_t run, lock_timeout_ms;
    bool objects;
    const char *lc_monetary;                   /* of the sessions there; NULL: as it is */
    const struct extract_direct_table *tables; /* as in the catalog */
    int (*loaded)(void *arg, size_t table, uint32_t chunk, uint64_t rows, uint64_t bytes,
                  struct err *err);
    void *arg;
};

struct extract_place {
    int fd;
    uint64_t offset, len; /* bytes */
    uint64_t rows;
    uint64_t checksum; /* XXH3 of the chunk; 0: not known */
};

struct extract_guest {
    size_t (*npolls)(void *arg); /* always the same */
    void (*set_polls)(void *arg, struct pollfd *polls);
    int (*hear)(void *arg, const struct pollfd *polls, struct err *err);
    int (*work)(void *arg, int64_t now,
                struct err *err); /* whenever there may be something to do */

    /* Chunk number `chunk` of the table, in the order of its file. Its fd: a spool file, in which it
     * stays until it is freed; or -1: it is in the file written into the directory, which is
     * complete, from this offset on. */
    void (*chunk)(void *arg, size_t table, uint32_t chunk, const struct extract_place *place);

    /* One that he does not need any more, each once. false: there is none now. NULL: none ever comes
     * through the spool. */
    bool (*freed)(void *arg, size_t *table, uint32_t *chunk);
    /* Of those he was told of he will free one, although no other comes. */
    bool (*will_free)(void *arg);
    /* Chunks of this table can be freed as they come: they wait for nothing. Once so, it stays so. */
    bool (*is_open)(void *arg, size_t table);

    void *arg;
    bool wants_schema;    /* it looks at schema.sql */
    bool wants_checksums; /* of the files, in .asofs/tables.csv */

    const struct extract_direct *direct; /* borrowed; NULL: there are files */
};

#endif
