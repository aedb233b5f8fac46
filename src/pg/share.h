/*
 * A copy without files that other hosts may join, as its leader writes it down in three more tables
 * of schema asofs (record.h), so that nobody else need plan:
 *
 *   asofs.share        (view, run, snapshot, system_identifier, database, encoding, timezone): a row
 *                      for each copy under way that can be joined
 *   asofs.share_table  its tables: columns, leaves, filter; where their rows go, and in which form;
 *                      opened_at: since when they may
 *   asofs.share_chunk  its chunks: block ranges, with the numbers that they have in asofs.chunk
 *
 * They are made by the first copy of that kind. What they say is names, numbers and conditions; who
 * joins makes statements of them himself. But it says what he reads, with his rights, and where it
 * goes: so he believes nobody but himself and superusers (pg_share_read).
 *
 * Each function is a transaction of its own.
 */
#ifndef ASOFS_PG_SHARE_H
#define ASOFS_PG_SHARE_H

#include "pg/copysql.h"

struct pg_share_table {
    char *target_schema; /* its name there is that of the source */
    bool *skip;          /* of each column: it is not copied */
    enum pg_format format;
};

struct pg_share_chunk {
    uint32_t table;
    int32_t leaf; /* -1: the table itself */
    struct pg_copy_range range;
    uint64_t weight; /* estimated bytes in the source */
};

struct pg_share {
    int64_t run;
    char *snapshot_id, *system_identifier, *database, *encoding, *timezone;
    struct pg_catalog *catalog;    /* without numbers and sizes */
    struct pg_share_table *tables; /* as the catalog's */
    struct pg_share_chunk *chunks; /* in the order of the tables, of each its own in file order */
    size_t nchunks;
};

/* ---- for the leader, who holds the name (pg_record_prepare) ---- */

/* Everything but what pg_share_open says. -EACCES, -EEXIST: the tables cannot be made or used: the
 * copy goes on alone. */
int pg_share_write(struct pg_conn *conn, const char *name, const struct pg_share *s,
                   struct err *err);
/* The chunks of these n tables may be loaded from now on. */
int pg_share_open(struct pg_conn *conn, const char *name, int64_t run, const uint32_t *tables,
                  size_t n, struct err *err);
/* Nobody is to join any more, and who has joined ends. Also when there is nothing. */
int pg_share_withdraw(struct pg_conn *conn, const char *name, struct err *err);

/* ---- for who joins ---- */

/*
 * -ENOENT: no copy of this name is under way; -EAGAIN: one is, but none that can be joined, at least
 * not yet; -EACCES: somebody else could have written what is there; -EPROTO: it makes no sense.
 */
int pg_share_read(struct pg_conn *conn, const char *name, struct pg_share **s, struct err *err);
void pg_share_free(struct pg_share *s); /* NULL is fine */

struct pg_share_look {
    bool there;                                /* the leader is, and says that it goes on */
    bool loaded;                               /* or all its tables are loaded */
    char since[64];                            /* kept from look to look; "" at first */
    void (*opened)(void *arg, uint32_t table); /* each at every look */
    void (*done)(void *arg, uint32_t chunk);   /* each once, or a few times; whoever did it */
    void *arg;
};

/* How far it is. */
int pg_share_look(struct pg_conn *conn, const char *name, int64_t run, struct pg_share_look *look,
                  struct err *err);

#endif
