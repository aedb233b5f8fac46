#include "base/advance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "base/layering.h"
#include "replay/pageserver.h"
#include "replay/making.h"
#include "replay/owner.h"
#include "replay/pagewal.h"
#include "replay/reached.h"

#define MOST_LAYERS (DATADIR_LAYERS - 3) /* a view comes on top, and one on that */
#define RETRY_INTERVAL "100ms"

struct advance {
    const struct advance_request *req;
    struct store *store;
    struct pg_programs programs;
    struct store_base_facts newest; /* of the newest base: the layer has to get further */
    char *tries[DATADIR_LAYERS];    /* bases that it can stand on, the best first */
    unsigned n_tries;
    bool full;  /* the newest base carries no more: none of them is that */
    char *view; /* that becomes the layer; NULL: there is none */
    struct pagewal log;
    int lock_fd; /* flock: nobody else advances a base of this store; -1 */
};

static int lock_store(struct advance *a, struct err *err)
{
    char *path = mem_printf("%s/advancing", store_path(a->store));
    int rc = 0;

    a->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (a->lock_fd < 0)
        rc = err_errno(err, "cannot make %s", path);
    else if (flock(a->lock_fd, LOCK_EX | LOCK_NB) < 0)
        rc = err_set(err, EBUSY, "another process advances a base of %s", store_path(a->store));
    free(path);
    return rc;
}

/* ---- which base ---- */

static int check_until(const struct advance *a, const struct advance_result *r, struct err *err)
{
    char *words;

    if (a->req->until.kind == MOMENT_NONE || moment_is_after(&a->req->until, &a->newest))
        return 0;
    words = moment_words(&a->req->until);
    err_set(err, ERANGE, "%s is before the first moment of base %s, the newest of %s", words,
            r->parent, store_path(a->store));
    free(words);
    return -ERANGE;
}

/* Whether replay can begin at a base and get to the newest. Of a log that cannot be listed, that is
 * to be tried. */
static int look_for_wal(const struct advance *a, const char *id, bool *has_wal, struct err *err)
{
    struct store_base_facts f;
    uint64_t end;
    int rc = store_base_facts(a->store, id, &f, err);

    if (rc < 0)
        return rc;
    *has_wal = a->log.command || (wal_covers(&a->log.list, f.timeline, f.start_lsn, &end) &&
                                  end > a->newest.start_lsn);
    return 0;
}

static int plan_layer(struct advance *a, const struct store_base *b, struct err *err)
{
    struct layering_base chain[DATADIR_LAYERS + 1];
    char *const *ids = b->layer_ids;
    unsigned tries[DATADIR_LAYERS + 1], n = b->n_layers + 1, i;
    int rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        const char *id = i ? ids[i - 1] : b->directory_id;

        chain[i].id = strtoul(id, NULL, 10);
        rc = look_for_wal(a, id, &chain[i].has_wal, err);
    }
    if (rc < 0)
        return rc;
    a->n_tries = layering_plan(chain, n, MOST_LAYERS, tries);
    for (i = 0; i < a->n_tries; i++)
        a->tries[i] = mem_strdup(tries[i] ? ids[tries[i] - 1] : b->directory_id);
    return 0;
}

static int no_room(const struct advance *a, const struct advance_result *r, struct err *err)
{
    return err_set(err, ENOTSUP,
                   "base %s of %s stands on %d layers, and no more can be put on it; to replace "
                   "some of them, log is needed that is not there any more: take a new base (asofs "
                   "base create)",
                   r->parent, store_path(a->store), MOST_LAYERS);
}

static int choose_parents(struct advance *a, const struct advance_result *r, struct err *err)
{
    struct store_base b;
    int rc = store_open_base(a->store, r->parent, &b, err);

    if (rc < 0)
        return rc;
    a->full = b.n_layers >= MOST_LAYERS;
    rc = plan_layer(a, &b, err);
    if (rc == 0 && !a->n_tries)
        rc = no_room(a, r, err);
    store_close_base(&b);
    return rc;
}

