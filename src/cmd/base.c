/*
 * asofs base: take bases, adopt them, keep their log coming, advance, list and drop them.
 *
 * PostgreSQL's programs never run as root, and what they write must be theirs. So root becomes the
 * owner of the store (or --run-as) for everything that is done here, connections included; that he
 * was root is kept only to make the store's directory in a place of root's, and to remove it again.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/source.h"
#include "cmd/subcommand.h"
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/stop.h"
#include "common/units.h"
#include "pg/backup.h"
#include "pg/conn.h"
#include "pg/control.h"
#include "store/log.h"
#include "store/page.h"
#include "store/store.h"
#include "view/advance.h"

#define DEFAULT_SLOT "asofs"
#define FIRST_DELAY_MS 250
#define DEFAULT_DELAY_MS 30000 /* between attempts to receive, at most */
#define LOOK_AGAIN_MS 200

struct options {
    const char *slot, *run_as, *bindir, *log, *restore_command;
    int64_t restart_delay_ms, advance_every_ms, every_ms; /* the last two 0: never, once */
    struct moment until;
    bool unbounded_slot, crashed, all, quiet, help;
};

static int set_slot(void *o, const char *v, struct err *err)
{
    size_t n = strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789_");

    if (!*v || v[n] || n > 63)
        return err_set(
            err, EINVAL,
            "\"%s\" is no name for a slot: it is 1 to 63 small letters, digits and \"_\"", v);
    ((struct options *)o)->slot = v;
    return 0;
}

static int set_run_as(void *o, const char *v, struct err *err)
{
    (void)err;
    ((struct options *)o)->run_as = v;
    return 0;
}

static int set_bindir(void *o, const char *v, struct err *err)
{
    (void)err;
    ((struct options *)o)->bindir = v;
    return 0;
}

static int set_log(void *o, const char *v, struct err *err)
{
    (void)err;
    ((struct options *)o)->log = v;
    return 0;
}

static int set_restore_command(void *o, const char *v, struct err *err)
{
    if (!strstr(v, "%f") || !strstr(v, "%p"))
        return err_set(err, EINVAL, "it needs %%f (the file that is asked for) and %%p (where to)");
    ((struct options *)o)->restore_command = v;
    return 0;
}

static int set_restart_delay(void *o, const char *v, struct err *err)
{
    int64_t ms;

    if (units_parse_duration(v, &ms) < 0 || ms <= 0)
        return err_set(err, EINVAL, "\"%s\" is no duration, such as 30s", v);
    ((struct options *)o)->restart_delay_ms = ms;
    return 0;
}

static int set_interval(int64_t *ms, const char *v, struct err *err)
{
    if (units_parse_duration(v, ms) < 0 || *ms <= 0)
        return err_set(err, EINVAL, "\"%s\" is no duration, such as 15min", v);
    return 0;
}

static int set_advance_every(void *o, const char *v, struct err *err)
{
    return set_interval(&((struct options *)o)->advance_every_ms, v, err);
}

/* Internal: of follow. */
static int set_every(void *o, const char *v, struct err *err)
{
    return set_interval(&((struct options *)o)->every_ms, v, err);
}

static int set_until(void *o, enum moment_kind kind, const char *v, struct err *err)
{
    struct moment *m = &((struct options *)o)->until;

    if (m->kind != MOMENT_NONE)
        return err_set(err, EINVAL, "only one of --at and --lsn can be given");
    return moment_parse(kind, v, m, err);
}

static int set_at(void *o, const char *v, struct err *err)
{
    return set_until(o, MOMENT_TIME, v, err);
}

static int set_lsn(void *o, const char *v, struct err *err)
{
    return set_until(o, MOMENT_LSN, v, err);
}

static int set_unbounded_slot(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    ((struct options *)o)->unbounded_slot = true;
    return 0;
}

static int set_crashed(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    ((struct options *)o)->crashed = true;
    return 0;
}

static int set_all(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    ((struct options *)o)->all = true;
    return 0;
}

static int set_quiet(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    ((struct options *)o)->quiet = true;
    return 0;
}

static int set_help(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    ((struct options *)o)->help = true;
    return 0;
}

static const char *time_text(int64_t seconds, char out[40])
{
    time_t t = (time_t)seconds;
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, 40, "%Y-%m-%d %H:%M:%S+00", &tm))
        snprintf(out, 40, "@%lld", (long long)seconds);
    return out;
}

/* ---- the store, and who writes it ---- */

struct place {
    const struct options *o;
    const char *path; /* as given */
    struct pg_identity who;
    struct store *store;
    bool was_root;       /* and is now somebody else */
    bool made_directory; /* by us */
    bool fresh;          /* the store was made by us */
};

static struct pg_identity giving_to; /* nftw has no argument for its caller */

static int give_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)flag, (void)ftw;
    if (st->st_uid != 0)
        return 0;
    return lchown(path, giving_to.uid, giving_to.gid);
}

/* A store of root's (asofs store create) becomes that of who writes it from now on. */
static int give_store(struct place *p, struct err *err)
{
    giving_to = p->who;
    if (nftw(p->path, give_one, 16, FTW_PHYS | FTW_MOUNT) != 0)
        return err_errno(err, "cannot give %s to the user %u", p->path, (unsigned)p->who.uid);
    return 0;
}

/* For good, except for undo_directory. Stays a process that may be looked at by its own user, as
 * the kernel's default is for those who never changed. */
static int become(struct place *p, struct err *err)
{
    const struct passwd *pw = getpwuid(p->who.uid);

    if (!p->who.change)
        return 0;
    if (!pw)
        return err_set(err, EPERM, "there is no user with the number %u", (unsigned)p->who.uid);
    if (initgroups(pw->pw_name, p->who.gid) < 0 || setgid(p->who.gid) < 0 ||
        setresuid(p->who.uid, p->who.uid, 0) < 0)
        return err_errno(err, "cannot become the user %s", pw->pw_name);
    setenv("HOME", pw->pw_dir, 1); /* his password and service files count */
    prctl(PR_SET_DUMPABLE, 1);
    p->who.change = false;
    p->was_root = true;
    return 0;
}

