#include "view/advance.h"

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
#include "view/pageserver.h"
#include "view/pagestore.h"

#define MOST_LAYERS (DATADIR_LAYERS - 3) /* a view comes on top, and one on that */
#define RETRY_INTERVAL "100ms"

struct advance {
    const struct advance_request *req;
    struct store *store;
    struct pg_programs programs;
    struct store_base_facts parent; /* of the base that is advanced */
    char *view;                     /* that becomes the layer; NULL: there is none */
    struct page_log log;
    int lock_fd; /* flock: nobody else advances a base of this store; -1 */
};

static int lock_store(struct advance *a, struct err *err)
{
    char *path = mem_printf("%s/advancing", store_path(a->store));
    int rc = 0;

    a->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
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

    if (a->req->until.kind == MOMENT_NONE || moment_is_behind(&a->req->until, &a->parent))
        return 0;
    words = moment_words(&a->req->until);
    err_set(err, ERANGE, "%s is before the first moment of base %s, the newest of %s", words,
            r->parent, store_path(a->store));
    free(words);
    return -ERANGE;
}

static int check_layers(const struct advance *a, const struct advance_result *r, struct err *err)
{
    struct store_base b;
    int rc = store_open_base(a->store, r->parent, &b, err);

    if (rc < 0)
        return rc;
    if (b.n_layers >= MOST_LAYERS)
        rc = err_set(err, ENOTSUP,
                     "base %s of %s stands on %u layers, and no more can be put on it: take a new "
                     "base (asofs base create)",
                     r->parent, store_path(a->store), b.n_layers);
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

/* The newest of those of which anything is known. */
static int choose_parent(struct advance *a, struct advance_result *r, struct err *err)
{
    struct moment_base *bases = NULL;
    char **ids;
    unsigned n;
    int rc = store_bases(a->store, &ids, err);

    if (rc < 0)
        return rc;
    rc = page_read_bases(a->store, ids, &bases, &n, err);
    if (rc == 0)
        rc = leave_branches(a, bases, &n, err);
    if (rc == 0) {
        r->parent = mem_strdup(bases[n - 1].id);
        a->parent = bases[n - 1].facts;
        rc = check_until(a, r, err);
    }
    if (rc == 0)
        rc = check_layers(a, r, err);
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

/* With the note that page_server_stop_standby wants. Histories of timelines may well be missing. */
static char *noting_command(const struct advance *a)
{
    return mem_printf(
        "( %s ) || { case \"%%f\" in *.*) ;; *) echo \"%%f\" >>\"$ASOFS_RUN/missing\" "
        ";; esac; false; }",
        a->log.command ? a->log.command : link_segment);
}

struct plan {
    char *command, timeline[PAGE_TIMELINE_MAX];
    struct pg_setting settings[8];
};

static void set_plan(const struct advance *a, struct plan *p)
{
    const struct moment *m = &a->req->until;
    struct pg_setting *s = p->settings;

    p->command = noting_command(a);
    *s++ = (struct pg_setting){"restore_command", p->command};
    *s++ = (struct pg_setting){"recovery_target_timeline",
                               page_target_timeline(&a->log, &a->parent, p->timeline)};
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
    char *name = page_temporary_name("advance");
    int rc = store_create_view(a->store, name, base, page_hidden, err);

    if (rc < 0) {
        free(name);
        return rc;
    }
    a->view = name;
    return store_set_view_facts(a->store, name, &replaying, err);
}

/* As far as it goes. */
static int replay(struct advance *a, struct page_standby *reached, struct err *err)
{
    char **env = page_log_env(a->store, &a->log);
    struct page_server *server = NULL;
    struct plan plan;
    struct page_server_request req = {.programs = &a->programs,
                                      .store = store_path(a->store),
                                      .view = a->view,
                                      .settings = plan.settings,
                                      .env = env,
                                      .standby = true,
                                      .max_prepared = PAGE_PREPARED_MARGIN,
                                      .shared_buffers = PAGE_REPLAY_BUFFERS,
                                      .stop_fd = a->req->stop_fd};
    int rc;

    set_plan(a, &plan);
    rc = page_server_start(&req, &server, NULL, err);
    if (rc == 0)
        rc = page_server_stop_standby(server, a->log.dir, reached, err);
    if (rc == 0 && !a->log.command)
        rc = page_check_missing(&a->programs, a->log.dir, reached->missing, err);
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

static void find_facts(const struct advance *a, const struct page_standby *reached,
                       struct store_base_facts *f)
{
    const struct pg_control *c = &reached->control;
    int64_t us = page_last_commit(reached->log);

    *f = (struct store_base_facts){.start_lsn = c->redo,
                                   .consistent_lsn = c->min_recovery,
                                   .start_time = c->checkpoint_time,
                                   .consistent_time = us ? safe_time(us) : c->checkpoint_time + 1,
                                   .timeline = c->timeline};
    if (c->min_recovery && c->min_recovery_timeline > f->timeline)
        f->timeline = c->min_recovery_timeline; /* that of the first moment */
    if (f->consistent_lsn < c->checkpoint)
        f->consistent_lsn = c->checkpoint;
    if (f->consistent_time < a->parent.consistent_time)
        f->consistent_time = a->parent.consistent_time;
}

/* 1: recovery can go on from there, and from further on than before. 0: not from further on. */
static int is_gain(const struct advance *a, const struct advance_result *r,
                   const struct pg_control *c, struct err *err)
{
    if (c->redo <= a->parent.start_lsn)
        return 0;
    if (c->backup_start || c->backup_end_required)
        return err_set(err, ERANGE,
                       "the log ends before the end of the backup that base %s is made of",
                       r->parent);
    return 1;
}

static int keep_layer(struct advance *a, const struct page_standby *reached,
                      struct advance_result *r, struct err *err)
{
    struct moment_base layer = {0};
    int rc = is_gain(a, r, &reached->control, err);

    if (rc <= 0)
        return rc;
    find_facts(a, reached, &r->facts);
    layer.facts = r->facts;
    rc = moment_check_history(&layer, &a->log.list, r->facts.consistent_lsn, err);
    if (rc == 0)
        rc = page_make_durable(a->store, a->view, err);
    if (rc == 0)
        rc = store_finish_layer(a->store, a->view, &r->facts, &r->id, err);
    return rc;
}

static int make_layer(struct advance *a, struct advance_result *r, struct err *err)
{
    struct page_standby reached = {0};
    int rc;

    page_become_owner(&a->programs);
    rc = create_view(a, r->parent, err);
    page_become_self(&a->programs);
    if (rc == 0)
        rc = replay(a, &reached, err);
    page_become_owner(&a->programs);
    if (rc == 0)
        rc = keep_layer(a, &reached, r, err);
    if (rc < 0)
        page_hint_full(a->store, err);
    if (a->view && store_has_view(a->store, a->view))
        store_drop_view(a->store, a->view, rc < 0 ? NULL : err);
    page_become_self(&a->programs);
    free(reached.log);
    return rc;
}

static int prepare(struct advance *a, struct advance_result *r, struct err *err)
{
    int rc = store_open(a->req->store, &a->store, err);

    if (rc == 0)
        rc = page_find_programs(a->store, a->req->run_as, a->req->bindir, &a->programs, err);
    if (rc < 0)
        return rc;
    rc = page_read_log(a->store, a->req->log, a->req->restore_command, &a->log, err);
    if (rc < 0)
        return rc;
    page_become_owner(&a->programs);
    rc = lock_store(a, err);
    if (rc == 0) {
        page_clear_leftovers(a->store);
        rc = choose_parent(a, r, err);
    }
    page_become_self(&a->programs);
    return rc;
}

int base_advance(const struct advance_request *req, struct advance_result *r, struct err *err)
{
    struct advance a = {.req = req, .lock_fd = -1};
    int rc;

    *r = (struct advance_result){0};
    rc = prepare(&a, r, err);
    if (rc == 0)
        rc = make_layer(&a, r, err);
    if (a.lock_fd >= 0)
        close(a.lock_fd);
    log_free(&a.log.list);
    free(a.view);
    pg_programs_free(&a.programs);
    store_close(a.store);
    return rc;
}

void advance_result_free(struct advance_result *r)
{
    free(r->parent);
    free(r->id);
    *r = (struct advance_result){0};
}
