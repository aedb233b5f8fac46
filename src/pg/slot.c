#include "pg/slot.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "pg/internal.h"

#define BRIEF_MS 2000      /* for a look that is nice to have */
#define SLOT_FREE_MS 10000 /* a server needs a moment to see that its receiver is gone */
#define LOOK_AGAIN_MS 200
#define ALIGNMENT 8 /* of records (MAXIMUM_ALIGNOF), and so of every place that a receiver reports */

struct pg_slot_making {
    struct pg_conn *conn;
    char *name;
    char model[40]; /* a temporary slot, gone with the connection */
};

/* ---- looking ---- */

enum { ACTIVE, STATUS, FROM, RETAINED, TYPE };

static const char slot_sql[] =
    "SELECT active, wal_status, restart_lsn, pg_catalog.pg_wal_lsn_diff("
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    " ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn)::bigint, slot_type"
    " FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";

static int read_slot(struct pg_conn *c, const char *name, struct pg_slot *slot, struct err *err)
{
    static const struct pg_wanted wanted = {"bTLIt", 0, 1};
    struct pg_answer *r = NULL;
    int rc = pg_ask(c, slot_sql, 1, &name, &wanted, &r, err);

    *slot = (struct pg_slot){0};
    if (rc < 0)
        return rc;
    if (pg_rows(r) == 0)
        rc = err_set(err, ENOENT, "the server has no replication slot \"%s\"", name);
    else if (strcmp(pg_text(r, 0, TYPE), "physical") != 0)
        rc = err_set(err, EINVAL, "the replication slot \"%s\" is not a physical one", name);
    else
        *slot = (struct pg_slot){.active = pg_true(r, 0, ACTIVE),
                                 .lost = strcmp(pg_text(r, 0, STATUS), "lost") == 0,
                                 .from = pg_lsn(r, 0, FROM),
                                 .retained = pg_integer(r, 0, RETAINED)};
    pg_answer_free(r);
    return rc;
}

static int open_for(const struct pg_slot_name *n, int64_t timeout_ms, struct pg_conn **c,
                    struct err *err)
{
    int rc = pg_open_base(n->conninfo, -1, timeout_ms, c, err);

    if (rc < 0)
        return rc;
    rc = pg_check_identifier(*c, n->system_identifier, err);
    if (rc < 0)
        pg_conn_close(*c);
    return rc;
}

int pg_slot_look(const struct pg_slot_name *n, bool brief, struct pg_slot *slot, struct err *err)
{
    struct pg_conn *c;
    int rc = open_for(n, brief ? BRIEF_MS : 0, &c, err);

    if (rc < 0)
        return rc;
    rc = read_slot(c, n->name, slot, err);
    pg_conn_close(c);
    return rc;
}

int pg_slot_fail_lost(const char *name, struct err *err)
{
    return err_set(err, ESTALE,
                   "the replication slot \"%s\" is lost: the server kept no more log than its "
                   "max_slot_wal_keep_size",
                   name);
}

int64_t pg_slot_retained(const char *conninfo, const char *name, bool *active, struct err *err)
{
    struct pg_slot_name n = {.conninfo = conninfo, .name = name};
    struct pg_slot slot = {0};
    int rc = pg_slot_look(&n, true, &slot, err);

    if (rc == 0 && slot.lost)
        rc = pg_slot_fail_lost(name, err);
    if (active)
        *active = rc == 0 && slot.active;
    return rc < 0 ? rc : slot.retained < 0 ? 0 : slot.retained;
}

/* ---- making ---- */

/* A place beyond the beginning of a record, but before its end: the shortest has 24 bytes. */
static uint64_t choose_mark(uint64_t from)
{
    unsigned char random = 0;

    if (getrandom(&random, 1, 0) != 1)
        random = 1;
    return from - from % ALIGNMENT + 1 + random % (ALIGNMENT - 1);
}

static void name_model(struct pg_slot_making *m)
{
    unsigned random[2] = {0};

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        random[0] = (unsigned)clock_ms();
    snprintf(m->model, sizeof(m->model), "asofs_making_%08x%08x", random[0], random[1]);
}

