#include "base/create.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "common/stop.h"
#include "pg/backup.h"
#include "pg/conn.h"
#include "pg/control.h"
#include "pg/reach.h"
#include "pg/slot.h"
#include "replay/livefreeze.h"
#include "store/wal.h"
#include "base/witness.h"
#include "base/writer.h"

#define LOOK_AGAIN_MS 200

struct creation {
    const struct base_create_request *req;
    struct base_create_result *result;
    struct writer writer;
    int lock_fd; /* store_lock_cluster; -1 */
    char *kept;  /* the connection string without secrets */
    char *slot;
    struct store_cluster before; /* of the store; without an identifier: nothing was known */
    struct pg_programs programs;
    struct pg_source source;
    uint64_t from; /* where the slot keeps the log from */
    uint64_t mark; /* of a slot that was to be made, and of which more is not known; 0 */
    bool made_slot, made_wal, slot_active;
    char *seeded; /* what seed_wal made, or NULL */
    struct store_base_facts facts;
};

/* ---- what is refused, and which slot it is ---- */

static int check_slot_bound(const struct creation *c, struct err *err)
{
    if (c->source.max_slot_keep_mb >= 0 || c->req->unbounded_slot)
        return 0;
    return err_set(err, EINVAL,
                   "the server keeps log for a replication slot without bound: if nobody receives "
                   "it, its disk fills up\nset a bound that fits on the disk, as a superuser: "
                   "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();\n"
                   "or say --unbounded-slot if the disk is watched");
}

static struct store_cluster cluster_of(const struct creation *c)
{
    return (struct store_cluster){.system_identifier = c->source.system_identifier,
                                  .major = (uint32_t)c->source.version_num / 10000,
                                  .segment_bytes = c->source.segment_bytes,
                                  .conninfo = c->kept,
                                  .slot = c->slot,
                                  .slot_mark = c->mark};
}

static struct pg_slot_name slot_of(const struct creation *c)
{
    return (struct pg_slot_name){.conninfo = c->req->conninfo,
                                 .name = c->slot,
                                 .system_identifier = c->source.system_identifier};
}

/* One that was to be made may have been, or not. */
static bool has_slot(const struct store_cluster *known)
{
    return known && known->slot && !known->slot_mark;
}

/* Somebody was ended while he made the slot: is it there? */
static int settle_slot(struct creation *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(c->writer.store);
    struct pg_slot_name n = slot_of(c);
    struct store_cluster settled;
    struct pg_slot slot;
    int rc;

    if (!known || !known->slot_mark)
        return 0;
    n.name = known->slot;
    rc = pg_slot_look(&n, false, &slot, err);
    if (rc == -ENOENT || rc == -EINVAL)
        return 0;
    if (rc < 0 || slot.from != known->slot_mark)
        return rc;
    settled = *known;
    settled.slot_mark = 0;
    return store_set_cluster(c->writer.store, &settled, err);
}

/* A store that is of this cluster already, and has its slot. */
static int check_store(const struct creation *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(c->writer.store);
    struct store_cluster now = cluster_of(c);
    int rc = store_check_cluster(c->writer.store, &now, err);

    if (rc < 0)
        return rc;
    if (known && (known->log || known->restore_command))
        return err_set(err, EINVAL,
                       "the store %s takes its log from %s: make another store for what is "
                       "received from a server",
                       c->writer.path, known->log ? known->log : "restore_command");
    return 0;
}

static int choose_slot(struct creation *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(c->writer.store);

    if (has_slot(known) && c->req->slot && strcmp(known->slot, c->req->slot) != 0)
        return err_set(err, EINVAL, "the store %s has the replication slot \"%s\" already",
                       c->writer.path, known->slot);
    c->slot = mem_strdup(has_slot(known)        ? known->slot
                         : c->req->slot         ? c->req->slot
                         : known && known->slot ? known->slot
                                                : BASE_SLOT);
    return 0;
}

/* ---- the slot and the log ---- */

/* What the store knows of the slot: with a mark, before it is made; without, when it is there. */
static int note_slot(struct creation *c, uint64_t mark, struct err *err)
{
    struct store_cluster cluster;

    c->mark = mark;
    cluster = cluster_of(c);
    return store_set_cluster(c->writer.store, &cluster, err);
}