/* needs_programs: root cannot be who it is done as. */
static int choose_writer(struct place *p, bool needs_programs, struct err *err)
{
    struct stat st;
    bool there = stat(p->path, &st) == 0;
    int rc;

    if (!needs_programs && there && geteuid() == 0 && st.st_uid == 0 && !p->o->run_as) {
        p->who = (struct pg_identity){.uid = 0};
        return 0;
    }
    rc = pg_identity_find(p->o->run_as, there ? st.st_uid : geteuid(), &p->who, err);
    if (rc == 0 && needs_programs && there && p->who.change && st.st_uid == 0)
        rc = give_store(p, err);
    return rc;
}

/* The directory, made by root for him who fills it. */
static int make_directory(struct place *p, struct err *err)
{
    if (!p->who.change || mkdir(p->path, 0700) < 0)
        return 0; /* there, or store_create says why not */
    p->made_directory = true;
    if (chown(p->path, p->who.uid, p->who.gid) < 0)
        return err_errno(err, "cannot give %s to the user %u", p->path, (unsigned)p->who.uid);
    return 0;
}

static int open_place(struct place *p, bool needs_programs, struct err *err)
{
    int rc;

    if (!store_is(p->path))
        return store_open(p->path, &p->store, err); /* says what is wrong */
    rc = choose_writer(p, needs_programs, err);
    if (rc == 0)
        rc = become(p, err);
    if (rc == 0)
        rc = store_open(p->path, &p->store, err);
    return rc;
}

/* The store is made when there is none. */
static int open_or_make_place(struct place *p, struct err *err)
{
    bool there = access(p->path, F_OK) == 0;
    int rc;

    if (store_is(p->path))
        return open_place(p, true, err);
    rc = choose_writer(p, true, err);
    if (rc == 0 && !there)
        rc = make_directory(p, err);
    if (rc == 0)
        rc = become(p, err);
    if (rc == 0) {
        rc = store_create(p->path, err);
        p->fresh = rc == 0;
        if (rc == 0 && !there)
            p->made_directory = true;
    }
    return rc == 0 ? store_open(p->path, &p->store, err) : rc;
}

/* A store that was made for nothing. */
static void undo_place(struct place *p)
{
    static const char *const names[] = {"log", "base", "view", "lock", "store.json"};
    char *path;
    size_t i;

    for (i = 0; p->fresh && i < sizeof(names) / sizeof(*names); i++) {
        path = mem_printf("%s/%s", p->path, names[i]);
        io_remove_tree(path);
        free(path);
    }
    if (!p->made_directory || rmdir(p->path) == 0 || !p->was_root)
        return;
    if (seteuid(0) == 0)
        rmdir(p->path);
}

/* Who was root has nothing left of it afterwards. */
static void close_place(struct place *p, int rc)
{
    store_close(p->store);
    if (rc < 0)
        undo_place(p);
    if (p->was_root && setresuid(p->who.uid, p->who.uid, p->who.uid) == 0)
        prctl(PR_SET_DUMPABLE, 1);
}

/* ---- create ---- */

struct creation {
    struct place place;
    const struct options *o;
    char *conninfo, *kept; /* with and without password */
    char *slot;
    struct stop stop;
    struct pg_programs programs;
    struct pg_source source;
    uint64_t from; /* where the slot keeps the log from; 0: it was there */
    bool made_slot, made_log, slot_active;
    char *seeded; /* what seed_log made, or NULL */
    struct store_base_facts facts;
    char *id;
};

static int check_slot_bound(const struct creation *c, struct err *err)
{
    if (c->source.max_slot_keep_mb >= 0 || c->o->unbounded_slot)
        return 0;
    return err_set(err, EINVAL,
                   "the server keeps log for a replication slot without bound: if nobody receives "
                   "it, its disk fills up\nset max_slot_wal_keep_size on the server, or say "
                   "--unbounded-slot if that is watched");
}

static struct store_cluster cluster_of(const struct creation *c)
{
    return (struct store_cluster){.system_identifier = c->source.system_identifier,
                                  .major = (uint32_t)c->source.version_num / 10000,
                                  .segment_bytes = c->source.segment_bytes,
                                  .conninfo = c->kept,
                                  .slot = c->slot};
}

/* A store that is of this cluster already, and has its slot. */
static int choose_slot(struct creation *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(c->place.store);
    struct store_cluster now = cluster_of(c);
    int rc = store_check_cluster(c->place.store, &now, err);

    if (rc < 0)
        return rc;
    if (known && (known->log || known->restore_command))
        return err_set(err, EINVAL,
                       "the store %s takes its log from %s: make another store for what is "
                       "received from a server",
                       c->place.path, known->log ? known->log : "restore_command");
    if (known && known->slot && c->o->slot && strcmp(known->slot, c->o->slot) != 0)
        return err_set(err, EINVAL, "the store %s has the replication slot \"%s\" already",
                       c->place.path, known->slot);
    c->slot = mem_strdup(known && known->slot ? known->slot
                         : c->o->slot         ? c->o->slot
                                              : DEFAULT_SLOT);
    return 0;
}

/* The store's own slot serves on while the server keeps its log; else it is made anew. */
static int take_slot(struct creation *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(c->place.store);
    int64_t retained = -ENOENT;
    int rc = 0;

    if (known && known->slot)
        retained = pg_slot_retained(c->conninfo, c->slot, &c->slot_active, err);
    if (retained >= 0)
        return 0;
    if (retained == -ESTALE)
        rc = pg_slot_drop(c->conninfo, c->slot, err);
    else if (retained != -ENOENT)
        return (int)retained;
    if (rc == 0)
        rc = pg_slot_create(c->conninfo, c->slot, &c->from, err);
    c->made_slot = rc == 0;
    return rc;
}