/* Those that the log does not lead on from are none. */
static int leave_branches(const struct advance *a, struct moment_base *bases, unsigned *n,
                          struct err *err)
{
    unsigned all = *n;

    *n = moment_leave_branches(bases, all, &a->log.list);
    if (all && !*n)
        return moment_refuse_left("no base can be advanced", &bases[all - 1], &a->log.list, err);
    return *n ? 0
              : err_set(err, ENOENT, "the store %s has no base that can be replayed",
                        store_path(a->store));
}

/* Those that are freezes are none: a new freeze is had at once, and a layer would hold the old one. */
static int leave_freezes(const struct advance *a, struct moment_base *bases, unsigned *n,
                         struct err *err)
{
    unsigned i, kept = 0;
    uint64_t number;
    char *view;
    int rc = 0;

    for (i = 0; i < *n && rc >= 0; i++) {
        rc = store_is_frozen(a->store, bases[i].id, &number, &view, err);
        free(view);
        if (rc == 0)
            bases[kept++] = bases[i];
    }
    if (rc >= 0 && *n && !kept)
        rc = err_set(err, ENOTSUP,
                     "what %s has are freezes of a live base, which are not replayed forward: "
                     "freeze it again (asofs live %s freeze)",
                     store_path(a->store), store_path(a->store));
    *n = kept;
    return rc < 0 ? rc : 0;
}

/* The newest of those of which anything is known. */
static int choose_newest(struct advance *a, struct advance_result *r, struct err *err)
{
    struct moment_base *bases = NULL;
    char **ids;
    unsigned n;
    int rc = store_bases(a->store, &ids, err);

    if (rc < 0)
        return rc;
    rc = making_read_bases(a->store, ids, &bases, &n, err);
    if (rc == 0)
        rc = leave_freezes(a, bases, &n, err);
    if (rc == 0)
        rc = leave_branches(a, bases, &n, err);
    if (rc == 0) {
        r->parent = mem_strdup(bases[n - 1].id);
        a->newest = bases[n - 1].facts;
        rc = check_until(a, r, err);
    }
    if (rc == 0)
        rc = choose_parents(a, r, err);
    free(bases);
    store_names_free(ids);
    return rc;
}

/* ---- replay ---- */

/*
 * Whole segments only: a standby would ask for one that still grows again and again. They are
 * linked into the view, copied where the server could not open them for writing.
 */
static const char link_segment[] =
    "f=\"$ASOFS_LOG/%f\"; "
    "if [ -w \"$f\" ]; then ln -sf -- \"$f\" \"%p\"; else cp -- \"$f\" \"%p\" 2>/dev/null; fi";

/* With the note that pageserver_stop_standby wants. Histories of timelines may well be missing. */
static char *noting_command(const struct advance *a)
{
    return mem_printf(
        "( %s ) || { case \"%%f\" in *.*) ;; *) echo \"%%f\" >>\"$ASOFS_RUN/missing\" "
        ";; esac; false; }",
        a->log.command ? a->log.command : link_segment);
}

struct plan {
    char *command, timeline[PAGEWAL_TIMELINE_MAX];
    struct pg_setting settings[8];
};

static void set_plan(const struct advance *a, struct plan *p)
{
    const struct moment *m = &a->req->until;
    struct pg_setting *s = p->settings;

    p->command = noting_command(a);
    *s++ = (struct pg_setting){"restore_command", p->command};
    *s++ = (struct pg_setting){
        "recovery_target_timeline",
        pagewal_target_timeline(&a->log, &a->log.list, &a->newest, p->timeline)};
    *s++ = (struct pg_setting){"wal_retrieve_retry_interval", RETRY_INTERVAL};
    *s++ = (struct pg_setting){"log_checkpoints", "on"}; /* they tell the last commit */
    *s++ = (struct pg_setting){"recovery_target_action", "shutdown"};
    if (m->kind == MOMENT_TIME)
        *s++ = (struct pg_setting){"recovery_target_time", m->text};
    if (m->kind == MOMENT_LSN) {
        *s++ = (struct pg_setting){"recovery_target_lsn", m->text};
        *s++ = (struct pg_setting){"recovery_target_inclusive", "off"};
    }
    *s = (struct pg_setting){0};
}