/* Whatever ends us in between: the store knows the slot before the server has it. */
static int make_slot(struct creation *c, struct err *err)
{
    struct pg_slot_name n = slot_of(c);
    struct pg_slot_making *m;
    int rc = pg_slot_begin(&n, &m, &c->from, err);

    if (rc < 0)
        return rc;
    rc = note_slot(c, c->from, err);
    c->made_slot = rc == 0;
    if (rc == 0)
        rc = pg_slot_finish(m, err);
    pg_slot_end(m);
    return rc == 0 ? note_slot(c, 0, err) : rc;
}

/* The store's own slot serves on while the server keeps its log; else it is made anew. */
static int take_slot(struct creation *c, struct err *err)
{
    struct pg_slot_name n = slot_of(c);
    struct pg_slot slot = {0};
    int rc = -ENOENT;

    if (has_slot(store_cluster(c->writer.store)))
        rc = pg_slot_look(&n, false, &slot, err);
    if (rc == 0 && !slot.lost) {
        c->from = slot.from;
        c->slot_active = slot.active;
        return 0;
    }
    if (rc == 0)
        rc = pg_slot_drop(&n, 0, err);
    return rc == 0 || rc == -ENOENT ? make_slot(c, err) : rc;
}

static int make_log_directory(struct creation *c, struct err *err)
{
    const char *dir = store_wal_directory(c->writer.store);

    c->made_wal = mkdir(dir, 0700) == 0;
    return c->made_wal || errno == EEXIST ? 0 : err_errno(err, "cannot make %s", dir);
}

/*
 * pg_receivewal goes on after the last segment that is there. Where a new slot begins later, and
 * with servers (before 15) of which it cannot learn where a slot begins, an empty segment shows it.
 */
static int seed_wal(struct creation *c, struct err *err)
{
    const char *dir = store_wal_directory(c->writer.store);
    uint32_t bytes = c->source.segment_bytes;
    struct wal_list l;
    char name[25];
    int fd, rc = wal_read(dir, bytes, &l, err);
    bool needed = rc == 0 && c->from && !c->slot_active && (l.n || c->source.version_num < 150000);
    uint64_t number = c->from / bytes;

    if (needed && l.n && l.segments[l.n - 1].number >= number)
        needed = false;
    wal_free(&l);
    if (rc < 0 || !needed)
        return rc;
    wal_segment_name(c->source.timeline, number, bytes, name);
    c->seeded = mem_printf("%s/%s.partial", dir, name);
    fd = open(c->seeded, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "cannot make %s", c->seeded);
    close(fd);
    return 0;
}

/* Somebody (asofs base follow) receives already: until he has what is needed. The backup's end
 * ended its segment too, so it becomes whole. */
static int wait_for_wal(struct creation *c, struct err *err)
{
    const char *dir = store_wal_directory(c->writer.store);
    uint64_t last = (c->facts.consistent_lsn - 1) / c->source.segment_bytes;
    char name[25], *path;
    int rc = 0;

    wal_segment_name(c->facts.timeline, last, c->source.segment_bytes, name);
    path = mem_printf("%s/%s", dir, name);
    c->req->waiting(c->req->arg, name);
    while (rc == 0 && access(path, F_OK) < 0)
        if (stop_within(c->req->stop_fd, LOOK_AGAIN_MS))
            rc = err_set(err, EINTR, "interrupted");
    free(path);
    return rc;
}

/* Somebody may have begun to receive, or ceased, since. */
static int receive_to_end(struct creation *c, struct err *err)
{
    struct pg_slot_name n = slot_of(c);
    struct pg_receive what;
    struct pg_slot slot;
    int rc = pg_slot_look(&n, false, &slot, err);

    if (rc < 0)
        return rc;
    if (slot.active)
        return wait_for_wal(c, err);
    what = (struct pg_receive){.conninfo = c->req->conninfo,
                               .slot = c->slot,
                               .system_identifier = c->source.system_identifier,
                               .wal_dir = store_wal_directory(c->writer.store),
                               .segment_bytes = c->source.segment_bytes,
                               .until = c->facts.consistent_lsn,
                               .stop_fd = c->req->stop_fd};
    return pg_receive_wal(&c->programs, &what, err);
}

/* ---- the backup ---- */