static int make_log_directory(struct creation *c, struct err *err)
{
    const char *dir = store_log_directory(c->place.store);

    c->made_log = mkdir(dir, 0700) == 0;
    return c->made_log || errno == EEXIST ? 0 : err_errno(err, "cannot make %s", dir);
}

/*
 * pg_receivewal goes on behind the last segment that is there. Where a new slot begins later, and
 * with servers (before 15) of which it cannot learn where a slot begins, an empty segment shows it.
 */
static int seed_log(struct creation *c, struct err *err)
{
    const char *dir = store_log_directory(c->place.store);
    uint32_t bytes = c->source.segment_bytes;
    struct log_list l;
    char name[25];
    int fd, rc = log_read(dir, bytes, &l, err);
    bool needed = rc == 0 && c->from && (l.n || c->source.version_num < 150000);
    uint64_t number = c->from / bytes;

    if (needed && l.n && l.segments[l.n - 1].number >= number)
        needed = false;
    log_free(&l);
    if (rc < 0 || !needed)
        return rc;
    log_segment_name(c->source.timeline, number, bytes, name);
    c->seeded = mem_printf("%s/%s.partial", dir, name);
    fd = open(c->seeded, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(err, "cannot make %s", c->seeded);
    close(fd);
    return 0;
}

/* Somebody (asofs base follow) receives already: until he has what is needed. The backup's end
 * ended its segment too, so it becomes whole. */
static int wait_for_log(struct creation *c, struct err *err)
{
    struct pollfd stop = {.fd = c->stop.fd, .events = POLLIN};
    const char *dir = store_log_directory(c->place.store);
    uint64_t last = (c->facts.consistent_lsn - 1) / c->source.segment_bytes;
    char name[25], *path;
    int rc = 0;

    log_segment_name(c->facts.timeline, last, c->source.segment_bytes, name);
    path = mem_printf("%s/%s", dir, name);
    log_note("waiting until the log of the backup has been received (%s)", name);
    while (rc == 0 && access(path, F_OK) < 0)
        if (poll(&stop, 1, LOOK_AGAIN_MS) > 0)
            rc = err_set(err, EINTR, "stopped");
    free(path);
    return rc;
}

static int receive_to_end(struct creation *c, struct err *err)
{
    if (c->slot_active)
        return wait_for_log(c, err);
    return pg_receive_log(&c->programs, c->conninfo, c->slot, store_log_directory(c->place.store),
                          c->source.segment_bytes, c->facts.consistent_lsn, c->stop.fd, err);
}

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
    int rc = pg_base_backup(&c->programs, c->conninfo, data, c->o->quiet, c->stop.fd,
                            &c->facts.consistent_lsn, err);

    if (rc == 0)
        rc = read_backup(c, data, err);
    if (rc == 0)
        rc = pg_source_look(c->conninfo, c->stop.fd, &after, err);
    if (rc < 0)
        return rc;
    c->facts.consistent_time = after.now;
    return receive_to_end(c, err);
}

static int make_base(struct creation *c, struct err *err)
{
    struct store_making *m;
    char *data;
    int rc = store_begin_base(c->place.store, &m, err);

    if (rc < 0)
        return rc;
    data = mem_printf("%s/data", store_making_path(m));
    rc = back_up(c, data, err);
    free(data);
    if (rc == 0)
        return store_finish_base(m, &c->facts, &c->id, err);
    store_abandon_base(m);
    return rc;
}

/* From now on follow knows where from. */
static int remember_source(struct creation *c, struct err *err)
{
    struct store_cluster cluster = cluster_of(c);
    int rc = store_set_cluster(c->place.store, &cluster, err);

    if (rc < 0)
        store_drop_base(c->place.store, c->id, NULL);
    return rc;
}

static void undo_creation(struct creation *c)
{
    struct stat st;
    struct err err;

    if (c->made_slot && pg_slot_drop(c->conninfo, c->slot, &err) < 0 && err.code != ENOENT)
        log_error("the replication slot \"%s\" is still there (%s)\ndrop it on the server: SELECT "
                  "pg_drop_replication_slot('%s')",
                  c->slot, err.text, c->slot);
    if (c->seeded && stat(c->seeded, &st) == 0 && st.st_size == 0)
        unlink(c->seeded);
    if (c->made_log)
        io_remove_tree(store_log_directory(c->place.store));
}

/* Everything that is refused is refused before the slot is made. */
static int prepare_creation(struct creation *c, struct err *err)
{
    int rc = open_or_make_place(&c->place, err);

    if (rc == 0)
        rc = pg_source_look(c->conninfo, c->stop.fd, &c->source, err);
    if (rc == 0)
        rc = check_slot_bound(c, err);
    if (rc == 0)
        rc = choose_slot(c, err);
    if (rc == 0)
        rc = pg_programs_find(c->source.version_num / 10000, c->o->bindir, &c->place.who,
                              &c->programs, err);
    return rc;
}

static int create(struct creation *c, struct err *err)
{
    int rc = prepare_creation(c, err);

    if (rc < 0)
        return rc;
    rc = take_slot(c, err);
    if (rc == 0)
        rc = make_log_directory(c, err);
    if (rc == 0)
        rc = seed_log(c, err);
    if (rc == 0)
        rc = make_base(c, err);
    if (rc == 0)
        rc = remember_source(c, err);
    if (rc < 0)
        undo_creation(c);
    return rc;
}

static void free_creation(struct creation *c)
{
    pg_programs_free(&c->programs);
    if (c->conninfo)
        explicit_bzero(c->conninfo, strlen(c->conninfo));
    free(c->conninfo);
    free(c->kept);
    free(c->slot);
    free(c->seeded);
    free(c->id);
}

