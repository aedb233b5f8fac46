#include "replay/pageserver.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "pg/control.h"
#include "replay/lend.h"
#include "replay/lookahead.h"
#include "replay/reached.h"
#include "replay/refetch.h"
#include "replay/restorecmd.h"
#include "replay/serverdir.h"
#include "replay/serverfiles.h"
#include "replay/viewmount.h"

/* Its functions are called by a thread that has entered (pg/identity.h). */
struct pageserver {
    struct pg_programs programs; /* borrowed strings */
    struct serverdir dir;
    struct viewmount mount;
    int program_fd; /* lend_program() */
    struct pg_private *server;
};

static int prepare_recovery(struct pageserver *s, const struct pageserver_request *req,
                            struct err *err)
{
    int rc = serverfiles_begin(s->dir.data, req->standby, err);

    return rc < 0 ? rc
                  : serverfiles_check_wal(s->dir.data, req->wal_segment_bytes, req->wal_from, err);
}

static struct lookahead *look_ahead(struct pageserver *s, const struct pageserver_request *req)
{
    char *wal = mem_printf("%s/pg_wal", s->dir.data);
    struct lookahead *ahead = lookahead_start(&(struct lookahead_request){.wal_dir = req->wal_dir,
                                                                          .log = req->log,
                                                                          .from = req->wal_from,
                                                                          .system = req->wal_system,
                                                                          .wal = wal,
                                                                          .run = s->dir.run});

    free(wal);
    return ahead;
}

static int run_server(struct pageserver *s, const struct pageserver_request *req, struct err *err)
{
    char **env = restorecmd_env(req->env, s->dir.run, s->program_fd, req->wal_from);
    struct pg_setting *settings = restorecmd_guard(req->settings, req->log, req->recover);
    struct pg_private_request private = {.programs = req->programs,
                                         .data = s->dir.data,
                                         .run_dir = s->dir.run,
                                         .tool_fd = s->program_fd,
                                         .settings = settings,
                                         .env = env,
                                         .connections = req->connections,
                                         .max_prepared = req->max_prepared,
                                         .shared_buffers = req->shared_buffers,
                                         .database = req->database,
                                         .unread = req->unread,
                                         .quick_end = req->recover,
                                         .stop_fd = req->stop_fd};
    struct lookahead *ahead = NULL;
    int rc = 0;

    if (req->recover || req->standby)
        rc = prepare_recovery(s, req, err);
    if (rc == 0 && req->log)
        ahead = look_ahead(s, req);
    if (rc == 0)
        rc = pg_private_start(&private, &s->server, err);
    if (rc == 0 && !req->standby)
        rc = pg_private_wait(s->server, err);
    lookahead_stop(ahead);
    restorecmd_guard_free(settings);
    restorecmd_env_free(env);
    return rc;
}

static int start_server(struct pageserver *s, const struct pageserver_request *req, struct err *err)
{
    bool guarded = req->recover || req->standby;
    int rc = guarded ? lend_program(&s->programs.as, &s->program_fd, err) : 0;

    return rc < 0 ? rc : run_server(s, req, err);
}

static void free_pageserver(struct pageserver *s)
{
    serverdir_remove(&s->dir);
    if (s->program_fd >= 0)
        close(s->program_fd);
    viewmount_free(&s->mount);
    free(s);
}

static struct pageserver_heard hear_server(const struct pageserver *s)
{
    return (struct pageserver_heard){.log = pg_private_log(s->server),
                                     .fetcher = restorecmd_said(s->dir.run)};
}

/* Log that a command fetched after where recovery ended. */
static uint64_t fetch_again(const struct pageserver *s, const struct pageserver_request *req,
                            uint32_t timeline, uint64_t end)
{
    return refetch_damage(&(struct refetch_request){.programs = &s->programs,
                                                    .data = s->dir.data,
                                                    .command = restorecmd_given(req->settings),
                                                    .env = req->env,
                                                    .segment_bytes = req->wal_segment_bytes,
                                                    .system = req->wal_system,
                                                    .from = req->wal_from,
                                                    .timeline = timeline,
                                                    .end = end,
                                                    .stop_fd = req->stop_fd});
}

/* Where recovery has ended. What a command fetched is seen only now. */
static void hear_end(const struct pageserver *s, const struct pageserver_request *req,
                     struct pageserver_heard *heard)
{
    char *wal = mem_printf("%s/pg_wal", s->dir.data);
    struct reached reached = {0};
    uint32_t timeline;