/* What the backup says of itself; and it must be of the server that was looked at. */
static int read_backup(struct creation *c, const char *data, struct err *err)
{
    struct pg_backup_label label;
    struct pg_control control;
    int rc = pg_control_read(&c->programs, data, &control, err);

    if (rc == 0 && control.system_identifier != c->source.system_identifier)
        rc = err_set(err, EINVAL,
                     "the backup is of another cluster (%" PRIu64 ") than the server "
                     "that was asked first (%" PRIu64 ")",
                     control.system_identifier, c->source.system_identifier);
    if (rc == 0)
        rc = pg_backup_label_read(data, &label, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, EIO, "the backup in %s has no backup_label", data);
    c->facts.start_lsn = label.start;
    c->facts.timeline = label.timeline;
    c->facts.start_time = label.start_time;
    return 0;
}

static int back_up(struct creation *c, const char *data, struct err *err)
{
    struct pg_source after;
    int rc = pg_base_backup(&c->programs, c->req->conninfo, data, c->req->quiet, c->req->stop_fd,
                            &c->facts.consistent_lsn, err);

    if (rc == 0)
        rc = read_backup(c, data, err);
    if (rc == 0)
        rc = pg_source_look(c->req->conninfo, c->req->stop_fd, &after, err);
    if (rc < 0)
        return rc;
    c->facts.consistent_time = after.now + 1; /* the backup may have commits of that second */
    return receive_to_end(c, err);
}

static int make_base(struct creation *c, struct err *err)
{
    struct store_making *m;
    char *data;
    int rc = store_begin_base(c->writer.store, &m, err);

    if (rc < 0)
        return rc;
    data = mem_printf("%s/data", store_making_path(m));
    rc = back_up(c, data, err);
    free(data);
    if (rc == 0)
        return store_finish_base(m, &c->facts, &c->result->id, err);
    store_abandon_base(m);
    return rc;
}

/* From now on follow knows where from. */
static int remember_source(struct creation *c, struct err *err)
{
    struct store_cluster cluster = cluster_of(c);
    int rc = store_set_cluster(c->writer.store, &cluster, err);

    if (rc < 0)
        store_drop_base(c->writer.store, c->result->id, NULL);
    return rc;
}

/* So that the base can be mounted as of its own end, however long nothing is committed. */
static void note_end(const struct creation *c)
{
    witness_second(store_path(c->writer.store), c->req->conninfo, c->source.system_identifier,
                   c->facts.consistent_time, c->req->stop_fd);
}

/* ---- all of it ---- */

/* The store knows of the slot what it knew before. Where the slot may be left, it goes on to know
 * it, and is not removed: so it can be dropped later. */
static void undo_slot(struct creation *c)
{
    struct pg_slot_name n = slot_of(c);
    struct err err;
    int rc = pg_slot_drop(&n, c->mark, &err);

    if (rc == 0 || rc == -ENOENT || rc == -EEXIST)
        rc = store_set_cluster(c->writer.store, c->before.system_identifier ? &c->before : NULL,
                               &err);
    if (rc == 0)
        return;
    c->writer.fresh = c->writer.made_directory = false;
    c->result->slot_left = mem_strdup(c->slot);
    c->result->slot_left_why = mem_strdup(err.text);
}

static void undo_creation(struct creation *c)
{
    struct stat st;

    if (c->made_slot)
        undo_slot(c);
    if (c->seeded && stat(c->seeded, &st) == 0 && st.st_size == 0)
        unlink(c->seeded);
    if (c->made_wal)
        io_remove_tree(store_wal_directory(c->writer.store));
}

/* For undo_slot: a copy, as the store forgets what it gave. */
static void remember_before(struct creation *c)
{
    const struct store_cluster *known = store_cluster(c->writer.store);

    if (!known)
        return;
    c->before = *known;
    c->before.conninfo = mem_strdup(known->conninfo);
    c->before.slot = mem_strdup(known->slot);
    c->before.log = mem_strdup(known->log);
    c->before.restore_command = mem_strdup(known->restore_command);
}

static void forget_before(struct creation *c)
{
    free(c->before.conninfo);
    free(c->before.slot);
    free(c->before.log);
    free(c->before.restore_command);
}

static int prepare_creation(struct creation *c, struct err *err)
{
    int rc = writer_open_or_make(&c->writer, err);

    if (rc == 0)
        rc = store_lock_cluster(c->writer.store, &c->lock_fd, err);
    if (rc == 0) /* as who will follow */
        rc = pg_target_keep(c->req->conninfo, &c->kept, &c->result->left_out, err);
    if (rc == 0)
        rc = pg_source_look(c->req->conninfo, c->req->stop_fd, &c->source, err);
    if (rc == 0)
        rc = check_slot_bound(c, err);
    if (rc == 0)
        rc = check_store(c, err);
    if (rc == 0)
        rc = settle_slot(c, err);
    if (rc == 0)
        rc = choose_slot(c, err);
    if (rc == 0)
        rc = pg_programs_find(c->source.version_num / 10000, c->req->bindir, &c->writer.who,
                              &c->programs, err);
    return rc;
}