static int run_create(const void *options, char **operands)
{
    const struct options *o = options;
    struct creation c = {.o = o, .place = {.o = o, .path = operands[0]}};
    struct err err;
    int rc;

    c.conninfo = mem_strdup(operands[1]);
    pg_target_scrub(operands[1]);
    c.kept = mem_strdup(operands[1]);
    rc = stop_open(&c.stop, &err);
    if (rc == 0)
        rc = create(&c, &err);
    if (rc < 0)
        log_error("%s", err.text);
    else
        printf("%s\n", c.id);
    if (rc == 0 && strcmp(c.conninfo, c.kept) != 0)
        log_note("the password is not kept: asofs base follow needs it in a password file");
    close_place(&c.place, rc);
    stop_close(&c.stop, true);
    free_creation(&c);
    return rc < 0 ? 1 : command_printed(0);
}

/* ---- follow ---- */

struct following {
    const struct options *o;
    const struct store_cluster *cluster;
    const char *log;
    struct pg_programs programs;
    struct stop stop;
};

static int check_followed(const struct store *s, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);

    if (c && c->conninfo && c->slot)
        return 0;
    return err_set(err, EINVAL,
                   "the store %s has no base of a server that could be followed: make "
                   "one with asofs base create",
                   store_path(s));
}

/* What no further attempt makes good; -EAGAIN: another attempt may. */
static int check_slot(const struct following *f, struct err *err)
{
    struct err why;
    int64_t rc = pg_slot_retained(f->cluster->conninfo, f->cluster->slot, NULL, &why);

    if (rc != -ENOENT && rc != -ESTALE)
        return -EAGAIN;
    err_set(err, why.code, "%s", why.text);
    return err_hint(err, "the log has a gap from here on: make a new base with asofs base create");
}

static bool pause_or_stop(struct following *f, int64_t ms)
{
    struct pollfd stop = {.fd = f->stop.fd, .events = POLLIN};

    return poll(&stop, 1, (int)ms) > 0;
}

/* Until it is stopped, which is fine, or the slot is gone. */
static int follow(struct following *f, struct err *err)
{
    int64_t delay = FIRST_DELAY_MS, began;
    int rc;

    for (;;) {
        began = clock_ms();
        rc = pg_receive_log(&f->programs, f->cluster->conninfo, f->cluster->slot, f->log,
                            f->cluster->segment_bytes, 0, f->stop.fd, err);
        if (rc == -EINTR || stop_requested(&f->stop))
            return 0;
        if (clock_ms() - began > f->o->restart_delay_ms)
            delay = FIRST_DELAY_MS; /* it went well for a while */
        if (delay > f->o->restart_delay_ms)
            delay = f->o->restart_delay_ms;
        if (rc == 0)
            err_set(err, EIO, "the server ended the connection");
        log_error("%s", err->text);
        rc = check_slot(f, err);
        if (rc != -EAGAIN)
            return rc;
        log_note("trying again in %.1f s", (double)delay / 1000);
        if (pause_or_stop(f, delay))
            return 0;
        delay *= 2;
    }
}

/* ---- advancing beside following ---- */

/*
 * A child that advances the base now and then (--every) and says itself what is wrong. It is
 * started while we are still root, since it has to mount; and ends when the pipe on its standard
 * input does, since we cannot signal it then.
 */
struct advancer {
    pid_t pid; /* 0: none */
    int fd;    /* the pipe */
};

static int start_advancer(struct advancer *a, const struct options *o, const char *store, int in,
                          struct err *err)
{
    char *every = mem_printf("--every=%" PRId64 "ms", o->advance_every_ms);
    char *bindir = o->bindir ? mem_printf("--bindir=%s", o->bindir) : NULL;
    char *run_as = o->run_as ? mem_printf("--run-as=%s", o->run_as) : NULL;
    char *argv[] = {"asofs", "base", "advance", every, NULL, NULL, NULL, NULL, NULL};
    struct proc_fd fds[] = {{in, STDIN_FILENO}};
    size_t n = 4;
    int rc;

    if (bindir)
        argv[n++] = bindir;
    if (run_as)
        argv[n++] = run_as;
    argv[n++] = "--";
    argv[n] = (char *)(uintptr_t)store;
    rc = proc_spawn(proc_self(), argv, NULL, fds, 1, &a->pid, err);
    free(run_as);
    free(bindir);
    free(every);
    return rc;
}

static int open_advancer(struct advancer *a, const struct options *o, const char *store,
                         struct err *err)
{
    int fds[2], rc;

    if (!o->advance_every_ms || !store_is(store))
        return 0; /* what is no store is refused by others */
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "cannot make a pipe");
    rc = start_advancer(a, o, store, fds[0], err);
    a->fd = fds[1];
    close(fds[0]);
    return rc;
}

static void close_advancer(struct advancer *a)
{
    if (a->fd >= 0)
        close(a->fd);
    if (a->pid > 0)
        proc_wait(a->pid);
}

static int run_follow(const void *options, char **operands)
{
    const struct options *o = options;
    struct place p = {.o = o, .path = operands[0]};
    struct following f = {.o = o};
    struct advancer advancer = {.fd = -1};
    struct err err;
    int rc = stop_open(&f.stop, &err);

    if (rc == 0)
        rc = open_advancer(&advancer, o, operands[0], &err);
    if (rc == 0)
        rc = open_place(&p, true, &err);
    if (rc == 0)
        rc = check_followed(p.store, &err);
    if (rc == 0) {
        f.cluster = store_cluster(p.store);
        f.log = store_log_directory(p.store);
        rc = pg_programs_find((int)f.cluster->major, o->bindir, &p.who, &f.programs, &err);
    }
    if (rc == 0) {
        log_note("receiving the log of the replication slot \"%s\" into %s", f.cluster->slot,
                 f.log);
        rc = follow(&f, &err);
    }
    if (rc < 0)
        log_error("%s", err.text);
    close_advancer(&advancer);
    pg_programs_free(&f.programs);
    close_place(&p, rc);
    stop_close(&f.stop, true);
    return rc < 0;
}

/* ---- add ---- */

