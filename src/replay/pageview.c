#include "replay/pageview.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "pg/private.h"
#include "replay/livefreeze.h"
#include "replay/making.h"
#include "replay/owner.h"
#include "replay/pageserver.h"
#include "replay/replay.h"
#include "replay/serverdir.h"
#include "replay/viewcontrol.h"

struct pageview {
    const struct pageview_request *req;
    struct store *store;
    struct pg_programs programs;
    char *name;        /* of the view */
    char *frozen;      /* the base that was frozen for it; NULL: none was */
    char *scratch;     /* of the view that the reading server writes; NULL: none yet */
    bool made;         /* by this process, and not complete */
    int making_fd;     /* flock: nobody else makes a view of that name; -1 */
    unsigned prepared; /* transactions that the server has room for */
    struct pageserver *server;
    struct store_view *pages; /* NULL: not asked for */
    struct moment_shown shown;
    uint64_t replayed; /* bytes of log */
};

/* A view that is read without the server that replayed it: now, or at another time. */
static bool is_completed(const struct pageview *v)
{
    return v->req->view || v->req->pages;
}

bool pageview_is_complete(const struct pageview *v)
{
    return is_completed(v);
}

uint64_t pageview_replayed(const struct pageview *v)
{
    return v->replayed;
}

/* ---- the store ---- */

/* One process at a time makes a view of this name. */
static int lock_name(struct pageview *v, struct err *err)
{
    int rc = making_lock(v->store, v->name, true, &v->making_fd, err);

    return rc == 1
               ? err_set(err, EBUSY, "the view \"%s\" is being made by another process", v->name)
               : rc;
}

static void unlock_name(struct pageview *v)
{
    if (v->making_fd < 0)
        return;
    making_unlock(v->store, v->name, v->making_fd);
    v->making_fd = -1;
}

/* ---- the view: there, or made ---- */

static int check_same_moment(struct pageview *v, const struct store_view_facts *f, struct err *err)
{
    char *words = moment_words(&v->req->moment);
    int rc = 0;

    if (v->req->moment.kind != MOMENT_NONE && (!f->target || strcmp(words, f->target) != 0))
        rc = err_set(err, EEXIST, "the view \"%s\" exists, and shows %s", v->name,
                     f->target ? f->target : "nothing that was asked for");
    free(words);
    return rc;
}

/* What view.json says; of a view that an older asofs made, where it knew no time, what is certain:
 * it was not before its base. */
static void take_shown(struct pageview *v, const struct store_view_facts *f)
{
    struct store_base_facts base;
    char *below = NULL;

    v->shown = (struct moment_shown){.lsn = f->lsn, .time_us = f->time_us};
    if (!f->time_us && store_read_view(v->store, v->name, &below, NULL) == 0 &&
        store_base_facts(v->store, below, &base, NULL) == 0)
        v->shown.time_us = base.start_time * INT64_C(1000000);
    free(below);
}

/* 1: it is there and complete; 0: it has to be made. */
static int look_for_view(struct pageview *v, struct err *err)
{
    struct store_view_facts f;
    int rc;

    if (!store_has_view(v->store, v->name))
        return v->req->moment.kind != MOMENT_NONE
                   ? 0
                   : err_set(err, ENOENT, "there is no view \"%s\" in %s; --at=TIME makes one",
                             v->name, store_path(v->store));
    rc = store_view_facts(v->store, v->name, &f, err);
    if (rc < 0)
        return rc;
    if (!f.complete && !f.target)
        rc = err_set(err, EINVAL, "the view \"%s\" was not made of a moment (asofs pagefs)",
                     v->name);
    else
        rc = check_same_moment(v, &f, err);
    if (rc == 0 && f.complete)
        take_shown(v, &f);
    if (rc == 0) /* one that was not completed is discarded */
        rc = f.complete ? 1 : store_drop_view(v->store, v->name, err);
    store_view_facts_free(&f);
    return rc;
}

/* Once. */
static int find_programs(struct pageview *v, struct err *err)
{
    return v->programs.bindir ? 0
                              : owner_find_programs(v->store, v->req->bindir, &v->programs, err);
}

/* The newest of a live base is what its server has now; but not of a log that was named. */
static bool is_now(const struct pageview *v)
{
    return v->req->moment.kind == MOMENT_LATEST && !v->req->log && !v->req->restore_command &&
           livefreeze_is_served(v->store);
}

static int make_view(struct pageview *v, const char *log, struct err *err)
{
    struct replay_result result = {.prepared = v->prepared};
    int rc = replay_run(&(struct replay_request){.store = v->store,
                                                 .programs = &v->programs,
                                                 .view = v->name,
                                                 .moment = &v->req->moment,
                                                 .log = log,
                                                 .restore_command = v->req->restore_command,
                                                 .only = v->frozen,
                                                 .database = v->req->database,
                                                 .connections = v->req->connections,
                                                 .completed = is_completed(v),
                                                 .stop_fd = v->req->stop_fd},
                        &result, err);

    v->prepared = result.prepared;
    v->made = result.made;
    v->server = result.server;
    v->shown = result.shown;
    v->replayed = result.replayed;
    return rc;
}

