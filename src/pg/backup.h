/*
 * Taking a base from a running server and keeping its log coming: pg_basebackup, pg_receivewal of a
 * replication slot (slot.h). The user needs REPLICATION, for plain connections and for those of
 * replication.
 *
 * Connections are made here and by the programs, each with what libpq finds for the connection
 * string here (service and password files too): a program gets it spelled out, the password in its
 * environment.
 */
#ifndef ASOFS_PG_BACKUP_H
#define ASOFS_PG_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/programs.h"

struct pg_source {
    int version_num;
    uint64_t system_identifier;
    uint32_t timeline;
    int64_t max_slot_keep_mb; /* max_slot_wal_keep_size; -1: no bound */
    uint32_t segment_bytes;
    int64_t now; /* seconds since 1970, by the server's clock */
};

/* What base create must know of a server; refuses what cannot be backed up (version below 14, no
 * REPLICATION, wal_level minimal), in words. */
int pg_source_look(const char *conninfo, int stop_fd, struct pg_source *s, struct err *err);

/* A connection that asks a server now and then where its log ends. */
struct pg_watch;

struct pg_wal_end {
    int64_t now_us; /* the server's clock, microseconds since 1970; what others can see of its
                       transactions by then, is logged in front of */
    uint64_t lsn;
    uint32_t timeline;
};

int pg_watch_open(const char *conninfo, int stop_fd, struct pg_watch **w, struct err *err);
void pg_watch_close(struct pg_watch *w); /* NULL is fine */
/* -ENOTSUP: it is a standby, which does not know what its primary has; -EINVAL: another cluster. */
int pg_watch_look(struct pg_watch *w, uint64_t system_identifier, struct pg_wal_end *end,
                  struct err *err);

/*
 * pg_basebackup into the new directory `dir`, without log (-X none), with progress on a terminal
 * unless quiet. Tablespaces get directories in <dir>/../tablespaces. *end: where the backup ends,
 * the log up to which it needs.
 */
int pg_base_backup(const struct pg_programs *p, const char *conninfo, const char *dir, bool quiet,
                   int stop_fd, uint64_t *end, struct err *err);

/* End of the backup that a directory with a backup_label is, from its backup_manifest. start: START
 * WAL LOCATION of the label. 1; 0: not known, or that of another backup. */
int pg_backup_end(const char *data_dir, uint64_t start, uint64_t *end);

/* All strings are borrowed for the call. */
struct pg_receive {
    const char *conninfo, *slot;
    uint64_t system_identifier; /* another cluster's log is refused: -EINVAL */
    const char *wal_dir;        /* nobody else receives into it */
    uint32_t segment_bytes;
    uint64_t until; /* LSN; 0: until it is stopped */
    int stop_fd;
    void (*receiving)(void *arg); /* the server sends it to us; NULL: nobody wants to know */
    void *arg;
};

/* pg_receivewal; it ends with asofs. */
int pg_receive_wal(const struct pg_programs *p, const struct pg_receive *what, struct err *err);

#endif
