#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "live/livestate.h"

void (*_Atomic livedir_test_step)(const char *where);

/* ---- the list ---- */

struct epoch *live_epoch(struct livedir *l, uint64_t number)
{
    struct epoch *e;

    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e && e->number != number; e = e->newer)
        ;
    if (e)
        epoch_hold(e);
    pthread_mutex_unlock(&l->list);
    return e;
}

void live_append_epoch(struct livedir *l, struct epoch *e)
{
    e->older = l->last;
    if (l->last)
        l->last->newer = e;
    else
        l->oldest = e;
    l->last = e;
}

void live_remove_epoch(struct livedir *l, struct epoch *e)
{
    if (e->older)
        e->older->newer = e->newer;
    else
        l->oldest = e->newer;
    if (e->newer)
        e->newer->older = e->older;
    else
        l->last = e->older;
}

static bool is_wanted(const struct epoch *e)
{
    int state = atomic_load(&e->state);

    return state == HEADER_OPEN || state == HEADER_PREPARED;
}

void live_update_saving(struct livedir *l)
{
    struct epoch *e;

    for (e = l->oldest; e; e = e->newer)
        if (is_wanted(e))
            return;
    if (l->last)
        atomic_store(&l->last->saving, false);
}

void live_wake(struct livedir *l)
{
    pthread_mutex_lock(&l->keeping);
    l->wake = true;
    l->kept_up = false;
    pthread_cond_signal(&l->woken);
    pthread_mutex_unlock(&l->keeping);
}

/* ---- giving up ---- */

/* That one and all older ones; how many. `list` is locked. */
static unsigned give_up_until(struct livedir *l, uint64_t number, const char *why)
{
    struct epoch *e;
    unsigned n = 0;

    for (e = l->oldest; e && e->number <= number; e = e->newer) {
        if (!is_wanted(e))
            continue;
        epoch_set_state(e, HEADER_GIVEN_UP, why);
        n++;
    }
    live_update_saving(l);
    atomic_thread_fence(memory_order_seq_cst);
    return n;
}

static void give_up(struct livedir *l, uint64_t number, const char *why)
{
    char text[HEADER_WHY + 128];
    unsigned n;

    pthread_mutex_lock(&l->list);
    n = give_up_until(l, number, why);
    pthread_mutex_unlock(&l->list);
    if (!n)
        return;
    snprintf(text, sizeof(text), "%u freeze%s given up: %s", n, n == 1 ? " is" : "s are", why);
    if (l->options.complain)
        l->options.complain(l->options.arg, text);
    live_wake(l);
}

void livedir_give_up(struct livedir *l, uint64_t number, const char *why)
{
    give_up(l, number, why);
}

void live_fail(struct livedir *l, int rc, const char *what)
{
    char why[HEADER_WHY];

    snprintf(why, sizeof(why), "%s could not be kept: %s", what, strerror(-rc));
    give_up(l, UINT64_MAX, why);
}

int live_watch_others(struct livedir *l)
{
    if (!live_is_changed_past(l))
        return 0;
    give_up(l, UINT64_MAX, "the data directory was changed past asofs while it was served");
    return -ESTALE;
}

/* ---- freezing ---- */

static uint64_t count_epochs(struct livedir *l)
{
    struct epoch *e;
    uint64_t n = 0;

    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e; e = e->newer)
        n++;
    pthread_mutex_unlock(&l->list);
    return n;
}

/* Before the server, or what keeps old pages, lacks descriptors. */
static int check_descriptors(struct livedir *l, struct err *err)
{
    uint64_t n = count_epochs(l);

    return n < l->most_epochs ? 0
                              : err_set(err, EMFILE,
                                        "there are %" PRIu64 " freezes, and the process may not "
                                        "have more files open",
                                        n);
}

int live_prepare(struct livedir *l, struct err *err)
{
    uint64_t number;
    int rc;

    if (l->prepared)
        return 0;
    rc = check_descriptors(l, err);
    if (rc < 0)
        return rc;
    number = livedir_next_freeze(l);
    rc = live_reserve(l, number);
    if (rc < 0)
        return err_set(err, -rc, "cannot note number %" PRIu64 ": %s", number, strerror(-rc));
    return epoch_make(l->epochs, number, l->options.durable, &l->prepared, err);
}

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* From here on changes are saved in it; it is not shown yet. */
static void begin(struct livedir *l, struct epoch *e)
{
    atomic_store(&e->state, HEADER_PREPARED);
    atomic_store(&e->saving, true);
    pthread_mutex_lock(&l->list);
    live_append_epoch(l, e);
    pthread_mutex_unlock(&l->list);
    live_step("freeze: before the newest");
    atomic_store(&l->newest, e);
}

/* It is none: what is changed meanwhile is saved in it for older ones. */
static void skip(struct livedir *l, struct epoch *e)
{
    pthread_mutex_lock(&l->list);
    epoch_set_state(e, HEADER_DROPPED, NULL);
    live_update_saving(l);
    pthread_mutex_unlock(&l->list);
}

/* Calls that began before are over, and what they wrote is on the disk if that is to last, or it is no
 * freeze. */
