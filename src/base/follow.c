#include "base/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/proc.h"
#include "pg/backup.h"
#include "pg/reach.h"
#include "pg/slot.h"
#include "base/witness.h"
#include "base/writer.h"

#define FIRST_DELAY_MS 250

/* ---- receiving ---- */

struct following {
    const struct follow_request *req;
    const struct store_cluster *cluster;
    const char *log;
    struct pg_programs programs;
    bool received; /* in this attempt */
};

static void tell_news(const struct following *f, struct follow_news news)
{
    f->req->tell(f->req->arg, &news);
}

static int check_followed(const struct store *s, struct err *err)
{
    const struct store_cluster *c = store_cluster(s);

    if (c && c->slot && c->slot_mark)
        return err_set(err, EINVAL,
                       "asofs base create was ended while it made the replication slot \"%s\" of "
                       "the store %s: run it again",
                       c->slot, store_path(s));
    if (c && c->conninfo && c->slot)
        return 0;
    return err_set(err, EINVAL,
                   "the store %s has no base of a server that could be followed: make "
                   "one with asofs base create",
                   store_path(s));
}

static int check_slot(const struct following *f, struct err *err)
{
    struct pg_slot_name n = {.conninfo = f->cluster->conninfo,
                             .name = f->cluster->slot,
                             .system_identifier = f->cluster->system_identifier};
    struct pg_slot slot;
    int rc = pg_slot_look(&n, true, &slot, err);

    if (rc == 0 && slot.lost)
        rc = pg_slot_fail_lost(n.name, err);
    if (rc == -ENOENT || rc == -ESTALE)
        err_hint(err, "the log has a gap from here on: make a new base with asofs base create");
    return rc == -ENOENT || rc == -ESTALE || rc == -EINVAL ? rc : -EAGAIN;
}

/* What no further attempt makes good; -EAGAIN: another attempt may. */
static int check_failure(const struct following *f, struct err *err)
{
    int rc = pg_target_is_mistaken(f->cluster->conninfo, f->req->stop_fd, err);

    if (rc == -EACCES)
        err_hint(err,
                 "that stays so until it is mended, in the password file, in pg_hba.conf or in "
                 "the role; the server goes on to keep log meanwhile");
    return rc < 0 ? rc : check_slot(f, err);
}

static void tell_receiving(void *arg)
{
    struct following *f = arg;

    f->received = true;
    tell_news(
        f, (struct follow_news){.event = FOLLOW_RECEIVES, .slot = f->cluster->slot, .log = f->log});
}

/* Until it is stopped, which is fine, or the slot is gone. */
static int receive(struct following *f, struct err *err)
{
    const struct pg_receive what = {.conninfo = f->cluster->conninfo,
                                    .slot = f->cluster->slot,
                                    .system_identifier = f->cluster->system_identifier,
                                    .wal_dir = f->log,
                                    .segment_bytes = f->cluster->segment_bytes,
                                    .stop_fd = f->req->stop_fd,
                                    .receiving = tell_receiving,
                                    .arg = f};
    int64_t delay = FIRST_DELAY_MS, most = f->req->restart_delay_ms;
    int rc;

    for (;;) {
        f->received = false;
        rc = pg_receive_wal(&f->programs, &what, err);
        if (rc == -EINTR || stop_within(f->req->stop_fd, 0))
            return 0;
        if (f->received)
            delay = FIRST_DELAY_MS;
        if (delay > most)
            delay = most;
        if (rc == 0)
            err_set(err, EIO, "the server ended the connection");
        tell_news(f, (struct follow_news){.event = FOLLOW_FAILED, .why = err->text});
        rc = check_failure(f, err);
        if (rc != -EAGAIN)
            return rc;
        tell_news(f, (struct follow_news){.event = FOLLOW_PAUSES, .pause_ms = delay});
        if (stop_within(f->req->stop_fd, delay))
            return 0;
        delay *= 2;
    }
}

static int follow_source(struct following *f, struct writer *w, struct err *err)
{
    struct witness *witness;
    int rc = writer_open(w, true, err);

    if (rc == 0)
        rc = check_followed(w->store, err);
    if (rc < 0)
        return rc;
    f->cluster = store_cluster(w->store);
    f->log = store_wal_directory(w->store);
    rc = pg_programs_find((int)f->cluster->major, f->req->bindir, &w->who, &f->programs, err);
    if (rc < 0)
        return rc;
    witness =
        witness_start(store_path(w->store), f->cluster->conninfo, f->cluster->system_identifier);
    rc = receive(f, err);
    witness_stop(witness);
    return rc;
}

/* ---- the child that advances ---- */

struct advancer {
    pid_t pid; /* 0: none */
    int fd;    /* the pipe */
};

static int start_advancer(struct advancer *a, const struct follow_request *req, int in,
                          struct err *err)
{
    struct proc_fd fds[] = {{in, STDIN_FILENO}};
    struct proc_args args = {0};
    int rc;

    proc_args_add(&args, mem_strdup("asofs"));
    proc_args_add(&args, mem_strdup("base"));
    proc_args_add(&args, mem_strdup("advance"));
    proc_args_add(&args, mem_printf("--every=%" PRId64 "ms", req->advance_every_ms));
    if (req->bindir)
        proc_args_add(&args, mem_printf("--bindir=%s", req->bindir));
    if (req->run_as)
        proc_args_add(&args, mem_printf("--run-as=%s", req->run_as));
    proc_args_add(&args, mem_strdup("--"));
    proc_args_add(&args, mem_strdup(req->store));
    rc = proc_spawn(proc_self(), args.argv, NULL, fds, 1, &a->pid, err);
    proc_args_free(&args);
    return rc;
}

static int open_advancer(struct advancer *a, const struct follow_request *req, struct err *err)
{
    int fds[2], rc;

    if (!req->advance_every_ms || !store_is(req->store))
        return 0; /* what is no store is refused by others */
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "cannot make a pipe");
    rc = start_advancer(a, req, fds[0], err);
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

int base_advance_every(const struct advance_request *req, struct stop *stop, int64_t every_ms,
                       void (*told)(const struct advance_result *r, const struct err *why),
                       struct err *err)
{
    struct advance_result r;
    int rc = stop_watch(stop, STDIN_FILENO, err);

    while (rc == 0 && !stop_within(stop->fd, every_ms)) {
        told(&r, base_advance(req, &r, err) < 0 ? err : NULL);
        advance_result_free(&r);
    }
    return rc;
}

/* ---- both ---- */

int base_follow(const struct follow_request *req, struct err *err)
{
    struct writer w = {.path = req->store, .run_as = req->run_as};
    struct following f = {.req = req};
    struct advancer advancer = {.fd = -1};
    int rc = open_advancer(&advancer, req, err);

    if (rc == 0)
        rc = follow_source(&f, &w, err);
    close_advancer(&advancer);
    pg_programs_free(&f.programs);
    writer_close(&w, rc);
    return rc;
}