static int create_view(struct advance *a, const char *base, struct err *err)
{
    static const struct store_view_facts replaying = {.target = (char *)(uintptr_t) "a layer"};
    char *name = making_temporary_name("advance");
    int rc = store_create_view(a->store, name, base, making_hidden, err);

    if (rc < 0) {
        free(name);
        return rc;
    }
    a->view = name;
    return store_set_view_facts(a->store, name, &replaying, err);
}

/* As far as it goes. */
static int replay(struct advance *a, struct pageserver_standby *reached, struct err *err)
{
    char **env = pagewal_env(a->store, &a->log);
    struct pageserver *server = NULL;
    struct plan plan;
    struct pageserver_request req = {.programs = &a->programs,
                                     .store = store_path(a->store),
                                     .view = a->view,
                                     .settings = plan.settings,
                                     .env = env,
                                     .wal_from = a->newest.start_lsn,
                                     .wal_segment_bytes = a->log.list.segment_bytes,
                                     .standby = true,
                                     .max_prepared = MAKING_PREPARED_MARGIN,
                                     .shared_buffers = MAKING_REPLAY_BUFFERS,
                                     .stop_fd = a->req->stop_fd};
    int rc;

    set_plan(a, &plan);
    rc = pageserver_start(&req, &server, NULL, err);
    if (rc == 0)
        rc = pageserver_stop_standby(server, a->log.dir, reached, err);
    if (rc == 0 && !a->log.command)
        rc = pagewal_check_missing(&a->programs, a->log.dir, reached->missing, err);
    free(plan.command);
    store_names_free(env);
    return rc;
}

/* ---- what came of it ---- */

/*
 * Commits are not quite in the order of their times. Rounded up, and a second more: for a moment
 * that close the layer below is taken.
 */
static int64_t safe_time(int64_t us)
{
    return us / 1000000 + 2;
}

static void find_facts(const struct advance *a, const struct pageserver_standby *reached,
                       struct store_base_facts *f)
{
    const struct pg_control *c = &reached->control;
    int64_t us = reached_last_commit(reached->heard.log);

    *f = (struct store_base_facts){.start_lsn = c->redo,
                                   .consistent_lsn = c->min_recovery,
                                   .start_time = c->checkpoint_time,
                                   .consistent_time = us ? safe_time(us) : c->checkpoint_time + 1,
                                   .timeline = c->timeline};
    if (c->min_recovery && c->min_recovery_timeline > f->timeline)
        f->timeline = c->min_recovery_timeline; /* that of the first moment */
    if (f->consistent_lsn < c->checkpoint)
        f->consistent_lsn = c->checkpoint;
    if (f->consistent_time < a->newest.consistent_time)
        f->consistent_time = a->newest.consistent_time;
}

/* 1: recovery can go on from there, and from further on than from the newest base. 0: not from
 * further on. */
static int is_gain(const struct advance *a, const char *base,
                   const struct pageserver_standby *reached, struct err *err)
{
    const struct pg_control *c = &reached->control;

    if (reached->never_began || c->redo <= a->newest.start_lsn)
        return 0;
    if (c->backup_start || c->backup_end_required)
        return err_set(err, ERANGE,
                       "the log ends before the end of the backup that base %s is made of", base);
    return 1;
}

static int keep_layer(struct advance *a, const struct pageserver_standby *reached,
                      struct advance_result *r, struct err *err)
{
    struct moment_base layer = {0};
    int rc;

    find_facts(a, reached, &r->facts);
    layer.facts = r->facts;
    rc = moment_check_history(&layer, &a->log.list, r->facts.consistent_lsn, err);
    if (rc == 0)
        rc = making_sync_view(a->store, a->view, err);
    return rc == 0 ? store_finish_layer(a->store, a->view, &r->facts, &r->id, err) : rc;
}

