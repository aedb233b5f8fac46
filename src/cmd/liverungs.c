#include "cmd/liverungs.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/stop.h"
#include "replay/rungs.h"

#define LOOK_AT_CLOCK_MS 30000 /* somebody may set it */

struct live_rungs {
    struct live_rungs_options options;
    const char *store;
    struct livedir *live;
    const struct pg_identity *owner;
    int stop; /* eventfd */
    pthread_t thread;
};

/* ---- when ---- */

static int64_t time_ms(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return time_ms(&t);
}

/* ---- the newest ---- */

static int64_t time_of_freeze(struct livedir *l, uint64_t number)
{
    struct live_freeze *list = NULL;
    int64_t time = 0;
    size_t n = 0, i;

    if (livedir_freezes(l, &list, &n) == 0)
        for (i = 0; i < n; i++)
            if (list[i].number == number)
                time = time_ms(&list[i].time);
    free(list);
    return time;
}

/* 1: its number. In the store, not through the mount. */
static int find_newest(const struct live_rungs *r, uint64_t *number, struct err *err)
{
    struct store *s = NULL;
    int rc = pg_identity_enter(r->owner);

    if (rc < 0)
        return err_set(err, -rc, "cannot become the owner of %s: %s", r->store, strerror(-rc));
    rc = store_open(r->store, &s, err);
    if (rc == 0)
        rc = rungs_newest(s, number, err);
    store_close(s);
    pg_identity_leave(r->owner);
    return rc;
}

static int64_t first_due(const struct live_rungs *r)
{
    uint64_t number;
    struct err err;
    int rc = find_newest(r, &number, &err);

    if (rc < 0)
        log_error("when the newest rung was made is not known: %s", err.text);
    return rungs_first(rc == 1 ? time_of_freeze(r->live, number) : 0, now_ms(),
                       r->options.every_ms);
}

/* ---- making ---- */

static void tell_failure(const struct live_rungs *r, const struct buf *said)
{
    const char *text = said->data ? said->data : "";
    int len = (int)said->len;

    if (strncmp(text, "asofs: ", 7) == 0) {
        text += 7;
        len -= 7;
    }
    while (len > 0 && text[len - 1] == '\n')
        len--;
    log_error("no rung of %s was made now, the next is tried at its time: %.*s", r->store, len,
              text);
}

static void make(const struct live_rungs *r)
{
    struct proc_args args = {0};
    struct buf said = {0};
    int rc;

    proc_args_add(&args, mem_strdup("asofs"));
    proc_args_add(&args, mem_strdup("live"));
    proc_args_add(&args, mem_printf("--keep=%u", r->options.keep));
    if (r->options.checkpoint)
        proc_args_add(&args, mem_strdup("--checkpoint"));
    proc_args_add(&args, mem_strdup("--"));
    proc_args_add(&args, mem_strdup(r->store));
    proc_args_add(&args, mem_strdup("freeze"));
    rc = proc_run_self(args.argv, r->stop, &said);
    if (rc != 0 && rc != -EINTR)
        tell_failure(r, &said);
    buf_free(&said);
    proc_args_free(&args);
}

/* false: it is to stop. */
static bool wait_until_due(const struct live_rungs *r, int64_t due)
{
    int64_t left;

    while ((left = due - now_ms()) > 0)
        if (left > r->options.every_ms)
            return !stop_within(r->stop, r->options.every_ms);
        else if (stop_within(r->stop, left < LOOK_AT_CLOCK_MS ? left : LOOK_AT_CLOCK_MS))
            return false;
    return !stop_within(r->stop, 0);
}

static void *pace(void *arg)
{
    const struct live_rungs *r = arg;
    int64_t due = first_due(r);

    while (wait_until_due(r, due)) {
        make(r);
        due = rungs_next(due, now_ms(), r->options.every_ms);
    }
    return NULL;
}

int live_rungs_start(const char *store, struct livedir *l, const struct pg_identity *owner,
                     const struct live_rungs_options *o, struct live_rungs **out, struct err *err)
{
    struct live_rungs *r = mem_alloc(sizeof(*r));
    int rc;

    *r = (struct live_rungs){.options = *o, .store = store, .live = l, .owner = owner};
    r->stop = eventfd(0, EFD_CLOEXEC);
    rc = r->stop < 0 ? -errno : -proc_thread(&r->thread, pace, r);
    if (rc < 0) {
        if (r->stop >= 0)
            close(r->stop);
        free(r);
        r = NULL;
    }
    *out = r;
    return rc < 0 ? err_set(err, -rc, "cannot start a thread: %s", strerror(-rc)) : 0;
}

void live_rungs_stop(struct live_rungs *r)
{
    if (!r)
        return;
    eventfd_write(r->stop, 1);
    pthread_join(r->thread, NULL);
    close(r->stop);
    free(r);
}
