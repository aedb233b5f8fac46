#include "live/livedir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "live/livestate.h"

#define KEEPER_SECONDS 1
#define PINNED_MAX 8192
#define EPOCH_DESCRIPTORS 3
#define LOCK_TRIES 10

/* ---- the keeper ---- */

static bool wait_for_work(struct livedir *l)
{
    struct timespec until;
    bool go_on;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += KEEPER_SECONDS;
    pthread_mutex_lock(&l->keeping);
    if (!l->wake) {
        l->kept_up = true;
        pthread_cond_broadcast(&l->done);
    }
    while (!l->wake && !l->stop &&
           pthread_cond_timedwait(&l->woken, &l->keeping, &until) != ETIMEDOUT)
        ;
    l->wake = false;
    go_on = !l->stop;
    pthread_mutex_unlock(&l->keeping);
    return go_on;
}

static void *keep_up(void *arg)
{
    struct livedir *l = arg;

    while (wait_for_work(l)) {
        pthread_mutex_lock(&l->making);
        live_prepare(l, NULL); /* else the freeze itself says why it cannot be made */
        pthread_mutex_unlock(&l->making);
        live_watch_others(l);
        live_watch_space(l);
        live_let_go(l);
        live_tidy(l);
        live_write_back(l);
    }
    return NULL;
}

static void stop_keeper(struct livedir *l)
{
    pthread_mutex_lock(&l->keeping);
    l->stop = true;
    pthread_cond_signal(&l->woken);
    pthread_mutex_unlock(&l->keeping);
    pthread_join(l->keeper, NULL);
}

/* ---- what an earlier process left ---- */

struct numbers {
    uint64_t *of;
    size_t n, room;
};

static int add_number(struct numbers *list, const char *name)
{
    uint64_t *more;
    char *end;
    uint64_t number = strtoull(name, &end, 10);

    if (*end || number == 0 || name[0] < '1' || name[0] > '9')
        return 0; /* none of ours */
    if (list->n == list->room) {
        more = realloc(list->of, (list->room * 2 + 16) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        list->of = more;
        list->room = list->room * 2 + 16;
    }
    list->of[list->n++] = number;
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int list_numbers(int dir, struct numbers *list)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!d) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, e = readdir(d)))
        rc = add_number(list, e->d_name);
    if (rc == 0 && errno)
        rc = -errno;
    closedir(d);
    if (list->n)
        qsort(list->of, list->n, sizeof(*list->of), by_number);
    return rc;
}

static bool is_of_this_run(const struct epoch *e)
{
    char boot_id[HEADER_BOOT_ID];

    header_boot_id(boot_id);
    return *boot_id && strcmp(boot_id, e->header.boot_id) == 0;
}

static int take_epoch(struct livedir *l, uint64_t number, struct err *err)
{
    struct epoch *e;
    int rc = epoch_open(l->epochs, number, &e, err);

    if (rc < 0)
        return rc;
    if (e->header.state == HEADER_PREPARED) {
        rc = epoch_remove(l->epochs, e);
        epoch_release(e);
        return rc < 0
                   ? err_set(err, -rc, "cannot remove epoch %" PRIu64 ": %s", number, strerror(-rc))
                   : 0;
    }
    live_append_epoch(l, e);
    return 0;
}

/* ---- an epoch's contents ---- */

struct replay {
    struct livedir *l;
    struct epoch *e;
};

static int replay_size(struct replay *r, const struct journal_record *record)
{
    struct past *p = past_get(&r->l->pasts, record->id, true);
    struct old_file *x;
    int rc = p ? 0 : -ENOMEM;

    if (rc == 0 && !past_of_epoch(p, r->e))
        rc = past_add(p, r->e, record->size, STORAGE_UNKNOWN, &x);
    past_put(p);
    return rc;
}

static int replay_record(void *arg, const struct journal_record *record)
{
    struct replay *r = arg;
    struct node *n;

    if (record->type == JOURNAL_SIZE)
        return replay_size(r, record);
    if (record->type == JOURNAL_BORN) {
        n = nodes_of_id(&r->l->nodes, record->id);
        if (n && n->born < r->e->number)
            n->born = r->e->number;
        return 0;
    }
    if (past_names_said(&r->l->names, r->e->number, record->dir, record->name))
        return 0;
    return past_names_add(&r->l->names, r->e->number, record->dir, record->name, record->id,
                          record->mode);
}

/* A file is kept where it has its own id as its name, and no live one: else its moving was cut
 * short. */