/* By a process that becomes the owner of the store, which this one only is for its files: as him the
 * server is connected to. */
static int checkpoint(const struct pageview *v, struct err *err)
{
    char *path = mem_strdup(store_path(v->store));
    char *argv[] = {"asofs", "live", "--", path, "checkpoint", NULL};
    struct buf said = {0};
    int rc = v->req->checkpoint ? proc_run_self(argv, v->req->stop_fd, &said) : 0;

    if (rc == -EINTR)
        err_set(err, EINTR, "interrupted");
    else if (rc != 0)
        rc = err_set(err, EIO, "the live base was not frozen: %s", said.data ? said.data : "");
    buf_free(&said);
    free(path);
    return rc;
}

/* The live base is frozen, and shown as far as the log of the freeze goes: no further. */
static int make_view_of_now(struct pageview *v, struct err *err)
{
    const struct store_freeze what = {.view = v->name};
    int rc = checkpoint(v, err);
    char *log;

    if (rc == 0)
        rc = livefreeze_make(v->store, &v->programs, &what, &v->frozen, err);

    if (rc < 0)
        return rc;
    log = livefreeze_wal(v->store, v->frozen);
    rc = make_view(v, log, err);
    free(log);
    return rc;
}

static int find_or_make(struct pageview *v, struct err *err)
{
    int rc;

    v->name = v->req->view ? mem_strdup(v->req->view) : making_temporary_name("mount");
    serverdir_clear(&v->programs.as);
    making_clear_leftovers(v->store);
    livefreeze_clear(v->store);
    rc = lock_name(v, err);
    if (rc == 0)
        rc = look_for_view(v, err);
    if (rc == 0)
        rc = find_programs(v, err);
    if (rc == 0 && v->req->checkpoint && !is_now(v))
        rc = err_set(err, EINVAL,
                     "--checkpoint goes with --latest of a store whose live base is served");
    if (rc == 0)
        rc = is_now(v) ? make_view_of_now(v, err) : make_view(v, v->req->log, err);
    unlock_name(v);
    return rc < 0 ? rc : 0;
}

/* ---- reading it ---- */

/* A view that is kept is not written: the server has a scratch view over it. */
static int start_reader(struct pageview *v, struct err *err)
{
    char locks[MAKING_LOCKS_MAX], *parent = mem_printf("view/%s", v->name);
    const struct pg_setting settings[] = {
        {"max_locks_per_transaction",
         making_enough_locks(v->store, v->name, v->req->connections + v->prepared, locks)},
        {0}};
    struct pageserver_request req = {.programs = &v->programs,
                                     .store = store_path(v->store),
                                     .settings = settings,
                                     .connections = v->req->connections,
                                     .max_prepared = v->prepared,
                                     .database = v->req->database,
                                     .stop_fd = v->req->stop_fd};
    int rc;

    v->scratch = making_temporary_name("read");
    req.view = v->scratch;
    rc = store_create_view(v->store, v->scratch, parent, NULL, err);
    free(parent);
    if (rc < 0) {
        free(v->scratch);
        v->scratch = NULL;
        return rc;
    }
    rc = pageserver_start(&req, &v->server, NULL, err);
    if (rc < 0 && making_needs_more_prepared(&v->prepared, err)) {
        req.max_prepared = v->prepared;
        rc = pageserver_start(&req, &v->server, NULL, err);
    }
    if (rc < 0)
        making_hint_full(v->store, err);
    return rc;
}

/* checked: a server has just had the base's files compared. */
static int open_pages(struct pageview *v, bool checked, struct err *err)
{
    return v->pages ? 0 : making_open_pages(v->store, v->name, !checked, &v->pages, err);
}

int pageview_open(const struct pageview_request *req, struct pageview **result, struct err *err)
{
    struct pageview *v = mem_alloc(sizeof(*v));
    int rc;

    v->req = req;
    v->making_fd = -1;
    v->prepared = MAKING_FEW_PREPARED;
    rc = owner_open(req->store, req->run_as, &v->store, &v->programs, err);
    if (rc == 0)
        rc = find_or_make(v, err);
    if (rc == 0 && req->pages)
        rc = open_pages(v, v->made, err);
    owner_leave(&v->programs);
    if (rc < 0) {
        pageview_close(v);
        return rc;
    }
    *result = v;
    return 0;
}

int pageview_serve(struct pageview *v, struct err *err)
{
    int rc = v->server ? 0 : owner_enter(&v->programs, err);

    if (rc < 0 || v->server)
        return rc;
    rc = find_programs(v, err);
    if (rc == 0)
        rc = start_reader(v, err);
    owner_leave(&v->programs);
    return rc;
}

char *const *pageview_databases(const struct pageview *v)
{
    return pg_private_databases(pageserver_private(v->server));
}

const struct pg_omitted *pageview_omitted(const struct pageview *v)
{
    return pg_private_omitted(pageserver_private(v->server));
}

