#include "base/adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "pg/backup.h"
#include "pg/control.h"
#include "pg/postmaster.h"
#include "pg/settings.h"
#include "store/walreach.h"
#include "pages/page.h"
#include "base/writer.h"

struct adoption {
    const struct base_adopt_request *req;
    struct writer writer;
    char *dir, *log; /* absolute; log NULL: not given */
    struct pg_programs programs;
    struct pg_control control;
    struct store_base_facts facts;
    char *id;    /* of the base, once it is one */
    int lock_fd; /* store_lock_cluster; -1 */
};

/* ---- no server runs on it ---- */

/* Numbers are used again: another program with the number is no server. */
static bool is_postgres(pid_t pid)
{
    char *path = mem_printf("/proc/%ld/comm", (long)pid), name[32] = "postgres";
    FILE *f = fopen(path, "re");

    free(path);
    if (f) {
        if (!fgets(name, sizeof(name), f))
            name[0] = '\0';
        fclose(f);
    }
    return strncmp(name, "postgres", 8) == 0 || strncmp(name, "postmaster", 10) == 0;
}

static int check_stopped(const char *dir, struct err *err)
{
    struct pg_postmaster p;
    pid_t pid = pg_postmaster_read(dir, &p) == 0 ? p.pid : 0;

    pg_postmaster_free(&p);
    if (pid <= 0 || (kill(pid, 0) < 0 && errno != EPERM) || !is_postgres(pid))
        return 0;
    return err_set(err, EBUSY,
                   "a server runs on %s (process %ld, says its postmaster.pid): a base must not "
                   "change; stop it, or make a base with asofs base create",
                   dir, (long)pid);
}

/* ---- from when on it can be shown ---- */

static bool find_stop(const struct adoption *a, const struct pg_backup_label *label,
                      struct pg_backup_stop *stop)
{
    const char *log = a->log ? a->log : store_wal_directory(a->writer.store);
    char *wal = mem_printf("%s/pg_wal", a->dir);
    uint32_t bytes = a->control.segment_bytes;
    bool found = pg_backup_stop_read(log, label, bytes, stop) == 1 ||
                 pg_backup_stop_read(wal, label, bytes, stop) == 1;

    free(wal);
    return found;
}

/* A backup: replay begins at its start, and it can be shown from its end on. */
static void facts_of_label(struct adoption *a, const struct pg_backup_label *label)
{
    struct pg_backup_stop stop;

    a->facts = (struct store_base_facts){
        .start_lsn = label->start, .start_time = label->start_time, .timeline = label->timeline};
    if (find_stop(a, label, &stop)) {
        a->facts.consistent_lsn = stop.lsn;
        a->facts.consistent_time = stop.time ? stop.time + 1 : 0; /* of which a part is gone */
    }
    if (pg_backup_end(a->dir, label->start, &stop.lsn) == 1)
        a->facts.consistent_lsn = stop.lsn;
}

static void facts_of_shutdown(struct adoption *a)
{
    const struct pg_control *c = &a->control;
    bool standby = c->state == PG_STATE_SHUT_DOWN_IN_RECOVERY;

    a->facts = (struct store_base_facts){.start_lsn = c->redo,
                                         .start_time = c->checkpoint_time,
                                         .consistent_lsn = c->checkpoint,
                                         .timeline = c->timeline};
    if (standby && c->min_recovery > c->checkpoint) {
        a->facts.consistent_lsn = c->min_recovery; /* its time is known to the log only */
        a->facts.timeline = c->min_recovery_timeline;
    } else /* the time is a whole second, and the base has all that was committed in it */
        a->facts.consistent_time = c->checkpoint_time + 1;
}

/*
 * Recovered as after a crash, from the log in its own pg_wal: of which there must be that from the
 * last checkpoint on. All of that is replayed, whatever the moment: it is shown from the end on.
 */
static int facts_of_crash(struct adoption *a, struct err *err)
{
    const struct pg_control *c = &a->control;
    char *wal = mem_printf("%s/pg_wal", a->dir), name[25];
    struct wal_list l;
    struct wal_way way = {.list = &l,
                          .dir = wal,
                          .system = c->system_identifier,
                          .timeline = c->timeline,
                          .from = c->redo,
                          .before = UINT64_MAX};
    struct wal_reach reach = {0};
    int64_t last = c->checkpoint_time;
    int rc = wal_read(wal, c->segment_bytes, &l, err);

    if (rc == 0)
        rc = wal_reach(&way, &reach, err);
    if (rc == 0 && !reach.end) {
        wal_segment_name(c->timeline, c->redo / c->segment_bytes, c->segment_bytes, name);
        rc = err_set(err, EINVAL,
                     "%s was not shut down and cannot be recovered: the log segment %s, where its "
                     "recovery begins, is not in its pg_wal, or has no record there",
                     a->dir, name);
    }
    if (reach.time_us / 1000000 > last)
        last = reach.time_us / 1000000;
    a->facts = (struct store_base_facts){.start_lsn = c->redo,
                                         .start_time = c->checkpoint_time,
                                         .consistent_lsn = reach.end,
                                         .consistent_time = last + 1,
                                         .timeline = reach.timeline};
    wal_free(&l);
    free(wal);
    return rc;
}