static int create_base(struct creation *c, struct err *err)
{
    int rc = prepare_creation(c, err);

    if (rc < 0)
        return rc;
    remember_before(c);
    rc = take_slot(c, err);
    if (rc == 0)
        rc = make_log_directory(c, err);
    if (rc == 0)
        rc = seed_wal(c, err);
    if (rc == 0)
        rc = make_base(c, err);
    if (rc == 0)
        rc = remember_source(c, err);
    if (rc == 0)
        note_end(c);
    if (rc < 0)
        undo_creation(c);
    return rc;
}

int base_create(const struct base_create_request *req, struct base_create_result *r,
                struct err *err)
{
    struct creation c = {.req = req,
                         .result = r,
                         .lock_fd = -1,
                         .writer = {.path = req->store, .run_as = req->run_as}};
    int rc;

    *r = (struct base_create_result){0};
    rc = create_base(&c, err);
    writer_close(&c.writer, rc);
    if (c.lock_fd >= 0)
        close(c.lock_fd);
    forget_before(&c);
    pg_programs_free(&c.programs);
    free(c.kept);
    free(c.slot);
    free(c.seeded);
    return rc;
}

void base_create_result_free(struct base_create_result *r)
{
    free(r->id);
    free(r->slot_left);
    free(r->slot_left_why);
    *r = (struct base_create_result){0};
}

/* ---- drop ---- */

/* After its freezes. The directory stays. */
static int drop_live(struct store *s, struct err *err)
{
    struct store_live l;
    int rc = store_find_live(s, &l, err);

    if (rc == 1)
        rc = store_drop_base(s, l.id, err);
    store_live_free(&l);
    return rc;
}

/* The newest first: a layer goes before what it lies on. */
static int drop_bases(struct store *s, struct err *err)
{
    char **ids;
    size_t n = 0;
    int rc = store_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    while (ids[n])
        n++;
    while (rc == 0 && n)
        rc = livefreeze_drop(s, ids[--n], err);
    store_names_free(ids);
    return rc < 0 ? rc : drop_live(s, err);
}

/* The store forgets the slot only when it is gone. */
static int drop_slot(struct store *s, struct err *err)
{
    const struct store_cluster *known = store_cluster(s);
    struct store_cluster without;
    struct pg_slot_name n;
    int rc;

    if (!known || !known->slot)
        return 0;
    n = (struct pg_slot_name){.conninfo = known->conninfo,
                              .name = known->slot,
                              .system_identifier = known->system_identifier};
    rc = pg_slot_drop(&n, known->slot_mark, err);
    if (rc < 0 && rc != -ENOENT && rc != -EEXIST)
        return err_hint(err,
                        "The bases are dropped, but the server still keeps log for the replication "
                        "slot \"%s\". Try again, or drop it there: "
                        "SELECT pg_drop_replication_slot('%s')",
                        known->slot, known->slot);
    without = *known;
    without.conninfo = without.slot = NULL;
    without.slot_mark = 0;
    return store_set_cluster(s, &without, err);
}

/* What was received for bases that are gone; a log elsewhere is not ours. */
static int drop_wal(struct store *s, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    int rc = c && c->log ? 0 : io_remove_tree(store_wal_directory(s));

    return rc < 0 && rc != -ENOENT
               ? err_set(err, -rc, "cannot remove %s: %s", store_wal_directory(s), strerror(-rc))
               : 0;
}

static int drop_all(struct store *s, struct err *err)
{
    int lock, rc = store_lock_cluster(s, &lock, err);

    if (rc < 0)
        return rc;
    rc = drop_bases(s, err);
    if (rc == 0)
        rc = drop_slot(s, err);
    if (rc == 0)
        rc = drop_wal(s, err);
    close(lock);
    return rc;
}

int base_drop(const char *store, const char *id, const char *run_as, struct err *err)
{
    struct writer w = {.path = store, .run_as = run_as};
    int rc = writer_open(&w, false, err);

    if (rc == 0)
        rc = id ? livefreeze_drop(w.store, id, err) : drop_all(w.store, err);
    writer_close(&w, rc);
    return rc;
}
