#include "replay/replay.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "replay/choice.h"
#include "replay/ending.h"
#include "replay/making.h"

/*
 * The segment is linked into the view, so that nothing is copied; copied where the server could not
 * open it for writing, as it will want to, or where it is still being received. One that is only
 * being given its size holds no log yet, and a server would not go on after it.
 */
static const char link_segment[] =
    "f=\"$ASOFS_LOG/%f\"; if [ -w \"$f\" ]; then ln -sf -- \"$f\" \"%p\"; "
    "elif [ -e \"$f\" ]; then cp -- \"$f\" \"%p\"; "
    "elif [ -e \"$f.partial\" ]; then cp -- \"$f.partial\" \"%p\" 2>/dev/null && "
    "{ [ \"$(wc -c <\"%p\")\" -eq \"$ASOFS_SEGMENT_BYTES\" ] || "
    "{ [ -n \"$(head -c 16 <\"%p\" | tr -d '\\0')\" ] && "
    "truncate -s \"$ASOFS_SEGMENT_BYTES\" -- \"%p\"; }; } || { rm -f -- \"%p\"; false; }; "
    "else false; fi";

struct replay {
    const struct replay_request *req;
    struct replay_result *result;
    struct choice from;
    struct ending ending;
};

struct target {
    struct pg_setting settings[8];
    char lsn[LSN_TEXT_MAX], timeline[PAGEWAL_TIMELINE_MAX], locks[MAKING_LOCKS_MAX];
};

static void set_target(struct replay *r, const struct ending_stop *stop, struct target *t)
{
    static const char *const names[] = {NULL,
                                        NULL,
                                        "recovery_target_time",
                                        "recovery_target_lsn",
                                        "recovery_target_xid",
                                        "recovery_target_name"};
    const struct moment *m = r->req->moment;
    struct pg_setting *s = t->settings;

    *s++ = (struct pg_setting){"restore_command", r->from.log.command ? r->from.log.command
                                                  : r->req->only      ? "false"
                                                                      : link_segment};
    *s++ = (struct pg_setting){"recovery_target_timeline",
                               pagewal_target_timeline(&r->from.log, &r->from.all,
                                                       &choice_base(&r->from)->facts, t->timeline)};
    *s++ = (struct pg_setting){"recovery_target_action", "promote"};
    *s++ = (struct pg_setting){"max_locks_per_transaction",
                               making_enough_locks(r->req->store, r->req->view,
                                                   r->req->connections + r->result->prepared,
                                                   t->locks)};
    if (stop->last && !stop->whole)
        *s++ = (struct pg_setting){"recovery_target_lsn", lsn_text(stop->last, t->lsn)};
    else if (names[m->kind] && !stop->end)
        *s++ = (struct pg_setting){names[m->kind], m->text};
    if (m->kind == MOMENT_LSN && !stop->end)
        *s++ = (struct pg_setting){"recovery_target_inclusive", "off"};
    *s = (struct pg_setting){0};
}

static int drop_view(struct replay *r, struct err *err)
{
    return store_drop_view(r->req->store, r->req->view, err);
}

static int create_view(struct replay *r, const char *base, struct err *err)
{
    char *words = moment_words(r->req->moment);
    struct store_view_facts f = {.target = words};
    int rc;

    rc = store_create_view(r->req->store, r->req->view, base, making_hidden, err);
    r->result->made |= rc == 0;
    if (rc == 0)
        rc = store_set_view_facts(r->req->store, r->req->view, &f, err);
    free(words);
    return rc;
}

#define FEWEST_BUFFERS (UINT64_C(128) << 20)

/* Twice the log that may have to be replayed: memory that is not used takes its time, too. */
static uint64_t enough_buffers(const struct choice *c)
{
    const struct moment *m = c->moment;
    const struct wal_list *log = &c->log.list;
    uint64_t first = choice_base(c)->facts.start_lsn, bytes = 0;
    size_t i;

    if (c->log.command)
        return MAKING_REPLAY_BUFFERS;
    for (i = 0; i < log->n && bytes < MAKING_REPLAY_BUFFERS; i++) {
        const struct wal_segment *s = &log->segments[i];

        if ((s->number + 1) * log->segment_bytes > first)
            bytes += 2 * (uint64_t)log->segment_bytes;
        if (m->kind == MOMENT_TIME && s->written.tv_sec > m->time_us / 1000000 + 1)
            break;
    }
    return bytes < FEWEST_BUFFERS          ? FEWEST_BUFFERS
           : bytes > MAKING_REPLAY_BUFFERS ? MAKING_REPLAY_BUFFERS
                                           : bytes;
}

/*
 * One replay of a new view; what was made of it is dropped again unless the moment was reached. A
 * view that is kept has to be completed first. One that is not, nobody else ever sees: the server
 * that replayed its log reads it too (result->server), and nothing of it has to reach the disk.
 */