static int refuse_state(const struct adoption *a, struct err *err)
{
    err_set(err, EINVAL,
            "%s was not shut down (pg_control says \"%s\") and is no backup (it has no "
            "backup_label)",
            a->dir, a->control.state_text);
    if (a->control.state == PG_STATE_IN_PRODUCTION)
        return err_hint(err,
                        "A copy that was made while a server ran cannot be recovered without "
                        "its backup_label. If it is what a crash or an atomic snapshot left, with "
                        "its pg_wal: --crashed.");
    return err_hint(err, "Start a server on it and stop that, then add it.");
}

static int find_facts(struct adoption *a, struct err *err)
{
    struct pg_backup_label label;
    int rc = pg_backup_label_read(a->dir, &label, err);

    if (rc < 0)
        return rc;
    if (rc == 1)
        facts_of_label(a, &label);
    else if (a->control.backup_start)
        return err_set(err, EINVAL,
                       "%s is a backup whose recovery was begun and not ended (pg_control says "
                       "that it needs the log from its start): start a server on it until it is "
                       "consistent, and stop that",
                       a->dir);
    else if (a->control.state == PG_STATE_SHUT_DOWN ||
             a->control.state == PG_STATE_SHUT_DOWN_IN_RECOVERY)
        facts_of_shutdown(a);
    else if (a->control.state == PG_STATE_IN_PRODUCTION && a->req->crashed)
        return facts_of_crash(a, err);
    else
        return refuse_state(a, err);
    return 0;
}

/* ---- a live base ---- */

/* 1: it has that file. */
static bool has_file(const struct adoption *a, const char *name)
{
    char *path = mem_printf("%s/%s", a->dir, name);
    struct stat st;
    bool has = lstat(path, &st) == 0;

    free(path);
    return has;
}

static int check_one_disk(const struct adoption *a, struct err *err)
{
    struct stat data, store;

    if (stat(a->dir, &data) < 0 || stat(a->writer.path, &store) < 0)
        return err_errno(err, "cannot look at %s and %s", a->dir, a->writer.path);
    if (data.st_dev != store.st_dev)
        return err_set(
            err, EXDEV,
            "%s and the store %s lie on different file systems: what a live base has had "
            "is moved into its store, so that is to be on the same one",
            a->dir, a->writer.path);
    if (data.st_uid != store.st_uid)
        return err_set(err, EPERM,
                       "%s belongs to the user %u, and the store %s to %u: it has to be "
                       "the same one",
                       a->dir, (unsigned)data.st_uid, a->writer.path, (unsigned)store.st_uid);
    return 0;
}

/* A link in pg_tblspc leads there. */
static int check_tablespace(const struct adoption *a, const char *link, struct err *err)
{
    struct stat data, place;

    if (stat(a->dir, &data) < 0 || stat(link, &place) < 0)
        return err_errno(err, "cannot look at the directory that %s leads to", link);
    if (data.st_dev == place.st_dev)
        return 0;
    return err_set(err, EXDEV,
                   "the tablespace %s lies on another file system than the store %s: what a live "
                   "base has had is moved into its store. Move its directory to that file system, "
                   "or its tables to another tablespace",
                   link, a->writer.path);
}

/* Directories are tablespaces in place. */
static int check_tablespaces(const struct adoption *a, struct err *err)
{
    char *path = mem_printf("%s/pg_tblspc", a->dir), *link;
    DIR *dir = opendir(path);
    struct dirent *e;
    struct stat st;
    int rc = dir ? 0 : err_errno(err, "cannot open %s", path);

    while (rc == 0 && (e = readdir(dir))) {
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISLNK(st.st_mode))
            continue;
        link = mem_printf("%s/%s", path, e->d_name);
        rc = check_tablespace(a, link, err);
        free(link);
    }
    if (dir)
        closedir(dir);
    free(path);
    return rc;
}

static int check_fsync(const struct adoption *a, struct err *err)
{
    return pg_settings_without_fsync(&a->programs, a->dir)
               ? err_set(err, EINVAL,
                         "fsync is off in the settings of %s: a crash of the machine would destroy "
                         "it, whatever asofs kept of its past. Set it on",
                         a->dir)
               : 0;
}

static int check_live(const struct adoption *a, struct err *err)
{
    const struct pg_control *c = &a->control;
    bool standby = has_file(a, "standby.signal");
    int rc;

    if (has_file(a, "backup_label") || c->backup_start)
        return err_set(err, EINVAL,
                       "%s is a backup: start a server on it until it is consistent, "
                       "and stop that",
                       a->dir);
    if (c->state != PG_STATE_SHUT_DOWN && c->state != PG_STATE_SHUT_DOWN_IN_RECOVERY)
        return err_set(err, EINVAL,
                       "%s was not shut down (pg_control says \"%s\"): start a server on it, and "
                       "stop that",
                       a->dir, c->state_text);
    if (!standby && !a->req->primary)
        return err_set(
            err, EINVAL,
            "%s is a primary's (it has no standby.signal): an asofs that is killed stops "
            "its server. If that is wanted: --primary",
            a->dir);
    if (!c->full_page_writes)
        return err_set(
            err, EINVAL,
            "full_page_writes was off at the last checkpoint of %s; freezes are recovered "
            "as after a crash, and need it on",
            a->dir);
    rc = check_one_disk(a, err);
    if (rc == 0)
        rc = check_tablespaces(a, err);
    return rc == 0 && !standby ? check_fsync(a, err) : rc;
}