/* A slot begins where the last checkpoint's replay would; the log after that has been written. */
static int make_model(struct pg_slot_making *m, uint64_t *mark, struct err *err)
{
    static const char make[] =
        "SELECT lsn FROM pg_catalog.pg_create_physical_replication_slot($1, true, true)";
    static const char move[] =
        "SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance($1, $2::pg_lsn)";
    static const struct pg_wanted wanted = {"l", 1, 1};
    struct pg_answer *r = NULL;
    char text[LSN_TEXT_MAX];
    const char *values[] = {m->model, text};
    uint64_t moved = 0;
    int rc;

    name_model(m);
    rc = pg_ask(m->conn, make, 1, values, &wanted, &r, err);
    if (rc < 0)
        return rc;
    *mark = choose_mark(pg_lsn(r, 0, 0));
    pg_answer_free(r);
    lsn_text(*mark, text);
    rc = pg_ask(m->conn, move, 2, values, &wanted, &r, err);
    if (rc == 0)
        moved = pg_lsn(r, 0, 0);
    pg_answer_free(r);
    if (rc == 0 && moved != *mark)
        rc = err_set(err, EIO, "the server has no log at %s yet", text);
    return rc;
}

static int check_free(struct pg_conn *c, const char *name, struct err *err)
{
    struct pg_slot slot;
    int rc = read_slot(c, name, &slot, err);

    if (rc == 0 || rc == -EINVAL)
        return err_set(err, EEXIST,
                       "the server has a replication slot \"%s\" already: name another with "
                       "--slot, or drop it if nobody uses it",
                       name);
    return rc == -ENOENT ? 0 : rc;
}

static int fail_to_make(const char *name, struct err *err)
{
    err_prefix(err, "cannot make the replication slot \"%s\"", name);
    return err_hint(err, "two free ones are needed for a moment (max_replication_slots)");
}

int pg_slot_begin(const struct pg_slot_name *n, struct pg_slot_making **m, uint64_t *mark,
                  struct err *err)
{
    struct pg_slot_making *new = mem_alloc(sizeof(*new));
    int rc = open_for(n, 0, &new->conn, err);

    *m = NULL;
    *mark = 0;
    if (rc < 0) {
        free(new);
        return rc;
    }
    new->name = mem_strdup(n->name);
    rc = check_free(new->conn, n->name, err);
    if (rc == 0 && make_model(new, mark, err) < 0)
        rc = fail_to_make(n->name, err);
    if (rc < 0)
        pg_slot_end(new);
    else
        *m = new;
    return rc;
}

/* A copy begins where its model does: name and beginning are there at once. */
int pg_slot_finish(struct pg_slot_making *m, struct err *err)
{
    static const char copy[] =
        "SELECT lsn FROM pg_catalog.pg_copy_physical_replication_slot($1, $2, false)";
    static const struct pg_wanted wanted = {"L", 1, 1};
    const char *values[] = {m->model, m->name};
    struct pg_answer *r = NULL;
    int rc = pg_ask(m->conn, copy, 2, values, &wanted, &r, err);

    pg_answer_free(r);
    return rc < 0 ? fail_to_make(m->name, err) : 0;
}

void pg_slot_end(struct pg_slot_making *m)
{
    if (!m)
        return;
    pg_conn_close(m->conn);
    free(m->name);
    free(m);
}

/* ---- dropping ---- */

static int check_mark(const struct pg_slot *slot, const char *name, uint64_t mark, struct err *err)
{
    if (!mark || slot->from == mark)
        return 0;
    return err_set(err, EEXIST, "the replication slot \"%s\" is somebody else's", name);
}

/* 0, -EBUSY while somebody receives from it */
static int try_drop(struct pg_conn *c, const char *name, uint64_t mark, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 0, 1};
    struct pg_answer *r = NULL;
    struct pg_slot slot;
    int rc = read_slot(c, name, &slot, err);

    if (rc == -EINVAL && mark)
        return err_set(err, EEXIST, "the replication slot \"%s\" is somebody else's", name);
    if (rc == 0)
        rc = check_mark(&slot, name, mark, err);
    if (rc < 0)
        return rc;
    if (slot.active)
        return err_set(err, EBUSY,
                       "the replication slot \"%s\" is in use: stop what receives from it first",
                       name);
    rc = pg_ask(c, "SELECT pg_catalog.pg_drop_replication_slot($1)", 1, &name, &wanted, &r, err);
    pg_answer_free(r);
    return rc;
}

int pg_slot_drop(const struct pg_slot_name *n, uint64_t mark, struct err *err)
{
    int64_t deadline = clock_ms() + SLOT_FREE_MS;
    struct pg_conn *c;
    int rc = open_for(n, 0, &c, err);

    if (rc < 0)
        return rc;
    while ((rc = try_drop(c, n->name, mark, err)) == -EBUSY && clock_ms() < deadline)
        poll(NULL, 0, LOOK_AGAIN_MS);
    pg_conn_close(c);
    return rc;
}
