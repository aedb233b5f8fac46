#include "replay/livefreeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "pages/page.h"
#include "pg/control.h"
#include "replay/making.h"
#include "store/livewal.h"
#include "store/walcut.h"

#define TRIES 3        /* the server may use log again while it is copied */
#define FREEZE_TRIES 8 /* somebody else freezes, too, past the store */

struct livefreeze {
    struct store *store;
    const struct pg_programs *programs;
    struct store_live live;
    struct store_freeze freeze;
    char *tree; /* of the freeze; NULL: none yet */
    struct pg_control control;
    struct store_base_facts facts;
};

bool livefreeze_is_served(struct store *s)
{
    struct store_live l;
    bool served = store_find_live(s, &l, NULL) == 1 && l.mount;

    store_live_free(&l);
    return served;
}

static char *wal_of(const struct store *s, uint64_t number)
{
    return mem_printf("%s/epoch/%" PRIu64 "/wal", store_path(s), number);
}

/* ---- freezes there are ---- */

static bool is_number(const char *name, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(name, &end, 10);
    return *name >= '1' && *name <= '9' && !*end && errno == 0;
}

/* Calls `each` for every freeze of the live base, oldest last or in any other order. 0; -errno: the
 * trees cannot be looked at. */
static int list_freezes(const struct store_live *l, void (*each)(void *arg, uint64_t number),
                        void *arg)
{
    char *path = mem_printf("%s/" STORE_FREEZES, l->mount);
    DIR *dir = opendir(path);
    int rc = dir ? 0 : -errno;
    struct dirent *e;
    uint64_t number;

    while (dir && (e = readdir(dir)))
        if (is_number(e->d_name, &number))
            each(arg, number);
    if (dir)
        closedir(dir);
    free(path);
    return rc;
}

/* ---- what goes ---- */

/* The bases that are freezes, as far as one is not understood: -errno. */
static int each_base(struct store *s,
                     void (*each)(void *arg, const char *id, uint64_t number, const char *view),
                     void *arg, struct err *err)
{
    char **ids, **id, *view;
    uint64_t number;
    int rc = store_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    for (id = ids; *id && rc >= 0; id++) {
        rc = store_is_frozen(s, *id, &number, &view, err);
        if (rc == 1)
            each(arg, *id, number, view);
        free(view);
    }
    store_names_free(ids);
    return rc < 0 ? rc : 0;
}

struct clearing {
    struct store *store;
    const struct store_live *live;
    uint64_t *taken; /* numbers of bases */
    size_t n, room;
};

static void take_number(void *arg, const char *id, uint64_t number, const char *view)
{
    struct clearing *c = arg;

    (void)id, (void)view;
    c->taken = mem_grow(c->taken, c->n, &c->room, sizeof(*c->taken));
    c->taken[c->n++] = number;
}

static void drop_if_nobodys(void *arg, uint64_t number)
{
    const struct clearing *c = arg;
    char *tree;
    size_t i;

    for (i = 0; i < c->n; i++)
        if (c->taken[i] == number)
            return;
    tree = store_freeze_path(c->live, number);
    if (rmdir(tree) < 0)
        log_debug("cannot drop the freeze %s: %s", tree, strerror(errno));
    free(tree);
}

/* Neither there, nor being made. */
static bool is_gone(struct store *s, const char *view)
{
    int fd;

    return !store_has_view(s, view) && making_lock(s, view, false, &fd, NULL) == 0;
}

/* Not, if something else stands on it. */
static void drop_of_gone_view(void *arg, const char *id, uint64_t number, const char *view)
{
    struct clearing *c = arg;

    (void)number;
    if (view && is_gone(c->store, view))
        store_drop_base(c->store, id, NULL);
}

/* The lock of the freezes is held. With a base that is not understood, nothing goes. */
static void clear_locked(struct store *s, const struct store_live *l)
{
    struct clearing c = {.store = s, .live = l};

    if (each_base(s, drop_of_gone_view, &c, NULL) == 0 && l->mount && store_is_served(s) &&
        each_base(s, take_number, &c, NULL) == 0)
        list_freezes(l, drop_if_nobodys, &c);
    livewal_prune(s);
    free(c.taken);
}

void livefreeze_clear(struct store *s)
{
    struct store_live l;
    int lock;

    if (store_find_live(s, &l, NULL) == 1 && store_lock_freezes(s, &lock, NULL) == 0) {
        clear_locked(s, &l);
        close(lock);
    }
    store_live_free(&l);
}

struct finding {
    uint64_t number;
    char *id;
};