/* ---- the directory ---- */

static int look_at_directory(struct adoption *a, struct err *err)
{
    int major = pg_version_of(a->dir, err), rc;

    if (major == -ENOENT)
        return err_hint(err, "A backup that its program keeps compressed, or several files in one, "
                             "has to be restored into a directory first.");
    if (major < 0)
        return major;
    rc = check_stopped(a->dir, err);
    if (rc == 0)
        rc = pg_programs_find(major, a->req->bindir, &a->writer.who, &a->programs, err);
    if (rc == 0)
        rc = pg_control_read(&a->programs, a->dir, &a->control, err);
    if (rc == 0 && a->control.block_bytes != PAGE_BYTES)
        rc = err_set(err, ENOTSUP, "%s has pages of %u bytes; a store holds pages of %u bytes",
                     a->dir, a->control.block_bytes, PAGE_BYTES);
    if (rc == 0)
        rc = a->req->live ? check_live(a, err) : find_facts(a, err);
    return rc;
}

/* ---- whose it is, and where its log is ---- */

/* What the store knows, and what was said now. */
static int merge_cluster(const struct adoption *a, struct store_cluster *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(a->writer.store);

    *c = known ? *known : (struct store_cluster){0};
    c->system_identifier = a->control.system_identifier;
    c->major = (uint32_t)a->programs.major;
    c->segment_bytes = a->control.segment_bytes;
    if ((a->log || a->req->restore_command) && known && known->slot)
        return err_set(err, EINVAL,
                       "the store %s receives its log with the replication slot \"%s\": a log "
                       "from elsewhere needs a store of its own",
                       a->writer.path, known->slot);
    if (a->log && known && known->log && strcmp(known->log, a->log) != 0)
        return err_set(err, EINVAL, "the store %s takes its log from %s already", a->writer.path,
                       known->log);
    if (a->log)
        c->log = a->log;
    if (a->req->restore_command)
        c->restore_command = (char *)(uintptr_t)a->req->restore_command;
    return 0;
}

/* A log of another segment size, or a cut one, is refused before it is relied on. */
static int check_wal(const struct adoption *a, struct err *err)
{
    struct wal_list l;
    int rc = a->log ? wal_read(a->log, a->control.segment_bytes, &l, err) : 0;

    if (a->log && rc == 0)
        wal_free(&l);
    return rc;
}

/* ---- all of it ---- */

static int adopt(struct adoption *a, struct err *err)
{
    struct store_cluster cluster;
    int rc = writer_open_or_make(&a->writer, err);

    if (rc == 0)
        rc = store_lock_cluster(a->writer.store, &a->lock_fd, err);
    if (rc == 0)
        rc = look_at_directory(a, err);
    if (rc == 0)
        rc = merge_cluster(a, &cluster, err);
    if (rc == 0)
        rc = store_check_cluster(a->writer.store, &cluster, err);
    if (rc == 0)
        rc = check_wal(a, err);
    if (rc == 0)
        rc = a->req->live ? store_add_live(a->writer.store, a->dir, &a->id, err)
                          : store_add_base(a->writer.store, a->dir, &a->facts, &a->id, err);
    if (rc < 0)
        return rc;
    rc = check_stopped(a->dir, err); /* nobody started one while its files were noted */
    if (rc == 0)
        rc = store_set_cluster(a->writer.store, &cluster, err);
    if (rc < 0)
        store_drop_base(a->writer.store, a->id, NULL);
    return rc;
}

static int find_paths(struct adoption *a, struct err *err)
{
    a->dir = realpath(a->req->dir, NULL);
    if (!a->dir)
        return err_errno(err, "cannot open %s", a->req->dir);
    if (a->req->log) {
        a->log = realpath(a->req->log, NULL);
        if (!a->log)
            return err_errno(err, "cannot open the log directory %s", a->req->log);
    }
    return 0;
}

int base_adopt(const struct base_adopt_request *req, char **id, struct err *err)
{
    struct adoption a = {
        .req = req, .lock_fd = -1, .writer = {.path = req->store, .run_as = req->run_as}};
    int rc = find_paths(&a, err);

    if (rc == 0)
        rc = adopt(&a, err);
    writer_close(&a.writer, rc);
    if (a.lock_fd >= 0)
        close(a.lock_fd);
    pg_programs_free(&a.programs);
    free(a.dir);
    free(a.log);
    if (rc == 0)
        *id = a.id;
    else
        free(a.id);
    return rc;
}