const char *pageview_bindir(const struct pageview *v)
{
    return v->programs.bindir;
}

struct moment_shown pageview_shown(const struct pageview *v)
{
    return v->shown;
}

char *pageview_source(const struct pageview *v, const char *database)
{
    struct buf quoted = {0};
    char *source;

    for (; *database; database++) {
        if (*database == '\'' || *database == '\\')
            buf_putc(&quoted, '\\');
        buf_putc(&quoted, *database);
    }
    source = mem_printf("%s dbname='%s'", pg_private_conninfo(pageserver_private(v->server)),
                        quoted.data ? quoted.data : "");
    buf_free(&quoted);
    return source;
}

static void drop_quietly(struct pageview *v, const char *name)
{
    struct err err;

    if (store_drop_view(v->store, name, &err) < 0)
        log_note("%s", err.text);
}

struct store_view *pageview_pages(const struct pageview *v)
{
    return v->pages;
}

static void release_server(struct pageview *v)
{
    pageserver_abandon(v->server);
    v->server = NULL;
    if (v->scratch)
        drop_quietly(v, v->scratch);
    free(v->scratch);
    v->scratch = NULL;
}

static void clear_up(struct pageview *v)
{
    release_server(v);
    if (v->pages)
        store_close_view(v->pages, NULL);
    if (v->name && (v->made || !v->req->view) && store_has_view(v->store, v->name))
        drop_quietly(v, v->name);
    if (v->frozen && !store_has_view(v->store, v->name))
        livefreeze_drop(v->store, v->frozen, NULL); /* unless something else stands on it by now */
    unlock_name(v);
}

/* ---- the pages ---- */

static int stop_server(struct pageview *v, struct err *err)
{
    struct pageserver *s = v->server;

    if (v->scratch) { /* what it wrote is not the view's */
        release_server(v);
        return 0;
    }
    v->server = NULL;
    return s ? pageserver_stop(s, err) : 0;
}

static int freeze_pages(struct pageview *v, struct pg_control *c, struct err *err)
{
    int rc = stop_server(v, err);

    if (rc == 0)
        rc = open_pages(v, true, err);
    if (rc == 0)
        rc = viewcontrol_read(store_view_datadir(v->pages), &v->programs, c, err);
    if (rc < 0)
        making_hint_full(v->store, err);
    return rc;
}

int pageview_freeze(struct pageview *v, struct pg_control *c, struct err *err)
{
    int rc = owner_enter(&v->programs, err);

    if (rc < 0)
        return rc;
    rc = freeze_pages(v, c, err);
    owner_leave(&v->programs);
    return rc;
}

int pageview_open_pages(struct pageview *v, struct err *err)
{
    int rc = owner_enter(&v->programs, err);

    if (rc < 0)
        return rc;
    rc = open_pages(v, v->made, err);
    owner_leave(&v->programs);
    return rc;
}

/* ---- notes ---- */

int pageview_read_note(struct pageview *v, const char *name, char **bytes, size_t *len,
                       struct err *err)
{
    int rc = owner_enter(&v->programs, err);

    *bytes = NULL;
    if (rc < 0)
        return rc;
    rc = store_read_note(v->store, v->name, name, bytes, len, err);
    owner_leave(&v->programs);
    return rc;
}

int pageview_write_note(struct pageview *v, const char *name, const struct buf *b, struct err *err)
{
    int rc = owner_enter(&v->programs, err);

    if (rc < 0)
        return rc;
    rc = store_write_note(v->store, v->name, name, b->data, b->len, err);
    owner_leave(&v->programs);
    return rc;
}

int pageview_read_note_entered(struct pageview *v, const char *name, char **bytes, size_t *len,
                               struct err *err)
{
    return store_read_note(v->store, v->name, name, bytes, len, err);
}

int pageview_write_note_entered(struct pageview *v, const char *name, const struct buf *b,
                                struct err *err)
{
    return store_write_note(v->store, v->name, name, b->data, b->len, err);
}

/* As the owner, or, if this thread cannot become that user, not at all: the next mount does. */
static void do_entered(struct pageview *v, void (*what)(struct pageview *v))
{
    struct err err;

    if (owner_enter(&v->programs, &err) < 0) {
        log_error("%s", err.text);
        return;
    }
    what(v);
    owner_leave(&v->programs);
}

const struct pg_identity *pageview_identity(const struct pageview *v)
{
    return &v->programs.as;
}

int pageview_enter(const struct pageview *v, struct err *err)
{
    return v ? owner_enter(&v->programs, err) : 0;
}

void pageview_leave(const struct pageview *v)
{
    if (v)
        owner_leave(&v->programs);
}

void pageview_release(struct pageview *v)
{
    if (v)
        do_entered(v, release_server);
}

void pageview_close(struct pageview *v)
{
    if (!v)
        return;
    do_entered(v, clear_up);
    free(v->scratch);
    free(v->frozen);
    free(v->name);
    pg_programs_free(&v->programs);
    if (v->store)
        store_close(v->store);
    free(v);
}