struct adoption {
    struct place place;
    const struct options *o;
    char *dir, *log; /* absolute; log NULL: not given */
    struct pg_programs programs;
    struct pg_control control;
    struct store_base_facts facts;
    char *id;
};

/* The first line of postmaster.pid; negative numbers are of servers for one user. */
static pid_t read_pid(const char *dir)
{
    char *path = mem_printf("%s/postmaster.pid", dir), line[32] = "";
    FILE *f = fopen(path, "re");
    long pid = 0;

    free(path);
    if (!f)
        return 0;
    if (fgets(line, sizeof(line), f))
        pid = labs(strtol(line, NULL, 10));
    fclose(f);
    return (pid_t)pid;
}

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
    pid_t pid = read_pid(dir);

    if (pid <= 0 || (kill(pid, 0) < 0 && errno != EPERM) || !is_postgres(pid))
        return 0;
    return err_set(err, EBUSY,
                   "a server runs on %s (process %ld, says its postmaster.pid): a base must not "
                   "change; stop it, or make a base with asofs base create",
                   dir, (long)pid);
}

/* A backup: replay begins at its start, and it can be shown from its end on. */
static void facts_of_label(struct adoption *a, const struct pg_backup_label *label)
{
    a->facts = (struct store_base_facts){
        .start_lsn = label->start, .start_time = label->start_time, .timeline = label->timeline};
    if (pg_backup_end(a->dir, label->start, &a->facts.consistent_lsn) != 1)
        a->facts.consistent_lsn = 0;
}

static void facts_of_shutdown(struct adoption *a)
{
    const struct pg_control *c = &a->control;
    bool standby = c->state == PG_STATE_SHUT_DOWN_IN_RECOVERY;

    a->facts = (struct store_base_facts){.start_lsn = c->redo,
                                         .start_time = c->checkpoint_time,
                                         .consistent_lsn = c->checkpoint,
                                         .timeline = c->timeline};
    if (standby && c->min_recovery > c->checkpoint)
        a->facts.consistent_lsn = c->min_recovery; /* its time is known to the log only */
    else
        a->facts.consistent_time = c->checkpoint_time;
}

/* Recovered as after a crash, from the log in its own pg_wal: of which there must be that from the
 * last checkpoint on. */
static int facts_of_crash(struct adoption *a, struct err *err)
{
    const struct pg_control *c = &a->control;
    char *wal = mem_printf("%s/pg_wal", a->dir), name[25];
    struct timespec written;
    struct log_list l;
    uint64_t end;
    int rc = log_read(wal, c->segment_bytes, &l, err);

    a->facts = (struct store_base_facts){
        .start_lsn = c->redo, .start_time = c->checkpoint_time, .timeline = c->timeline};
    if (rc == 0 && !log_covers(&l, c->timeline, c->redo, &end, &written)) {
        log_segment_name(c->timeline, c->redo / c->segment_bytes, c->segment_bytes, name);
        rc = err_set(err, EINVAL,
                     "%s was not shut down and cannot be recovered: the log segment %s, where its "
                     "recovery begins, is not in its pg_wal",
                     a->dir, name);
    }
    log_free(&l);
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
    else if (a->control.state == PG_STATE_IN_PRODUCTION && a->o->crashed)
        return facts_of_crash(a, err);
    else
        return refuse_state(a, err);
    return 0;
}

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
        rc = pg_programs_find(major, a->o->bindir, &a->place.who, &a->programs, err);
    if (rc == 0)
        rc = pg_control_read(&a->programs, a->dir, &a->control, err);
    if (rc == 0 && a->control.block_bytes != PAGE_BYTES)
        rc = err_set(err, ENOTSUP, "%s has pages of %u bytes; a store holds pages of %u bytes",
                     a->dir, a->control.block_bytes, PAGE_BYTES);
    return rc == 0 ? find_facts(a, err) : rc;
}

/* What the store knows, and what was said now. */
static int merge_cluster(const struct adoption *a, struct store_cluster *c, struct err *err)
{
    const struct store_cluster *known = store_cluster(a->place.store);

    *c = known ? *known : (struct store_cluster){0};
    c->system_identifier = a->control.system_identifier;
    c->major = (uint32_t)a->programs.major;
    c->segment_bytes = a->control.segment_bytes;
    if ((a->log || a->o->restore_command) && known && known->slot)
        return err_set(err, EINVAL,
                       "the store %s receives its log with the replication slot \"%s\": a log "
                       "from elsewhere needs a store of its own",
                       a->place.path, known->slot);
    if (a->log && known && known->log && strcmp(known->log, a->log) != 0)
        return err_set(err, EINVAL, "the store %s takes its log from %s already", a->place.path,
                       known->log);
    if (a->log)
        c->log = a->log;
    if (a->o->restore_command)
        c->restore_command = (char *)a->o->restore_command;
    return 0;
}

/* A log of another segment size, or a cut one, is refused before it is relied on. */
static int check_log(const struct adoption *a, struct err *err)
{
    struct log_list l;
    int rc = a->log ? log_read(a->log, a->control.segment_bytes, &l, err) : 0;

    if (a->log && rc == 0)
        log_free(&l);
    return rc;
}

static int add(struct adoption *a, struct err *err)
{
    struct store_cluster cluster;
    int rc = open_or_make_place(&a->place, err);

    if (rc == 0)
        rc = look_at_directory(a, err);
    if (rc == 0)
        rc = merge_cluster(a, &cluster, err);
    if (rc == 0)
        rc = store_check_cluster(a->place.store, &cluster, err);
    if (rc == 0)
        rc = check_log(a, err);
    if (rc == 0)
        rc = store_add_base(a->place.store, a->dir, &a->facts, &a->id, err);
    if (rc < 0)
        return rc;
    rc = check_stopped(a->dir, err); /* nobody started one while its files were noted */
    if (rc == 0)
        rc = store_set_cluster(a->place.store, &cluster, err);
    if (rc < 0)
        store_drop_base(a->place.store, a->id, NULL);
    return rc;
}