static int take_kept(void *arg, const char *name)
{
    struct replay *r = arg;
    char path[EPOCH_KEPT_MAX], *end;
    uint64_t id = strtoull(name, &end, 16);
    struct past *p;
    struct stat st;

    if (*end || strlen(name) != 16)
        return 0;
    epoch_kept_path(path, id);
    if (fstatat(r->e->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (st.st_ino != id || nodes_of_id(&r->l->nodes, id))
        return unlinkat(r->e->dir, path, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
    p = past_get(&r->l->pasts, id, true);
    if (!p)
        return -ENOMEM;
    past_set_kept(p, r->e);
    past_put(p);
    return 0;
}

static bool is_of_epoch(const struct past *p, void *e)
{
    return past_of_epoch(p, e);
}

/* After a crash of the operating system: what of a durable epoch did not reach the disk. */
static int check_pages(struct livedir *l, struct epoch *e)
{
    size_t n, i;
    struct past **list = pasts_select(&l->pasts, is_of_epoch, e, &n);
    struct old_file *x;
    int rc = list ? 0 : -ENOMEM;

    for (i = 0; list && i < n; i++) {
        x = past_of_epoch(list[i], e);
        if (rc == 0)
            rc = old_file_pin(list[i], x, false);
        if (rc == 0)
            old_file_unpin(list[i], x);
        held_shut(&l->pasts.held, &x->held);
        rc = rc == -ENOENT ? 0 : rc;
        past_put(list[i]);
    }
    free(list);
    e->suspect = false;
    return rc;
}

static int take_contents(struct livedir *l, struct epoch *e, struct err *err)
{
    struct replay r = {l, e};
    int rc = epoch_replay(e, replay_record, &r, err);

    if (rc < 0)
        return rc;
    rc = e->disk->ops->list(e->disk, "kept", take_kept, &r);
    if (rc == 0 && e->suspect)
        rc = check_pages(l, e);
    if (rc == 0)
        epoch_measure(e);
    return rc < 0 ? err_set(err, -rc, "cannot read epoch %" PRIu64 ": %s", e->number, strerror(-rc))
                  : 0;
}

/* ---- what holds of it ---- */

/* NULL, or why what the epoch had is not to be trusted. */
static const char *lost_in_crash(const struct epoch *e)
{
    if (e->header.state == HEADER_GIVEN_UP)
        return e->header.why;
    if (e->header.closed || e->durable || is_of_this_run(e))
        return NULL;
    return "the operating system ended while it was in use, and its old pages were not yet "
           "durable";
}

static bool is_suspect(const struct epoch *e)
{
    return !e->header.closed && !is_of_this_run(e);
}

static const char *changed_since(struct livedir *l)
{
    const char *why = live_changed(l, !l->last || is_suspect(l->last));

    if (!l->last || (is_suspect(l->last) && !l->last->durable))
        return NULL; /* it is lost anyway, and what was noted of it may be older than it */
    return why;
}

/* A header that cannot be read says less than what else there is. */
static const char *better_why(const char *why, bool vague, const struct epoch *e)
{
    const char *own = lost_in_crash(e);

    return own && (!why || vague) ? own : why;
}

/* Older ones need what a newer one lost. */
static void judge(struct livedir *l)
{
    struct epoch *e;
    const char *why = changed_since(l);
    bool vague = false;
    struct err err;

    for (e = l->last; e; e = e->older) {
        why = better_why(why, vague, e);
        vague = e->unread;
        e->suspect = is_suspect(e);
        if (!why && take_contents(l, e, &err) < 0)
            why = err.text;
        if (!why || e->header.state == HEADER_GIVEN_UP)
            continue;
        if (e->header.state == HEADER_OPEN)
            livedir_give_up(l, e->number, why);
    }
}

/* From now on a crash finds them in use: also one of the operating system, so that reaches the disk
 * before anything changes. */
static int mark_in_use(struct livedir *l, struct err *err)
{
    struct epoch *e;
    int rc = 0;

    for (e = l->oldest; e && rc == 0; e = e->newer) {
        e->header.closed = 0;
        rc = header_write(e->dir, &e->header, true);
        if (rc < 0) { /* a full disk keeps no server from starting */
            header_overwrite(e->dir, &e->header);
            rc = syncfs(l->epochs) < 0 ? -errno : 0;
        }
        if (rc < 0)
            err_set(err, -rc, "cannot write epoch %" PRIu64 ": %s", e->number, strerror(-rc));
    }
    return rc;
}

static int take_up(struct livedir *l, struct err *err)
{
    struct numbers list = {0};
    size_t i;
    int rc = epoch_clear_remains(l->epochs);

    if (rc == 0)
        rc = list_numbers(l->epochs, &list);
    if (rc < 0)
        err_set(err, -rc, "cannot list the epochs: %s", strerror(-rc));
    for (i = 0; rc == 0 && i < list.n; i++)
        rc = take_epoch(l, list.of[i], err);
    free(list.of);
    if (rc < 0)
        return rc;
    judge(l);
    l->lasting = l->options.durable || (l->last && l->last->durable);
    rc = mark_in_use(l, err);
    if (l->last) {
        atomic_store(&l->last->saving, true);
        live_update_saving(l);
        atomic_store(&l->newest, l->last);
    }
    if (rc == 0 && (rc = live_note_root(l)) < 0)
        err_set(err, -rc, "cannot note what the data directory is: %s", strerror(-rc));
    return rc;
}

/* ---- opening ---- */

/* The server's own files come first: of the descriptors there may be, two eighths are for old files
 * that are written to, two for those that are read, and two for epochs. */
static void share_descriptors(struct livedir *l)
{
    struct rlimit r;
    uint64_t share = getrlimit(RLIMIT_NOFILE, &r) < 0 ? 64 : r.rlim_cur / 8;

    l->most_pinned = share < PINNED_MAX ? share : PINNED_MAX;
    l->most_epochs = share * 2 / EPOCH_DESCRIPTORS;
    l->pasts.held.most = share < HELD_MAX ? (size_t)share : HELD_MAX;
}

static struct livedir *new_livedir(const struct livedir_options *options)
{
    struct livedir *l = calloc(1, sizeof(*l));
    pthread_rwlockattr_t writers_first;
    pthread_condattr_t monotonic;
    size_t i;

    if (!l)
        return NULL;
    l->options = *options;
    l->dir = l->epochs = l->lock = l->wal.dir = -1;
    phase_init(&l->phase);
    pasts_init(&l->pasts, &l->phase);
    share_descriptors(l);
    pthread_rwlockattr_init(&writers_first);
    pthread_rwlockattr_setkind_np(&writers_first, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&l->tree, &writers_first);
    pthread_rwlockattr_destroy(&writers_first);
    pthread_mutex_init(&l->wal.leaving, NULL);
    pthread_mutex_init(&l->opening, NULL);
    pthread_mutex_init(&l->seeing, NULL);
    pthread_mutex_init(&l->making, NULL);
    pthread_mutex_init(&l->list, NULL);
    pthread_mutex_init(&l->rooming, NULL);
    pthread_mutex_init(&l->tidying, NULL);
    pthread_mutex_init(&l->keeping, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->woken, &monotonic);
    pthread_cond_init(&l->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (i = 0; i < LIVE_STRIPES; i++)
        pthread_mutex_init(&l->runs[i], NULL);
    return l;
}

static int open_dirs(struct livedir *l, const char *data, const char *epochs, struct err *err)
{
    l->dir = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->dir < 0)
        return err_errno(err, "cannot open the data directory %s", data);
    if (mkdir(epochs, 0700) < 0 && errno != EEXIST)
        return err_errno(err, "cannot make %s", epochs);
    l->epochs = open(epochs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->epochs < 0)
        return err_errno(err, "cannot open %s", epochs);
    return 0;
}

/* Who looks whether somebody serves has the lock for a moment. */
static int take_lock(int fd)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    int i, rc = -EWOULDBLOCK;

    for (i = 0; i < LOCK_TRIES && rc == -EWOULDBLOCK; i++) {
        if (i)
            nanosleep(&moment, NULL);
        rc = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
    }
    return rc;
}

static int lock_epochs(struct livedir *l, const char *epochs, struct err *err)
{
    int rc;

    l->lock = openat(l->epochs, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->lock < 0)
        return err_errno(err, "cannot open %s/lock", epochs);
    rc = take_lock(l->lock);
    if (rc == -EWOULDBLOCK)
        return err_set(err, EBUSY, "%s: another process serves from there", epochs);
    return rc < 0 ? err_set(err, -rc, "cannot lock %s/lock: %s", epochs, strerror(-rc)) : 0;
}

/* Also from other epochs: what one process writes is changed past the other. */
static int lock_data(struct livedir *l, const char *data, struct err *err)
{
    int rc = take_lock(l->dir);

    if (rc == -EWOULDBLOCK)
        return err_set(err, EBUSY, "another process serves %s, from another store", data);
    return rc < 0 ? err_set(err, -rc, "cannot lock %s: %s", data, strerror(-rc)) : 0;
}

static int check_devices(struct livedir *l, const char *data, const char *epochs, struct err *err)
{
    struct stat a, b;

    if (fstat(l->dir, &a) < 0 || fstat(l->epochs, &b) < 0)
        return err_errno(err, "cannot look at %s", data);
    if (a.st_dev != b.st_dev)
        return err_set(err, EXDEV, "%s and %s lie on different file systems", data, epochs);
    return 0;
}

static int prepare(struct livedir *l, const char *data, const char *epochs, struct err *err)
{
    int rc = open_dirs(l, data, epochs, err);

    if (rc == 0)
        rc = check_devices(l, data, epochs, err);
    if (rc == 0)
        rc = lock_epochs(l, epochs, err);
    if (rc == 0)
        rc = lock_data(l, data, err);
    if (rc == 0)
        rc = live_wal_open(l, err);
    if (rc == 0)
        rc = nodes_read(&l->nodes, l->dir, err);
    if (rc == 0)
        rc = live_read_spaces(l, data, err);
    if (rc == 0)
        rc = take_up(l, err);
    if (rc == 0)
        rc = live_prepare(l, err);
    return rc == -ENOSPC || rc == -EDQUOT || rc == -EMFILE ? 0 : rc; /* the freeze says it */
}

/* ---- closing ---- */

static void free_epochs(struct livedir *l)
{
    struct epoch *e, *newer;

    for (e = l->oldest; e; e = newer) {
        newer = e->newer;
        epoch_release(e);
    }
    if (l->prepared)
        epoch_release(l->prepared);
}

static void free_livedir(struct livedir *l)
{
    size_t i;

    free_epochs(l);
    nodes_free(&l->nodes);
    past_names_free(&l->names);
    for (i = 0; i < LIVE_STRIPES; i++)
        pthread_mutex_destroy(&l->runs[i]);
    pthread_rwlock_destroy(&l->tree);
    if (l->wal.dir >= 0)
        close(l->wal.dir);
    if (l->lock >= 0)
        close(l->lock);
    if (l->epochs >= 0)
        close(l->epochs);
    if (l->dir >= 0)
        close(l->dir);
    free(l);
}

static void end_pasts(struct livedir *l)
{
    phase_end(&l->phase);
    pasts_end(&l->pasts);
}

void livedir_abandon(struct livedir *l)
{
    stop_keeper(l);
    end_pasts(l);
    free_livedir(l);
}

static int mark_closed(struct livedir *l, struct err *err)
{
    struct epoch *e;
    int rc = 0;

    if (live_note_end(l) < 0 || syncfs(l->epochs) < 0)
        return err_errno(err, "cannot sync the epochs");
    for (e = l->oldest; e && rc == 0; e = e->newer) {
        e->header.closed = 1;
        rc = header_write(e->dir, &e->header, true);
        if (rc < 0)
            err_set(err, -rc, "cannot write epoch %" PRIu64 ": %s", e->number, strerror(-rc));
    }
    return rc;
}

int livedir_close(struct livedir *l, struct err *err)
{
    int rc;

    stop_keeper(l);
    end_pasts(l);
    if (l->prepared)
        epoch_remove(l->epochs, l->prepared);
    rc = mark_closed(l, err);
    free_livedir(l);
    return rc;
}

int livedir_open(const char *data, const char *epochs, const struct livedir_options *options,
                 struct livedir **result, struct err *err)
{
    struct livedir *l = new_livedir(options);
    int rc =
        l ? prepare(l, data, epochs, err) : err_set(err, ENOMEM, "no memory to serve %s", data);

    *result = NULL;
    if (rc == 0 && (rc = -pthread_create(&l->keeper, NULL, keep_up, l)) < 0)
        err_set(err, -rc, "cannot start a thread: %s", strerror(-rc));
    if (rc < 0 && l) {
        end_pasts(l);
        free_livedir(l);
    }
    if (rc == 0)
        *result = l;
    return rc;
}

void livedir_counts(struct livedir *l, struct live_counts *c)
{
    c->writes = atomic_load(&l->writes);
    c->saved = atomic_load(&l->saved);
    c->kept = atomic_load(&l->kept);
    c->raced = atomic_load(&l->raced);
    c->freeze_us = atomic_load(&l->freeze_us);
    c->wal_kept = atomic_load(&l->wal.kept);
    c->wal_lost = atomic_load(&l->wal.lost);
    pthread_rwlock_rdlock(&l->tree);
    c->nodes = l->nodes.by_id.count;
    pthread_rwlock_unlock(&l->tree);
}