/* What is left of a view that became no layer. */
static void drop_view(struct advance *a, struct err *err)
{
    if (a->view && store_has_view(a->store, a->view))
        store_drop_view(a->store, a->view, err);
    free(a->view);
    a->view = NULL;
}

/* 1: it is made of that base, or, without `keep`, could be. 0: nothing would be gained. */
static int make_layer(struct advance *a, const char *base, bool keep, struct advance_result *r,
                      struct err *err)
{
    struct pageserver_standby reached = {0};
    int rc, gain = 0;

    rc = create_view(a, base, err);
    if (rc == 0)
        rc = replay(a, &reached, err);
    if (rc == 0)
        rc = gain = is_gain(a, base, &reached, err);
    if (rc == 1 && keep)
        rc = keep_layer(a, &reached, r, err);
    if (rc < 0)
        making_hint_full(a->store, err);
    drop_view(a, rc < 0 ? NULL : err);
    free(r->fetcher);
    r->fetcher = reached.heard.fetcher;
    reached.heard.fetcher = NULL;
    pageserver_heard_free(&reached.heard);
    if (rc < 0 && r->fetcher)
        making_hint_fetcher(r->fetcher, err);
    return rc < 0 ? rc : gain;
}

/*
 * There is something to be gained: a base from which it is not reached has not got the log for it.
 * Of a log that cannot be listed, that may look as a failure, too.
 */
static int replace_layers(struct advance *a, struct advance_result *r, struct err *err)
{
    int rc = 0;
    unsigned i;

    for (i = 0; i < a->n_tries; i++) {
        rc = make_layer(a, a->tries[i], true, r, err);
        if (rc == 1) {
            free(r->parent);
            r->parent = mem_strdup(a->tries[i]);
            return 0;
        }
        if (rc == -EINTR || (rc < 0 && !a->log.command))
            return rc;
        log_debug("base %s is not replayed forward: %s", a->tries[i],
                  rc < 0 ? err->text : "its log is not there");
    }
    return rc < 0 ? rc : no_room(a, r, err);
}

/*
 * Without room on the newest base more of the log is replayed than is new. Whether that would be
 * for nothing only replay can tell: the new log comes first, and what is made of it goes.
 */
static int advance(struct advance *a, struct advance_result *r, struct err *err)
{
    int rc = make_layer(a, r->parent, !a->full, r, err);

    return rc == 1 && a->full ? replace_layers(a, r, err) : rc < 0 ? rc : 0;
}

static int prepare_advance(struct advance *a, struct advance_result *r, struct err *err)
{
    int rc = owner_open_store(a->req->store, a->req->run_as, a->req->bindir, &a->store,
                              &a->programs, err);

    if (rc == 0)
        rc = pagewal_read(a->store, a->req->log, a->req->restore_command, &a->log, err);
    if (rc < 0)
        return rc;
    rc = lock_store(a, err);
    if (rc == 0) {
        making_clear_leftovers(a->store);
        rc = choose_newest(a, r, err);
    }
    return rc;
}

int base_advance(const struct advance_request *req, struct advance_result *r, struct err *err)
{
    struct advance a = {.req = req, .lock_fd = -1};
    unsigned i;
    int rc;

    *r = (struct advance_result){0};
    rc = prepare_advance(&a, r, err);
    if (rc == 0)
        rc = advance(&a, r, err);
    if (a.lock_fd >= 0)
        close(a.lock_fd);
    owner_leave(&a.programs);
    wal_free(&a.log.list);
    for (i = 0; i < a.n_tries; i++)
        free(a.tries[i]);
    pg_programs_free(&a.programs);
    store_close(a.store);
    return rc;
}

void advance_result_free(struct advance_result *r)
{
    free(r->parent);
    free(r->id);
    free(r->fetcher);
    *r = (struct advance_result){0};
}