static int wait_until_cut(struct livedir *l, struct epoch *e, int wait_ms, struct err *err)
{
    if (phase_wait(&l->phase, wait_ms) < 0)
        return err_set(err, EBUSY,
                       "calls that began before freeze %" PRIu64
                       " were not over after %d ms; it was not made",
                       e->number, wait_ms);
    live_step("freeze: waited");
    if (e->durable && syncfs(l->dir) < 0)
        return err_errno(err, "cannot sync freeze %" PRIu64, e->number);
    return 0;
}

static int finish(struct livedir *l, struct epoch *e, int wait_ms, struct err *err)
{
    int expected = HEADER_PREPARED, rc = wait_until_cut(l, e, wait_ms, err);

    if (rc < 0) {
        skip(l, e);
        return rc;
    }
    if (!atomic_compare_exchange_strong(&e->state, &expected, HEADER_OPEN))
        return err_set(err, EIO, "freeze %" PRIu64 " was given up at once: %s", e->number,
                       e->header.why);
    return 0;
}

static int freeze(struct livedir *l, uint64_t want, int wait_ms, uint64_t *number, struct err *err)
{
    int64_t start = now_us();
    struct epoch *e;
    int rc = live_prepare(l, err);

    if (rc < 0)
        return rc;
    e = l->prepared;
    if (want && want != e->number)
        return err_set(err, EEXIST, "the next freeze is number %" PRIu64, e->number);
    rc = epoch_set_state(e, HEADER_OPEN, NULL);
    if (rc < 0) {
        err_set(err, -rc, "cannot write epoch %" PRIu64 ": %s", e->number, strerror(-rc));
        l->prepared = NULL; /* to be made anew */
        epoch_remove(l->epochs, e);
        epoch_release(e);
        return rc;
    }
    l->prepared = NULL;
    begin(l, e);
    *number = e->number;
    rc = finish(l, e, wait_ms, err);
    atomic_store(&l->freeze_us, (uint64_t)(now_us() - start));
    return rc;
}

int livedir_freeze(struct livedir *l, uint64_t want, int wait_ms, uint64_t *number, struct err *err)
{
    int rc;

    if (live_watch_others(l) < 0)
        return err_set(err, ESTALE, "the data directory was changed past asofs");
    pthread_mutex_lock(&l->making);
    rc = freeze(l, want, wait_ms, number, err);
    pthread_mutex_unlock(&l->making);
    live_wake(l);
    return rc;
}

uint64_t livedir_next_freeze(struct livedir *l)
{
    uint64_t number;

    pthread_mutex_lock(&l->list);
    number = l->last ? l->last->number + 1 : 1;
    pthread_mutex_unlock(&l->list);
    return number < l->least ? l->least : number;
}

int livedir_drop(struct livedir *l, uint64_t number, struct err *err)
{
    struct epoch *e;
    int rc = -ENOENT, state;

    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e && e->number != number; e = e->newer)
        ;
    state = e ? atomic_load(&e->state) : HEADER_DROPPED;
    if (state == HEADER_OPEN || state == HEADER_GIVEN_UP) {
        rc = epoch_set_state(e, HEADER_DROPPED, NULL);
        live_update_saving(l);
    }
    pthread_mutex_unlock(&l->list);
    live_wake(l);
    return rc < 0 ? err_set(err, -rc, "cannot drop freeze %" PRIu64 ": %s", number, strerror(-rc))
                  : 0;
}

/* ---- what there is ---- */

static void describe(struct epoch *e, struct live_freeze *f)
{
    pthread_mutex_lock(&e->lock);
    f->number = e->number;
    f->time = (struct timespec){.tv_sec = e->header.seconds, .tv_nsec = e->header.nanos};
    f->state = atomic_load(&e->state) == HEADER_GIVEN_UP ? LIVE_GIVEN_UP : LIVE_OPEN;
    f->bytes = atomic_load(&e->bytes);
    snprintf(f->why, sizeof(f->why), "%s", f->state == LIVE_GIVEN_UP ? e->header.why : "");
    pthread_mutex_unlock(&e->lock);
}

static bool is_shown(const struct epoch *e)
{
    int state = atomic_load(&e->state);

    return state == HEADER_OPEN || state == HEADER_GIVEN_UP;
}

int livedir_freezes(struct livedir *l, struct live_freeze **list, size_t *n)
{
    struct epoch *e;
    size_t count = 1;

    *n = 0;
    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e; e = e->newer)
        count++;
    *list = calloc(count, sizeof(**list));
    for (e = l->oldest; *list && e; e = e->newer)
        if (is_shown(e))
            describe(e, &(*list)[(*n)++]);
    pthread_mutex_unlock(&l->list);
    return *list ? 0 : -ENOMEM;
}

int livedir_wal_dir(struct livedir *l, uint64_t number)
{
    struct epoch *e = live_epoch(l, number);
    int fd = -ENOENT;

    if (e && is_shown(e)) {
        fd = openat(e->dir, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = fd < 0 ? -errno : fd;
    }
    epoch_release(e);
    return fd;
}
