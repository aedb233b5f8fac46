/* What a data directory says of its state: pg_control (by pg_controldata) and backup_label. */
#ifndef ASOFS_PG_CONTROL_H
#define ASOFS_PG_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/programs.h"

enum pg_state {
    PG_STATE_SHUT_DOWN,             /* "shut down" */
    PG_STATE_SHUT_DOWN_IN_RECOVERY, /* a stopped standby */
    PG_STATE_IN_ARCHIVE_RECOVERY,
    PG_STATE_IN_PRODUCTION, /* also of a backup, and of a server that was killed */
    PG_STATE_OTHER,         /* starting up, shutting down, in crash recovery, shut down … */
};

/* Which transactions there were. */
struct pg_limits {
    uint64_t next_xid;   /* with its epoch in the upper half */
    uint32_t oldest_xid; /* that pg_xact has for certain */
    uint32_t next_multi, oldest_multi;
    uint32_t next_multi_offset; /* 32 bits in majors 14 to 18 */
};

struct pg_control {
    uint64_t system_identifier;
    enum pg_state state;
    char state_text[40];       /* as pg_controldata says it */
    uint64_t checkpoint, redo; /* LSN */
    uint32_t timeline;         /* of the checkpoint */
    int64_t checkpoint_time;   /* seconds since 1970 */
    uint64_t min_recovery;     /* LSN; 0: none */
    uint32_t min_recovery_timeline;
    uint64_t backup_start; /* LSN; 0: none */
    bool backup_end_required;
    bool full_page_writes;  /* as of the checkpoint */
    unsigned max_prepared;  /* max_prepared_xacts */
    uint32_t segment_bytes; /* of the log */
    uint32_t block_bytes;
    uint32_t max_align;      /* MAXALIGN: "Maximum data alignment" */
    uint32_t checksums;      /* version of those of pages; 0: pages have none */
    struct pg_limits limits; /* as of the checkpoint */
};

int pg_control_read(const struct pg_programs *p, const char *data_dir, struct pg_control *c,
                    struct err *err);

struct pg_backup_label {
    uint64_t start;      /* START WAL LOCATION */
    uint64_t checkpoint; /* CHECKPOINT LOCATION */
    uint32_t timeline;
    int64_t start_time; /* seconds since 1970 */
};

/* 1: read; 0: the directory has none; negative: it is there and cannot be understood. */
int pg_backup_label_read(const char *data_dir, struct pg_backup_label *l, struct err *err);

struct pg_backup_stop {
    uint64_t lsn; /* STOP WAL LOCATION */
    int64_t time; /* STOP TIME, seconds since 1970, rounded down; 0: its zone is not certain */
};

/*
 * Where the backup with that label ended, from the backup history file that the server leaves in
 * its pg_wal and archives (<segment>.<offset>.backup). 1: read; 0: it is not in `wal_dir`, or is
 * another one's.
 */
int pg_backup_stop_read(const char *wal_dir, const struct pg_backup_label *l,
                        uint32_t segment_bytes, struct pg_backup_stop *stop);

#endif
