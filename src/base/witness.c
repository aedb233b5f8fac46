#include "base/witness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/stop.h"
#include "pg/backup.h"
#include "store/walsaid.h"

#define EVERY_MS 5000
#define CLOCK_MS 50
#define US INT64_C(1000000)

struct witness {
    const char *store, *conninfo;
    uint64_t system;
    pthread_t thread;
    int stop[2];       /* a pipe: its reading end becomes readable when the other is closed */
    int64_t before;    /* the clock when it was looked at last; 0: not yet */
    uint32_t timeline; /* then */
};

static int write_down(const char *store, int64_t time_us, const struct pg_wal_end *end,
                      struct err *err)
{
    struct wal_said said = {.time_us = time_us, .lsn = end->lsn, .timeline = end->timeline};

    return walsaid_add(store, &said, err);
}

/* On another timeline the clock of before was perhaps another server's. */
static int look_once(struct witness *w, struct pg_watch *watch, struct err *err)
{
    struct pg_wal_end end;
    int rc = pg_watch_look(watch, w->system, &end, err);

    if (rc < 0)
        return rc;
    if (w->before && w->timeline == end.timeline && w->before <= end.now_us)
        rc = write_down(w->store, w->before, &end, err);
    w->before = end.now_us;
    w->timeline = end.timeline;
    return rc;
}

static void *watch_log(void *arg)
{
    struct pg_watch *watch = NULL;
    struct witness *w = arg;
    struct err err;
    int rc;

    do {
        rc = watch ? 0 : pg_watch_open(w->conninfo, w->stop[0], &watch, &err);
        if (rc == 0)
            rc = look_once(w, watch, &err);
        if (rc < 0) {
            log_debug("where the source's log ends is not known: %s", err.text);
            pg_watch_close(watch);
            watch = NULL;
            w->before = 0;
        }
    } while (!stop_within(w->stop[0], EVERY_MS));
    pg_watch_close(watch);
    return NULL;
}

static void free_witness(struct witness *w)
{
    close(w->stop[0]);
    if (w->stop[1] >= 0)
        close(w->stop[1]);
    free(w);
}

struct witness *witness_start(const char *store, const char *conninfo, uint64_t system_identifier)
{
    struct witness *w = mem_alloc(sizeof(*w));

    w->store = store;
    w->conninfo = conninfo;
    w->system = system_identifier;
    if (pipe2(w->stop, O_CLOEXEC) < 0) {
        free(w);
        return NULL;
    }
    if (proc_thread(&w->thread, watch_log, w) == 0)
        return w;
    free_witness(w);
    return NULL;
}

void witness_stop(struct witness *w)
{
    if (!w)
        return;
    close(w->stop[1]);
    w->stop[1] = -1;
    pthread_join(w->thread, NULL);
    free_witness(w);
}

void witness_second(const char *store, const char *conninfo, uint64_t system_identifier,
                    int64_t second, int stop_fd)
{
    struct pg_watch *watch;
    struct pg_wal_end end = {0};
    struct err err;
    int rc = pg_watch_open(conninfo, stop_fd, &watch, &err);

    while (rc == 0 && end.now_us < (second + 1) * US) {
        rc = stop_within(stop_fd, end.now_us ? CLOCK_MS : 0)
                 ? -EINTR
                 : pg_watch_look(watch, system_identifier, &end, &err);
    }
    if (rc == 0)
        rc = write_down(store, second * US, &end, &err);
    if (rc < 0 && rc != -EINTR)
        log_debug("where the source's log ends is not known: %s", err.text);
    pg_watch_close(watch);
}