    heard->end = reached_switch_point(wal, &timeline);
    if (!req->log && heard->log) {
        reached_read_log(heard->log, &reached);
        heard->more = reached_damage(wal, reached.last, req->wal_segment_bytes);
        if (!heard->more && heard->end && !reached.stopped)
            heard->more = fetch_again(s, req, timeline, heard->end);
    }
    free(wal);
}

void pageserver_heard_free(struct pageserver_heard *heard)
{
    free(heard->log);
    free(heard->fetcher);
    *heard = (struct pageserver_heard){0};
}

static int mount_view(struct pageserver *s, const struct pageserver_request *req, struct err *err)
{
    return viewmount_start(
        &s->mount,
        &(struct viewmount_request){
            .store = req->store, .view = req->view, .dir = &s->dir, .stop_fd = req->stop_fd},
        err);
}

int pageserver_start(const struct pageserver_request *req, struct pageserver **result,
                     struct pageserver_heard *heard, struct err *err)
{
    struct pageserver *s = mem_alloc(sizeof(*s));
    int rc;

    if (heard)
        *heard = (struct pageserver_heard){0};
    s->programs = *req->programs;
    s->program_fd = -1;
    s->mount.out_fd = -1;
    rc = serverdir_make(&s->dir, &s->programs.as, err);
    if (rc == 0)
        rc = mount_view(s, req, err);
    if (rc == 0)
        rc = start_server(s, req, err);
    if (s->server && heard)
        *heard = hear_server(s);
    if (rc == 0 && heard && req->recover)
        hear_end(s, req, heard);
    if (rc < 0) {
        pageserver_abandon(s);
        return rc;
    }
    *result = s;
    return 0;
}

struct pg_private *pageserver_private(struct pageserver *s)
{
    return s->server;
}

static int check_shut_down(struct pageserver *s, enum pg_state wanted, struct pg_control *c,
                           struct err *err)
{
    int rc = pg_control_read(&s->programs, s->dir.data, c, err);

    if (rc == 0 && c->state != wanted)
        rc = err_set(err, EIO, "the private server did not shut down (pg_control says \"%s\")",
                     c->state_text);
    return rc;
}

int pageserver_stop(struct pageserver *s, struct err *err)
{
    struct pg_control control;
    struct err ignored;
    int rc = pg_private_stop(s->server, err);
    int ended;

    s->server = NULL;
    if (rc == 0)
        rc = check_shut_down(s, PG_STATE_SHUT_DOWN, &control, err);
    if (rc == 0)
        rc = serverfiles_end(s->dir.data, err);
    ended = viewmount_end(&s->mount, &s->dir, rc < 0 ? &ignored : err);
    free_pageserver(s);
    return rc < 0 ? rc : ended;
}

/* ---- a standby ---- */

static bool is_enough(void *arg)
{
    const struct pageserver *s = arg;
    char missing[RESTORECMD_NAME_MAX];

    return viewmount_has_ended(&s->mount) || restorecmd_misses(s->dir.run, missing);
}

static int replay_and_stop(struct pageserver *s, struct pageserver_standby *r, struct err *err)
{
    int rc = pg_private_wait_end_or(s->server, is_enough, s, err);

    if (rc == 1 && viewmount_has_ended(&s->mount))
        rc = err_set(err, EIO, "the process that served the view ended too early");
    r->heard = hear_server(s);
    restorecmd_misses(s->dir.run, r->missing);
    if (rc == 1) {
        rc = pg_private_stop(s->server, err);
        s->server = NULL;
    }
    if (rc == 0)
        rc = check_shut_down(s, PG_STATE_SHUT_DOWN_IN_RECOVERY, &r->control, err);
    return rc;
}

int pageserver_stop_standby(struct pageserver *s, const char *wal_dir,
                            struct pageserver_standby *result, struct err *err)
{
    struct err ignored;
    int rc, ended;

    *result = (struct pageserver_standby){0};
    rc = replay_and_stop(s, result, err);
    result->never_began = serverfiles_has_label(s->dir.data);
    if (rc == 0)
        rc = serverfiles_end_standby(s->dir.data, wal_dir, err);
    pg_private_abandon(s->server);
    s->server = NULL;
    ended = viewmount_end(&s->mount, &s->dir, rc < 0 ? &ignored : err);
    free_pageserver(s);
    return rc < 0 ? rc : ended;
}

void pageserver_abandon(struct pageserver *s)
{
    struct err ignored;

    if (!s)
        return;
    pg_private_abandon(s->server);
    viewmount_end(&s->mount, &s->dir, &ignored);
    free_pageserver(s);
}