static void find_number(void *arg, const char *id, uint64_t number, const char *view)
{
    struct finding *f = arg;

    (void)view;
    if (number == f->number && !f->id)
        f->id = mem_strdup(id);
}

/* 1: the base that a freeze is, *id is freed by the caller; 0: it is none. */
static int find_base(struct store *s, uint64_t number, char **id, struct err *err)
{
    struct finding f = {.number = number};
    int rc = each_base(s, find_number, &f, err);

    *id = rc == 0 ? f.id : NULL;
    if (rc < 0)
        free(f.id);
    return rc < 0 ? rc : f.id != NULL;
}

int livefreeze_drop(struct store *s, const char *id, struct err *err)
{
    uint64_t number;
    char *view;
    int frozen = store_is_frozen(s, id, &number, &view, NULL), rc = store_drop_base(s, id, err);

    free(view);
    if (rc == 0 && frozen == 1)
        livefreeze_clear(s);
    return rc;
}

static int drop_tree(struct store *s, uint64_t number, struct err *err)
{
    struct store_live l;
    int rc = store_find_live(s, &l, err);
    char *tree = rc == 1 && l.mount ? store_freeze_path(&l, number) : NULL;

    if (rc >= 0 && (!tree || rmdir(tree) < 0))
        rc = !tree || errno == ENOENT ? err_set(err, ENOENT, "there is no freeze %" PRIu64 " of %s",
                                                number, store_path(s))
                                      : err_errno(err, "cannot drop freeze %" PRIu64, number);
    free(tree);
    store_live_free(&l);
    return rc < 0 ? rc : 0;
}

/* Of no base, also when one that was being made of it is complete. 1: it is the base *id. */
static int drop_nobodys(struct store *s, uint64_t number, char **id, struct err *err)
{
    int lock, rc = store_lock_freezes(s, &lock, err);

    *id = NULL;
    if (rc < 0)
        return rc;
    rc = find_base(s, number, id, err);
    if (rc == 0)
        rc = drop_tree(s, number, err);
    close(lock);
    return rc;
}

int livefreeze_drop_number(struct store *s, uint64_t number, struct err *err)
{
    char *id;
    int rc = drop_nobodys(s, number, &id, err);

    if (rc == 1)
        rc = livefreeze_drop(s, id, err);
    free(id);
    return rc;
}

char *livefreeze_wal(struct store *s, const char *id)
{
    uint64_t number;
    char *view;
    int frozen = store_is_frozen(s, id, &number, &view, NULL);

    free(view);
    return frozen == 1 ? wal_of(s, number) : NULL;
}

/* ---- freezing ---- */

static int refuse_unserved(const struct livefreeze *z, int rc, struct err *err)
{
    const char *mount = z->live.mount, *store = store_path(z->store);

    return err_set(err, -rc, "the live base %s is not served%s%s now: asofs live %s %s serves it",
                   z->live.directory, mount ? " at " : "", mount ? mount : "", store,
                   mount ? mount : "DIR");
}

static int freeze_next(struct livefreeze *z)
{
    int rc = store_next_freeze(&z->live, &z->freeze.number);

    if (rc < 0)
        return rc;
    z->tree = store_freeze_path(&z->live, z->freeze.number);
    if (mkdir(z->tree, 0700) == 0)
        return 0;
    rc = -errno;
    free(z->tree);
    z->tree = NULL;
    return rc;
}

static int freeze(struct livefreeze *z, struct err *err)
{
    bool served = z->live.mount && store_is_served(z->store);
    int i, rc = served ? -EEXIST : -ENOTCONN;

    for (i = 0; i < FREEZE_TRIES && rc == -EEXIST; i++)
        rc = freeze_next(z);
    if (rc == -ENOTCONN || rc == -ENOENT)
        return refuse_unserved(z, rc, err);
    if (rc == -ESTALE)
        return err_set(err, ESTALE,
                       "%s was changed past asofs while it is served (is a server started on it?): "
                       "stop whatever uses it, unmount %s, and serve it again",
                       z->live.directory, z->live.mount);
    if (rc == -EBUSY)
        return err_set(err, EBUSY,
                       "%s was not frozen: calls of the server are under way that do not end; "
                       "nothing came of it, try again",
                       z->live.directory);
    if (rc == -EMFILE)
        return err_set(err, EMFILE,
                       "%s has as many freezes as the limit of open files of its process lets it "
                       "have: drop some (asofs base drop), or raise that",
                       z->live.directory);
    return rc < 0 ? err_set(err, -rc, "cannot freeze %s at %s: %s", z->live.directory,
                            z->live.mount, strerror(-rc))
                  : 0;
}