static int try_replay(struct replay *r, const struct ending_stop *stop, struct err *err)
{
    char **env = pagewal_env(r->req->store, &r->from.log);
    struct pageserver_heard heard = {0};
    struct pageserver *server = NULL;
    struct target target;
    struct err dropping;
    struct pageserver_request req = {.programs = r->req->programs,
                                     .store = store_path(r->req->store),
                                     .view = r->req->view,
                                     .settings = target.settings,
                                     .env = env,
                                     .log = r->from.log.command || r->req->only ? NULL
                                                                                : &r->from.log.list,
                                     .wal_dir = r->from.log.dir,
                                     .wal_from = choice_base(&r->from)->facts.start_lsn,
                                     .wal_segment_bytes = r->from.log.list.segment_bytes,
                                     .wal_system = store_cluster(r->req->store)->system_identifier,
                                     .recover = true,
                                     .connections = r->req->connections,
                                     .max_prepared = r->result->prepared,
                                     .shared_buffers = enough_buffers(&r->from),
                                     .database = r->req->database,
                                     .unread = r->req->completed,
                                     .stop_fd = r->req->stop_fd};
    int rc = create_view(r, choice_base(&r->from)->id, err);

    set_target(r, stop, &target);
    if (rc == 0)
        rc = pageserver_start(&req, &server, &heard, err);
    ending_hear(&r->ending, &heard);
    if (rc == 0 && r->req->completed) {
        rc = pageserver_stop(server, err);
        server = NULL;
    }
    if (rc == 0)
        rc = ending_check_reached(&r->ending, stop, err);
    if (rc == 0)
        r->result->server = server;
    else
        pageserver_abandon(server);
    if (rc < 0)
        making_hint_full(r->req->store, err);
    if (rc < 0 && r->result->made && drop_view(r, &dropping) == 0)
        r->result->made = false;
    store_names_free(env);
    return rc;
}

static int replay_once(struct replay *r, struct ending_stop stop, struct err *err)
{
    int rc = try_replay(r, &stop, err);

    return rc < 0 && making_needs_more_prepared(&r->result->prepared, err)
               ? try_replay(r, &stop, err)
               : rc;
}

/*
 * From the base that was chosen. Where the log ended in front of what was asked for, its end may be
 * that; it must be the very end that was seen, since more may have come.
 */
static int replay_from(struct replay *r, struct err *err)
{
    int rc = replay_once(r, ending_first_stop(&r->from), err);

    if (rc < 0 && !r->ending.reached.target_later)
        return ending_explain_start(&r->ending, err);
    if (rc == 0)
        return 0;
    rc = ending_check(&r->ending, err);
    if (rc < 0)
        return rc;
    return ending_may_be_moment(&r->ending)
               ? replay_once(r, ending_stop_at(&r->from, r->ending.reached.last), err)
               : ending_refuse(&r->ending, err);
}

static int replay_from_any(struct replay *r, struct err *err)
{
    int rc, older;

    for (;;) {
        rc = replay_from(r, err);
        if (rc == 0 || !ending_may_be_older(&r->ending))
            return rc;
        older = choice_make_older(&r->from, err);
        if (older < 0)
            return older;
        if (older == 0)
            return r->ending.reached.too_early ? ending_refuse_early(&r->ending, err) : rc;
    }
}

/* Everything on disk, then said so. */
static int complete(struct replay *r, const struct moment_shown *shown, struct err *err)
{
    char *words = moment_words(r->req->moment);
    struct store_view_facts f = {
        .complete = true, .target = words, .lsn = shown->lsn, .time_us = shown->time_us};
    int rc;

    rc = making_sync_view(r->req->store, r->req->view, err);
    if (rc == 0)
        rc = store_set_view_facts(r->req->store, r->req->view, &f, err);
    if (rc < 0)
        making_hint_full(r->req->store, err);
    r->result->made &= rc < 0;
    free(words);
    return rc;
}

static void set_shown(struct replay *r)
{
    uint64_t from = choice_base(&r->from)->facts.start_lsn;

    r->result->shown = ending_shown(&r->ending);
    if (r->result->shown.lsn > from)
        r->result->replayed = r->result->shown.lsn - from;
}

int replay_run(const struct replay_request *req, struct replay_result *result, struct err *err)
{
    struct replay r = {.req = req, .result = result};
    int64_t started = clock_ms();
    int rc;

    r.ending = (struct ending){.from = &r.from, .programs = req->programs};
    rc = choice_make(&r.from,
                     &(struct choice_request){req->store, req->moment, req->log,
                                              req->restore_command, req->only},
                     err);
    if (rc == 0)
        rc = replay_from_any(&r, err);
    if (r.ending.fetcher)
        ending_tell_fetcher(&r.ending, rc, err);
    if (rc == 0)
        set_shown(&r);
    if (rc == 0 && req->completed)
        rc = complete(&r, &result->shown, err);
    if (rc == 0)
        log_debug("base %s replayed in %.2f s", choice_base(&r.from)->id,
                  (double)(clock_ms() - started) / 1000);
    ending_free(&r.ending);
    choice_free(&r.from);
    return rc;
}
