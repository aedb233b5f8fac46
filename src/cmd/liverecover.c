#include "cmd/liverecover.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/ask.h"
#include "common/clock.h"
#include "common/log.h"
#include "pg/postmaster.h"
#include "store/store.h"

#define PATIENCE_MS (2 * PG_POSTMASTER_WAIT_MS + 2 * ASK_PATIENCE_MS)

enum { NOTHING, DONE, WRONG, SERVED };

struct recovery {
    const char *store, *data;
    const struct mountpoint *at;
    const struct pg_identity *owner;
};

static int become(const struct recovery *r, FILE *out)
{
    int rc = pg_identity_become(r->owner, false);

    if (rc < 0)
        fprintf(out, "cannot become the user %u: %s", (unsigned)r->owner->uid, strerror(-rc));
    return rc;
}

static int look_whether_served(void *arg, FILE *out)
{
    const struct recovery *r = arg;

    if (become(r, out) < 0)
        return WRONG;
    return store_is_served_at(r->store) ? SERVED : NOTHING;
}

/* "PID LEFT", or what is wrong. */
static int end_server(void *arg, FILE *out)
{
    const struct recovery *r = arg;
    bool left;
    struct err err;
    pid_t pid;

    if (become(r, out) < 0)
        return WRONG;
    if (pg_postmaster_end_lost(r->data, r->at->dead, &pid, &left, &err) < 0) {
        fputs(err.text, out);
        return WRONG;
    }
    fprintf(out, "%ld %d", (long)pid, left);
    return pid || left ? DONE : NOTHING;
}

static int ask_owner(const struct recovery *r, int (*question)(void *arg, FILE *out),
                     struct buf *answer, struct err *err)
{
    struct ask a;
    int rc = ask_start(&a, question, (void *)(uintptr_t)r, err);

    if (rc == 0)
        rc = ask_wait(&a, clock_ms() + PATIENCE_MS, answer);
    if (rc == -ETIMEDOUT)
        return err_set(err, ETIMEDOUT,
                       "nothing was recovered: what the processes of the user %u work in does not "
                       "answer",
                       (unsigned)r->owner->uid);
    if (rc == WRONG)
        return err_set(err, EIO, "nothing was recovered: %s", answer->data);
    return rc < 0 ? err_set(err, -rc, "nothing was recovered: the process that tried was ended")
                  : rc;
}

int live_recover_check(const char *store, const struct pg_identity *owner, struct err *err)
{
    const struct recovery r = {.store = store, .owner = owner};
    struct buf answer = {0};
    int rc = ask_owner(&r, look_whether_served, &answer, err);

    buf_free(&answer);
    return rc == SERVED
               ? err_set(err, EBUSY,
                         "a process serves from %s: there is nothing to recover, nothing was done",
                         store)
               : rc;
}

static void tell_done(const struct recovery *r, const char *answer, bool *left)
{
    long pid = 0;
    int file = 0;

    sscanf(answer, "%ld %d", &pid, &file);
    *left = file != 0;
    if (pid)
        log_note("the server that ran on %s (process %ld) had lost its files, and was ended",
                 r->at->path, pid);
    else if (*left)
        log_note("the server that ran on %s is gone, and left its " PG_POSTMASTER_FILE
                 ", which is removed",
                 r->at->path);
    log_note("start the server on %s when this is served (pg_ctl -D %s start, or its service)",
             r->at->path, r->at->path);
}

int live_recover(const char *data, const struct mountpoint *at, const struct pg_identity *owner,
                 bool *left, struct err *err)
{
    const struct recovery r = {.data = data, .at = at, .owner = owner};
    struct buf answer = {0};
    int rc = ask_owner(&r, end_server, &answer, err);

    *left = false;
    if (rc == DONE)
        tell_done(&r, answer.data, left);
    buf_free(&answer);
    return rc < 0 ? rc : 0;
}