static int find_paths(struct adoption *a, const char *dir, struct err *err)
{
    a->dir = realpath(dir, NULL);
    if (!a->dir)
        return err_errno(err, "cannot open %s", dir);
    if (a->o->log) {
        a->log = realpath(a->o->log, NULL);
        if (!a->log)
            return err_errno(err, "cannot open the log directory %s", a->o->log);
    }
    return 0;
}

static int run_add(const void *options, char **operands)
{
    const struct options *o = options;
    struct adoption a = {.o = o, .place = {.o = o, .path = operands[0]}};
    struct err err;
    int rc = find_paths(&a, operands[1], &err);

    if (rc == 0)
        rc = add(&a, &err);
    if (rc < 0)
        log_error("%s", err.text);
    else
        printf("%s\n", a.id);
    close_place(&a.place, rc);
    pg_programs_free(&a.programs);
    free(a.dir);
    free(a.log);
    free(a.id);
    return rc < 0 ? 1 : command_printed(0);
}

/* ---- advance ---- */

/* The exit status. again: it is done now and then, and that nothing is gained is no news. */
static int advance_once(const struct advance_request *req, bool again)
{
    struct advance_result r;
    struct err err;
    int rc = base_advance(req, &r, &err);

    if (rc < 0 && !(again && rc == -EINTR))
        log_error("%s%s", again ? "cannot advance: " : "", err.text);
    else if (rc == 0 && r.id && again)
        log_note("base %s is a layer on base %s", r.id, r.parent);
    else if (rc == 0 && r.id)
        printf("%s\n", r.id);
    else if (rc == 0 && !again)
        log_note("base %s stays the newest: the log behind it holds no checkpoint that could be "
                 "reached%s%s",
                 r.parent,
                 r.fetcher ? "\nthe command that fetches the log failed last with:\n" : "",
                 r.fetcher ? r.fetcher : "");
    advance_result_free(&r);
    return rc < 0 ? 1 : command_printed(0);
}

/* --every: until it is stopped, or standard input ends; failures are told. */
static int advance_again_and_again(const struct advance_request *req, struct stop *stop,
                                   int64_t every_ms, struct err *err)
{
    struct pollfd stopped = {.fd = stop->fd, .events = POLLIN};
    int rc = stop_watch(stop, STDIN_FILENO, err),
        wait = (int)(every_ms > INT_MAX ? INT_MAX : every_ms);

    if (rc < 0)
        return command_failed(err);
    while (poll(&stopped, 1, wait) == 0)
        advance_once(req, true);
    return 0;
}

/* root stays root here: it has to mount. */
static int run_advance(const void *options, char **operands)
{
    const struct options *o = options;
    struct advance_request req = {.store = operands[0],
                                  .until = o->until,
                                  .run_as = o->run_as,
                                  .bindir = o->bindir,
                                  .log = o->log,
                                  .restore_command = o->restore_command};
    struct stop stop;
    struct err err;
    int status;

    if (stop_open(&stop, &err) < 0)
        return command_failed(&err);
    req.stop_fd = stop.fd;
    status = o->every_ms ? advance_again_and_again(&req, &stop, o->every_ms, &err)
                         : advance_once(&req, false);
    stop_close(&stop, true);
    return status;
}

/* ---- list ---- */

/* The log, or an empty one where there is none (yet). */
static int read_log(const struct store *s, struct log_list *l, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    int rc;

    *l = (struct log_list){.segment_bytes = c ? c->segment_bytes : 1u << 24};
    if (!c)
        return 0;
    rc = log_read(store_log_directory(s), c->segment_bytes, l, err);
    return rc == -ENOENT && !c->log ? 0 : rc;
}

static void print_moment(const char *word, uint64_t lsn, int64_t seconds)
{
    char place[LSN_TEXT_MAX], when[40];

    printf("%s %s", word, lsn_text(lsn, place));
    if (seconds)
        printf(" (%s)", time_text(seconds, when));
}

/* From where to where it can be mounted. */
static void print_moments(const struct store *s, const struct store_base_facts *f,
                          const struct log_list *l)
{
    const struct store_cluster *c = store_cluster(s);
    struct timespec written;
    uint64_t end;
    char name[25], place[LSN_TEXT_MAX];
    bool covered = log_covers(l, f->timeline, f->start_lsn, &end, &written);

    if (f->consistent_lsn)
        print_moment("  moments: from", f->consistent_lsn, f->consistent_time);
    else
        printf("  moments: from where replay finds it consistent, behind %s",
               lsn_text(f->start_lsn, place));
    if (covered && end > f->consistent_lsn) {
        print_moment(" to", end, written.tv_sec);
    } else {
        log_segment_name(f->timeline, (covered ? end : f->start_lsn) / l->segment_bytes,
                         l->segment_bytes, name);
        printf(" on: the log has no segment %s", name);
    }
    puts(c && c->restore_command ? ", or as far as restore_command has log" : "");
}

static int print_base(struct store *s, const char *id, const struct log_list *l)
{
    struct store_base_facts f;
    struct store_base b;
    struct err err;

    if (store_open_base(s, id, &b, &err) < 0 || store_base_facts(s, id, &f, &err) < 0) {
        printf("base %s: cannot be opened\n", id);
        return command_failed(&err);
    }
    if (b.n_layers)
        printf("base %s: a layer on base %s\n", id,
               b.n_layers > 1 ? b.layer_ids[b.n_layers - 2] : b.directory_id);
    else
        printf("base %s: %s\n", id, b.directory);
    store_close_base(&b);
    if (f.plain)
        puts("  moments: not known (asofs store add-base)");
    else
        print_moments(s, &f, l);
    return 0;
}