static int check_label(const struct livefreeze *z, struct err *err)
{
    struct pg_backup_label label;
    int rc = pg_backup_label_read(z->tree, &label, err);

    return rc == 1 ? err_set(err, EBUSY,
                             "a backup of %s is being taken, or was restored and is not consistent "
                             "yet (it has a backup_label): freeze it later",
                             z->live.directory)
                   : rc;
}

/* What of it can be recovered as after a crash. */
static int check_control(const struct livefreeze *z, struct err *err)
{
    const struct pg_control *c = &z->control;
    const struct store_cluster *known = store_cluster(z->store);

    if (known && known->system_identifier != c->system_identifier)
        return err_set(err, EINVAL,
                       "%s is of another cluster than the store %s (%" PRIu64 ", not %" PRIu64 ")",
                       z->live.directory, store_path(z->store), c->system_identifier,
                       known->system_identifier);
    if (c->state == PG_STATE_OTHER)
        return err_set(err, EAGAIN,
                       "the server on %s is neither running nor stopped (pg_control says \"%s\"): "
                       "freeze it when it is",
                       z->live.directory, c->state_text);
    if (c->backup_start)
        return err_set(err, EBUSY,
                       "%s is a backup whose recovery is not consistent yet: freeze it when it is",
                       z->live.directory);
    if (!c->full_page_writes)
        return err_set(err, EINVAL,
                       "full_page_writes is off on %s, and a freeze is recovered as after a crash: "
                       "set it on, and wait for a checkpoint",
                       z->live.directory);
    return check_label(z, err);
}

/* A link leads to where the server, which works in the mount, finds it. *inside: it is none. */
static char *log_of_server(const struct livefreeze *z, bool *inside)
{
    char *path = mem_printf("%s/pg_wal", z->live.directory);
    struct stat st;

    *inside = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (!*inside) {
        free(path);
        path = mem_printf("%s/pg_wal", z->live.mount);
    }
    return path;
}

/* Its log, and from when on it can be shown: from the end of that. */
static int take_log(struct livefreeze *z, struct err *err)
{
    const struct pg_control *c = &z->control;
    bool inside;
    char *pg_wal = log_of_server(z, &inside), *to = wal_of(z->store, z->freeze.number);
    struct walcut cut = {.pg_wal = pg_wal,
                         .to = to,
                         .system = c->system_identifier,
                         .segment_bytes = c->segment_bytes,
                         .timeline = c->timeline,
                         .from = c->redo,
                         .link = inside};
    int64_t last = c->checkpoint_time;
    struct wal_reach reach;
    int rc = wal_cut(&cut, &reach, err);

    if (rc == 0 && c->min_recovery > reach.end)
        rc = err_set(err, EAGAIN, "the log in %s ends in front of what its standby has replayed",
                     pg_wal);
    if (reach.time_us / 1000000 > last)
        last = reach.time_us / 1000000;
    z->facts = (struct store_base_facts){.start_lsn = c->redo,
                                         .start_time = c->checkpoint_time,
                                         .consistent_lsn = reach.end,
                                         .consistent_time = last + 1,
                                         .timeline = reach.timeline};
    free(to);
    free(pg_wal);
    return rc;
}

static int make_once(struct livefreeze *z, char **id, struct err *err)
{
    int rc = freeze(z, err);

    if (rc == 0)
        rc = pg_control_read(z->programs, z->tree, &z->control, err);
    if (rc == 0)
        rc = check_control(z, err);
    if (rc == 0)
        rc = take_log(z, err);
    if (rc == 0)
        rc = store_add_frozen(z->store, &z->freeze, &z->facts, id, err);
    if (rc < 0 && z->tree)
        rmdir(z->tree);
    free(z->tree);
    z->tree = NULL;
    return rc;
}

static int make(struct livefreeze *z, char **id, struct err *err)
{
    int lock, rc = store_find_live(z->store, &z->live, err), i;

    if (rc == 0)
        return err_set(err, ENOENT, "%s has no live base (asofs base add --live)",
                       store_path(z->store));
    if (rc == 1)
        rc = store_lock_freezes(z->store, &lock, err);
    if (rc < 0)
        return rc;
    clear_locked(z->store, &z->live);
    rc = -EAGAIN;
    for (i = 0; rc == -EAGAIN && i < TRIES; i++)
        rc = make_once(z, id, err);
    close(lock);
    return rc;
}

int livefreeze_make(struct store *s, const struct pg_programs *p, const struct store_freeze *what,
                    char **id, struct err *err)
{
    struct livefreeze z = {.store = s, .programs = p, .freeze = *what};
    int rc = make(&z, id, err);

    store_live_free(&z.live);
    return rc;
}