static void print_gaps(const struct log_list *l)
{
    char first[25], last[25];
    struct timespec written;
    uint64_t end;
    size_t i = 0;

    while (i < l->n) {
        const struct log_segment *g = &l->segments[i];

        log_covers(l, g->timeline, g->number * l->segment_bytes, &end, &written);
        while (i < l->n && l->segments[i].number < end / l->segment_bytes)
            i++;
        if (i == l->n)
            return;
        g = &l->segments[i];
        if (g->number == end / l->segment_bytes)
            continue; /* a timeline that begins anew: no gap in the numbers */
        log_segment_name(g->timeline, end / l->segment_bytes, l->segment_bytes, first);
        log_segment_name(g->timeline, g->number - 1, l->segment_bytes, last);
        if (strcmp(first, last) == 0)
            printf("  gap: %s is missing\n", first);
        else
            printf("  gap: %s to %s are missing\n", first, last);
    }
}

static void print_log(const struct store *s, const struct log_list *l)
{
    const struct store_cluster *c = store_cluster(s);
    char bytes[32], when[40];
    const struct log_segment *last = l->n ? &l->segments[l->n - 1] : NULL;

    printf("log: %s: %zu segments, %s", store_log_directory(s), l->n,
           units_format_size((uint64_t)l->n * l->segment_bytes, bytes, sizeof(bytes)));
    if (last)
        printf(", last received %s", time_text(last->written.tv_sec, when));
    putchar('\n');
    print_gaps(l);
    if (c->restore_command)
        printf("restore_command: %s\n", c->restore_command);
}

/* The server may be away: that is no failure of a list. */
static void print_slot(const struct store_cluster *c)
{
    bool active;
    struct err err;
    char bytes[32], *p;
    int64_t retained;

    if (!c->slot)
        return;
    fflush(stdout);
    retained = pg_slot_retained(c->conninfo, c->slot, &active, &err);
    if (retained >= 0) {
        printf("slot %s: the server keeps %s for it, %s\n", c->slot,
               units_format_size((uint64_t)retained, bytes, sizeof(bytes)),
               active ? "it is being received" : "nobody receives it");
        return;
    }
    while ((p = strchr(err.text, '\n')))
        *p = ' ';
    printf("slot %s: not known: %s\n", c->slot, err.text);
}

static int list(struct place *p, struct err *err)
{
    struct log_list l = {0};
    char **ids = NULL, **id;
    int status = 0, rc = store_bases(p->store, &ids, err);

    if (rc == 0)
        rc = read_log(p->store, &l, err);
    for (id = ids; rc == 0 && *id; id++)
        status |= print_base(p->store, *id, &l);
    if (rc == 0 && store_cluster(p->store)) {
        print_log(p->store, &l);
        print_slot(store_cluster(p->store));
    }
    log_free(&l);
    store_names_free(ids);
    return rc < 0 ? rc : status;
}

static int run_list(const void *options, char **operands)
{
    const struct options *o = options;
    struct place p = {.o = o, .path = operands[0]};
    struct err err;
    int rc = open_place(&p, false, &err);

    if (rc == 0)
        rc = list(&p, &err);
    if (rc < 0)
        log_error("%s", err.text);
    close_place(&p, rc);
    return rc < 0 ? 1 : command_printed(rc);
}

/* ---- drop ---- */

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
        rc = store_drop_base(s, ids[--n], err);
    store_names_free(ids);
    return rc;
}

/* The store forgets the slot only when it is gone. */
static int drop_slot(struct store *s, struct err *err)
{
    const struct store_cluster *known = store_cluster(s);
    struct store_cluster without;
    int rc;

    if (!known || !known->slot)
        return 0;
    rc = pg_slot_drop(known->conninfo, known->slot, err);
    if (rc < 0 && rc != -ENOENT)
        return err_hint(err,
                        "The bases are dropped, but the server still keeps log for the replication "
                        "slot \"%s\". Try again, or drop it there: "
                        "SELECT pg_drop_replication_slot('%s')",
                        known->slot, known->slot);
    without = *known;
    without.conninfo = without.slot = NULL;
    return store_set_cluster(s, &without, err);
}

/* What was received for bases that are gone; a log elsewhere is not ours. */
static int drop_log(struct store *s, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);
    int rc = c && c->log ? 0 : io_remove_tree(store_log_directory(s));

    return rc < 0 && rc != -ENOENT
               ? err_set(err, -rc, "cannot remove %s: %s", store_log_directory(s), strerror(-rc))
               : 0;
}

static int drop(const struct options *o, struct store *s, const char *id, struct err *err)
{
    int rc;

    if (!o->all)
        return store_drop_base(s, id, err);
    rc = drop_bases(s, err);
    if (rc == 0)
        rc = drop_slot(s, err);
    if (rc == 0)
        rc = drop_log(s, err);
    return rc;
}

static int run_drop(const void *options, char **operands)
{
    const struct options *o = options;
    struct place p = {.o = o, .path = operands[0]};
    struct err err;
    int rc;

    if (!o->all == !operands[1]) {
        err_set(&err, EINVAL, "STORE and either ID or --all are needed");
        return usage_error("base drop", &err);
    }
    rc = open_place(&p, false, &err);
    if (rc == 0)
        rc = drop(o, p.store, operands[1], &err);
    if (rc < 0)
        log_error("%s", err.text);
    close_place(&p, rc);
    return rc < 0;
}

/* ---- which of them ---- */

#define HELP_ROW                                                                                   \
    {                                                                                              \
        "help", 'h', false, false, set_help                                                        \
    }
#define RUN_AS_ROW                                                                                 \
    {                                                                                              \
        "run-as", 0, true, false, set_run_as                                                       \
    }
#define BINDIR_ROW                                                                                 \
    {                                                                                              \
        "bindir", 0, true, false, set_bindir                                                       \
    }

static const struct option_def create_defs[] = {
    {"slot", 0, true, false, set_slot},
    {"unbounded-slot", 0, false, false, set_unbounded_slot},
    {"quiet", 'q', false, false, set_quiet},
    RUN_AS_ROW,
    BINDIR_ROW,
    HELP_ROW,
    {0}};
static const struct option_def follow_defs[] = {
    {"restart-delay", 0, true, false, set_restart_delay},
    {"advance-every", 0, true, false, set_advance_every},
    RUN_AS_ROW,
    BINDIR_ROW,
    HELP_ROW,
    {0}};
static const struct option_def add_defs[] = {
    {"log", 0, true, false, set_log},
    {"restore-command", 0, true, false, set_restore_command},
    {"crashed", 0, false, false, set_crashed},
    RUN_AS_ROW,
    BINDIR_ROW,
    HELP_ROW,
    {0}};
static const struct option_def advance_defs[] = {
    {"at", 0, true, false, set_at},
    {"lsn", 0, true, false, set_lsn},
    {"every", 0, true, false, set_every},
    {"log", 0, true, false, set_log},
    {"restore-command", 0, true, false, set_restore_command},
    RUN_AS_ROW,
    BINDIR_ROW,
    HELP_ROW,
    {0}};
static const struct option_def list_defs[] = {RUN_AS_ROW, HELP_ROW, {0}};
static const struct option_def drop_defs[] = {
    {"all", 0, false, false, set_all}, RUN_AS_ROW, HELP_ROW, {0}};

#define RUN_AS_HELP                                                                                \
    "  --run-as=USER       who does it, when root starts it (default: the store's owner)\n"
#define BINDIR_HELP "  --bindir=DIR        where PostgreSQL's programs are\n"
#define HELP_HELP "  -h, --help          this text\n"

static const struct subcommand subcommands[] = {
    {"create", "STORE and CONNINFO are",
     "Usage: asofs base create STORE CONNINFO [OPTION]...\n"
     "Take a base from a running server with pg_basebackup, and print its id. The server keeps "
     "its\n"
     "log for the store from then on, in a replication slot: asofs base follow fetches it. STORE "
     "is\n"
     "made when it does not exist.\n\n"
     "  --slot=NAME         the replication slot that is made (default: asofs)\n"
     "  --unbounded-slot    also when the server sets no bound to what it keeps for a slot\n"
     "  -q, --quiet         no progress\n" RUN_AS_HELP BINDIR_HELP HELP_HELP,
     create_defs, 2, 2, run_create},
    {"follow", "STORE is",
     "Usage: asofs base follow STORE [OPTION]...\n"
     "Receive the log of the server that the store's base is of, with pg_receivewal, until "
     "SIGTERM\n"
     "or SIGINT. When the server is away, try again and again.\n\n"
     "  --restart-delay=DURATION\n"
     "                      the longest pause between two attempts (default: 30s)\n"
     "  --advance-every=DURATION\n"
     "                      advance the newest base that often (asofs base advance)\n" RUN_AS_HELP
         BINDIR_HELP HELP_HELP,
     follow_defs, 1, 1, run_follow},
    {"add", "STORE and DIR are",
     "Usage: asofs base add STORE DIR [OPTION]...\n"
     "Adopt a data directory in place as a base, and print its id: a restored backup, or what a\n"
     "server or standby left that was shut down. DIR is never written, and must not change from "
     "now\n"
     "on. STORE is made when it does not exist.\n\n"
     "  --log=DIR           where its log is archived\n"
     "  --restore-command=COMMAND\n"
     "                      what fetches a segment %f of it to %p\n"
     "  --crashed           also what a crash or an atomic snapshot left, without a "
     "backup_label\n" RUN_AS_HELP BINDIR_HELP HELP_HELP,
     add_defs, 2, 2, run_add},
    {"advance", "STORE is",
     "Usage: asofs base advance STORE [OPTION]...\n"
     "Replay the newest base forward into a layer on it, a base of its own, and print its id. "
     "Later\n"
     "moments are then mounted from there, and replay little. Without a checkpoint in the log "
     "behind\n"
     "the newest base nothing is made.\n\n"
     "  --at=TIME           no further than to this time (default: to the end of the log)\n"
     "  --lsn=LSN           no further than to this place on the log\n"
     "  --log=DIR           where the log is, if not where the store says\n"
     "  --restore-command=COMMAND\n"
     "                      what fetches a segment %f of it to %p\n" RUN_AS_HELP BINDIR_HELP
         HELP_HELP,
     advance_defs, 1, 1, run_advance},
    {"list", "STORE is",
     "Usage: asofs base list STORE\n"
     "The bases of a store, from which moment to which they can be mounted, the log with its "
     "gaps,\n"
     "and what the server keeps.\n\n" RUN_AS_HELP HELP_HELP,
     list_defs, 1, 1, run_list},
    {"drop", "STORE and either ID or --all are",
     "Usage: asofs base drop STORE ID\n"
     "       asofs base drop STORE --all\n"
     "Remove a base that no view and no layer stands on. A directory that was adopted stays.\n\n"
     "  --all               all bases, the log that was received, and the slot on the "
     "server\n" RUN_AS_HELP HELP_HELP,
     drop_defs, 1, 2, run_drop},
};

static const char general_help[] =
    "Usage: asofs base COMMAND STORE ...\n"
    "Bases are what past moments are mounted from, with the log that follows them.\n\n"
    "  asofs base create STORE CONNINFO    take one from a running server\n"
    "  asofs base follow STORE             keep its log coming\n"
    "  asofs base add STORE DIR            adopt a data directory in place\n"
    "  asofs base advance STORE            replay the newest forward, so that later moments are "
    "near\n"
    "  asofs base list STORE               what there is, and which moments can be mounted\n"
    "  asofs base drop STORE ID|--all      remove one, or all and the slot\n\n"
    "The manual is asofs-base(1).\n";

int cmd_base(int argc, char **argv)
{
    static const struct subcommands all = {"base", general_help, subcommands,
                                           sizeof(subcommands) / sizeof(*subcommands), true};
    struct options o = {.restart_delay_ms = DEFAULT_DELAY_MS};
    int status = subcommand_main(&all, &o, &o.help, argc, argv);

    moment_free(&o.until);
    return status;
}
