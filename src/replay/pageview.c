#include "replay/pageview.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "pg/control.h"
#include "pg/private.h"
#include "pg/serverlog.h"
#include "replay/pageserver.h"
#include "replay/making.h"
#include "replay/owner.h"
#include "replay/pagewal.h"
#include "replay/reached.h"
#include "replay/segment.h"
#include "replay/serverdir.h"

struct pageview {
    const struct pageview_request *req;
    struct store *store;
    struct pg_programs programs;
    char *name;        /* of the view */
    char *scratch;     /* of the view that the reading server writes; NULL: none yet */
    bool made;         /* by this process, and not complete */
    int making_fd;     /* flock: nobody else makes a view of that name; -1 */
    unsigned prepared; /* transactions that the server has room for */
    struct pageserver *server;
    struct store_view *pages; /* NULL: not asked for */
    struct pageview_shown shown;
};

/* A view that is read without the server that replayed it: now, or at another time. */
static bool is_completed(const struct pageview *v)
{
    return v->req->view || v->req->pages;
}

/* ---- prepared transactions ---- */

/* Room for many makes a server start slowly, and few have many. */
#define FEW_PREPARED 64

/* With more room it may do. */
static bool needs_more_prepared(struct pageview *v, const struct err *err)
{
    if (v->prepared >= MAKING_PREPARED_MARGIN || !serverlog_says_prepared_full(err->text))
        return false;
    v->prepared = MAKING_PREPARED_MARGIN;
    return true;
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

/* ---- replay ---- */

struct replay {
    struct moment_base *bases; /* oldest first; behind them those on branches that were left */
    unsigned n_bases, n_left, base;
    struct pagewal log;
    struct wal_list all; /* the log, with what the base that was chosen has itself */
    char *own;           /* its pg_wal */
    struct wal_reach reach;
    struct reached reached;
    uint64_t more; /* pageserver_heard, of the last server */
    char *fetcher; /* the same; owned */
};

static const struct moment_base *chosen(const struct replay *r)
{
    return &r->bases[r->base];
}

/* Of the bases on branches that were left, one that is early enough. */
static int find_left(const struct pageview *v, const struct replay *r)
{
    return moment_choose(&v->req->moment, r->bases + r->n_bases, r->n_left, r->n_left);
}

static int refuse_left(const struct pageview *v, const struct replay *r, struct err *err)
{
    const struct moment_base *base = &r->bases[r->n_bases + (unsigned)find_left(v, r)];
    char *moment = moment_words(&v->req->moment);
    char *words = mem_printf("%s cannot be shown", moment);
    int rc = moment_refuse_left(words, base, &r->log.list, err);

    free(moment);
    free(words);
    return rc;
}

static int before_first(const struct pageview *v, const struct replay *r, struct err *err)
{
    const struct store_base_facts *f = r->n_bases ? &r->bases[0].facts : NULL;
    char lsn[LSN_TEXT_MAX], time[MOMENT_TIME_MAX], *words;

    if (find_left(v, r) >= 0)
        return refuse_left(v, r, err);
    words = moment_words(&v->req->moment);
    if (f)
        err_set(err, ERANGE, "%s is before the first base, which can be shown from %s (%s) on",
                words, lsn_text(moment_first_lsn(f), lsn),
                moment_time_text(moment_first_time(f) * 1000000, time));
    else
        err_set(err, ENOENT, "the store %s has no base that can be replayed", store_path(v->store));
    free(words);
    return -err->code;
}

/*
 * The segment is linked into the view, so that nothing is copied; copied where the server could not
 * open it for writing, as it will want to, or where it is still being received. One that is only
 * being given its size holds no log yet, and a server would not go on behind it.
 */
static const char link_segment[] =
    "f=\"$ASOFS_LOG/%f\"; if [ -w \"$f\" ]; then ln -sf -- \"$f\" \"%p\"; "
    "elif [ -e \"$f\" ]; then cp -- \"$f\" \"%p\"; "
    "elif [ -e \"$f.partial\" ]; then cp -- \"$f.partial\" \"%p\" 2>/dev/null && "
    "{ [ \"$(wc -c <\"%p\")\" -eq \"$ASOFS_SEGMENT_BYTES\" ] || "
    "{ [ -n \"$(head -c 16 <\"%p\" | tr -d '\\0')\" ] && "
    "truncate -s \"$ASOFS_SEGMENT_BYTES\" -- \"%p\"; }; } || { rm -f -- \"%p\"; false; }; "
    "else false; fi";

/* Where recovery is told to stop: at what was asked for, or where the log ended that has nothing
 * behind it. */
struct stop_at {
    bool end;
    uint64_t last; /* of the end: the last record; 0: there is none, nor a target */
};

struct target {
    struct pg_setting settings[8];
    char lsn[LSN_TEXT_MAX], timeline[PAGEWAL_TIMELINE_MAX], locks[MAKING_LOCKS_MAX];
};

static void set_target(struct pageview *v, const struct replay *r, const struct stop_at *stop,
                       struct target *t)
{
    static const char *const names[] = {NULL,
                                        NULL,
                                        "recovery_target_time",
                                        "recovery_target_lsn",
                                        "recovery_target_xid",
                                        "recovery_target_name"};
    const struct moment *m = &v->req->moment;
    struct pg_setting *s = t->settings;

    *s++ = (struct pg_setting){"restore_command", r->log.command ? r->log.command : link_segment};
    *s++ = (struct pg_setting){"recovery_target_timeline",
                               pagewal_target_timeline(&r->log, &chosen(r)->facts, t->timeline)};
    *s++ = (struct pg_setting){"recovery_target_action", "promote"};
    *s++ = (struct pg_setting){
        "max_locks_per_transaction",
        making_enough_locks(v->store, v->name, v->req->connections + v->prepared, t->locks)};
    if (stop->last)
        *s++ = (struct pg_setting){"recovery_target_lsn", lsn_text(stop->last, t->lsn)};
    else if (names[m->kind] && !stop->end)
        *s++ = (struct pg_setting){names[m->kind], m->text};
    if (m->kind == MOMENT_LSN && !stop->end)
        *s++ = (struct pg_setting){"recovery_target_inclusive", "off"};
    *s = (struct pg_setting){0};
}

static int drop_view(struct pageview *v, struct err *err)
{
    return store_drop_view(v->store, v->name, err);
}

static int create_view(struct pageview *v, const char *base, struct err *err)
{
    char *words = moment_words(&v->req->moment);
    struct store_view_facts f = {.target = words};
    int rc;

    rc = store_create_view(v->store, v->name, base, making_hidden, err);
    v->made |= rc == 0;
    if (rc == 0)
        rc = store_set_view_facts(v->store, v->name, &f, err);
    free(words);
    return rc;
}

static char *segment_path(const struct replay *r, const struct wal_segment *s)
{
    char name[25];

    wal_segment_name(s->timeline, s->number, r->log.list.segment_bytes, name);
    return mem_printf("%s/%s%s", s->own ? r->own : r->log.dir, name, s->partial ? ".partial" : "");
}

#define MORE_LOG                                                                                   \
    "the log is damaged: recovery found its end behind %s, and there is more of it at %s"

/* Log in one segment, behind where recovery found no more: it could not be read, or is damaged. */
static int check_segment(const struct pageview *v, const struct replay *r,
                         const struct wal_segment *s, struct err *err)
{
    uint64_t start = s->number * r->log.list.segment_bytes, at = 0;
    uint64_t from = (r->reached.last / SEGMENT_PAGE + 1) * SEGMENT_PAGE;
    char *path = segment_path(r, s), lsn[LSN_TEXT_MAX], there[LSN_TEXT_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 && errno != ENOENT ? err_errno(err, "cannot read the log segment %s", path) : 0;

    if (from < start)
        from = start;
    if (fd >= 0) {
        at = segment_find_page(fd, start, start + r->log.list.segment_bytes, &from);
        close(fd);
    }
    if (at)
        rc = pagewal_check_readable(&v->programs, path, err);
    if (at && rc == 0)
        rc = err_set(err, EIO, MORE_LOG, lsn_text(r->reached.last, lsn), lsn_text(at, there));
    free(path);
    return rc;
}

/* Why recovery did not get to the end that the log had when it began. */
static int check_segments(const struct pageview *v, const struct replay *r, uint64_t from,
                          struct err *err)
{
    uint32_t towards = moment_towards(&chosen(r)->facts, &r->all);
    const struct wal_segment *s;
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < r->all.n; i++) {
        s = &r->all.segments[i];
        if ((s->number + 1) * r->all.segment_bytes > from &&
            s == wal_segment_at(&r->all, towards, s->number))
            rc = check_segment(v, r, s, err);
    }
    return rc;
}

/*
 * Recovery must have come to the end that the log had when it was looked at, and behind that there
 * must have been none: else a record is damaged, cannot be read, or is of a timeline that recovery
 * could not know of. What came meanwhile does not matter.
 */
static int check_end(const struct pageview *v, const struct replay *r, struct err *err)
{
    const struct moment_base *base = chosen(r);
    uint64_t from = r->reached.last ? r->reached.last : moment_first_lsn(&base->facts);
    uint64_t more = r->more;
    int rc = moment_check_history(base, &r->log.list, from, err);
    char lsn[LSN_TEXT_MAX], there[LSN_TEXT_MAX];

    if (r->reach.last > from)
        more = r->reach.last;
    else if (r->reach.last == from)
        more = r->reach.damaged;
    if (rc < 0 || !more)
        return rc;
    rc = check_segments(v, r, from, err);
    return rc < 0 ? rc : err_set(err, EIO, MORE_LOG, lsn_text(from, lsn), lsn_text(more, there));
}

/* The moment is not in the log behind this base. */
static int not_found(const struct pageview *v, const struct replay *r, struct err *err)
{
    char lsn[LSN_TEXT_MAX], *words = moment_words(&v->req->moment);
    uint64_t end = r->reached.end ? r->reached.end : r->reached.last;

    err_set(err, ERANGE, "%s is not in the log, which ends at %s, from base %s on", words,
            lsn_text(end, lsn), chosen(r)->id);
    free(words);
    return -ERANGE;
}

/* An end that was seen is where recovery ended again, and an LSN is no further. */
static int check_end_again(const struct pageview *v, const struct replay *r,
                           const struct stop_at *stop, struct err *err)
{
    const struct moment *m = &v->req->moment;
    if (!stop->last && r->reached.last)
        return err_set(err, EAGAIN, "the log goes on, and had ended a moment ago: try again");
    if (m->kind == MOMENT_LSN && !moment_reaches(r->reached.end, m->lsn, r->all.segment_bytes))
        return not_found(v, r, err);
    return 0;
}

/* Where recovery ended is where it was told to, and on the way that the log takes. */
static int check_reached(const struct pageview *v, const struct replay *r,
                         const struct stop_at *stop, struct err *err)
{
    if (!r->reached.end)
        return err_set(err, EIO, "the private server does not say where its recovery ended");
    if (v->req->moment.kind == MOMENT_LATEST)
        return check_end(v, r, err);
    if (!r->reached.stopped && !(stop->end && !stop->last))
        return err_set(err, EIO,
                       "the private server ended recovery without saying that it reached the "
                       "moment");
    if (stop->end && check_end_again(v, r, stop, err) < 0)
        return -err->code;
    return moment_check_history(chosen(r), &r->log.list, r->reached.last, err);
}

/* What the server and its restore_command said. */
static void take_heard(struct pageserver_heard *heard, struct replay *r)
{
    r->reached = (struct reached){0};
    if (heard->log)
        reached_read_log(heard->log, &r->reached);
    r->reached.end = heard->end;
    r->more = heard->more;
    free(r->fetcher);
    r->fetcher = heard->fetcher;
    heard->fetcher = NULL;
    pageserver_heard_free(heard);
}

#define FEWEST_BUFFERS (UINT64_C(128) << 20)

/* Twice the log that may have to be replayed: memory that is not used takes its time, too. */
static uint64_t enough_buffers(const struct replay *r, const struct moment *m)
{
    const struct wal_list *log = &r->log.list;
    uint64_t first = r->bases[r->base].facts.start_lsn, bytes = 0;
    size_t i;

    if (r->log.command)
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
 * that replayed its log reads it too (v->server), and nothing of it has to reach the disk.
 */
static int try_replay(struct pageview *v, struct replay *r, const struct stop_at *stop,
                      struct err *err)
{
    char **env = pagewal_env(v->store, &r->log);
    struct pageserver_heard heard = {0};
    struct pageserver *server = NULL;
    struct target target;
    struct err dropping;
    struct pageserver_request req = {.programs = &v->programs,
                                     .store = store_path(v->store),
                                     .view = v->name,
                                     .settings = target.settings,
                                     .env = env,
                                     .log = r->log.command ? NULL : &r->log.list,
                                     .wal_dir = r->log.dir,
                                     .wal_from = chosen(r)->facts.start_lsn,
                                     .wal_segment_bytes = r->log.list.segment_bytes,
                                     .wal_system = store_cluster(v->store)->system_identifier,
                                     .recover = true,
                                     .connections = v->req->connections,
                                     .max_prepared = v->prepared,
                                     .shared_buffers = enough_buffers(r, &v->req->moment),
                                     .database = v->req->database,
                                     .unread = is_completed(v),
                                     .stop_fd = v->req->stop_fd};
    int rc = create_view(v, chosen(r)->id, err);

    set_target(v, r, stop, &target);
    if (rc == 0)
        rc = pageserver_start(&req, &server, &heard, err);
    take_heard(&heard, r);
    if (rc == 0 && is_completed(v)) {
        rc = pageserver_stop(server, err);
        server = NULL;
    }
    if (rc == 0)
        rc = check_reached(v, r, stop, err);
    if (rc == 0)
        v->server = server;
    else
        pageserver_abandon(server);
    if (rc < 0)
        making_hint_full(v->store, err);
    if (rc < 0 && v->made && drop_view(v, &dropping) == 0)
        v->made = false;
    store_names_free(env);
    return rc;
}

static int replay_once(struct pageview *v, struct replay *r, struct stop_at stop, struct err *err)
{
    int rc = try_replay(v, r, &stop, err);

    return rc < 0 && needs_more_prepared(v, err) ? try_replay(v, r, &stop, err) : rc;
}

/* A server that does not find the record with which recovery begins does not say why. */
static int explain_start(const struct pageview *v, const struct replay *r, struct err *err)
{
    const struct store_base_facts *f = &r->bases[r->base].facts;
    uint32_t bytes = r->log.list.segment_bytes, towards = moment_towards(f, &r->log.list);
    const struct wal_segment *s;
    struct err reading;
    char *path, name[25];

    if (r->log.command || !serverlog_says_no_checkpoint(err->text))
        return -err->code;
    s = wal_segment_at(&r->log.list, towards, f->start_lsn / bytes);
    wal_segment_name(wal_timeline_at(&r->log.list, towards, f->start_lsn), f->start_lsn / bytes,
                     bytes, name);
    if (!s)
        return err_set(err, ENOENT,
                       "the log in %s has no segment %s, with which the replay of base %s begins",
                       r->log.dir, name, r->bases[r->base].id);
    path = segment_path(r, s);
    if (pagewal_check_readable(&v->programs, path, &reading) < 0)
        *err = reading;
    free(path);
    return -err->code;
}

/* The end of the log may be the moment: of a time, if the log proves that time; of an LSN that no
 * record lies behind. */
static bool may_be_end(const struct pageview *v, const struct replay *r)
{
    const struct moment *m = &v->req->moment;
    uint32_t bytes = r->all.segment_bytes;
    uint64_t last = r->reached.last ? r->reached.last : moment_first_lsn(&chosen(r)->facts);

    return (m->kind == MOMENT_TIME && m->time_us <= r->reach.time_us) ||
           (m->kind == MOMENT_LSN && m->lsn / bytes <= last / bytes + 1);
}

/* An LSN that no record lies behind is known to be the end. */
static struct stop_at first_stop(const struct pageview *v, const struct replay *r)
{
    const struct moment *m = &v->req->moment;

    if (m->kind != MOMENT_LSN || !r->reach.last || m->lsn <= r->reach.last)
        return (struct stop_at){0};
    return (struct stop_at){true, r->reach.last};
}

/*
 * From the base that was chosen. Where the log ended in front of what was asked for, its end may be
 * that; it must be the very end that was seen, since more may have come.
 */
static int replay_from(struct pageview *v, struct replay *r, struct err *err)
{
    int rc = replay_once(v, r, first_stop(v, r), err);

    if (rc < 0 && !r->reached.target_later)
        return explain_start(v, r, err);
    if (rc == 0)
        return 0;
    rc = check_end(v, r, err);
    if (rc < 0)
        return rc;
    return may_be_end(v, r) ? replay_once(v, r, (struct stop_at){true, r->reached.last}, err)
                            : not_found(v, r, err);
}

/* Where an older base may lead to what the chosen one does not: it was not consistent by then, or,
 * of what only replay can find, it may lie in front of it. */
static bool may_be_older(const struct pageview *v, const struct replay *r)
{
    enum moment_kind kind = v->req->moment.kind;

    return r->reached.too_early ||
           (r->reached.target_later && (kind == MOMENT_XID || kind == MOMENT_RESTORE_POINT));
}

static int refuse_early(const struct pageview *v, const struct replay *r, struct err *err)
{
    char *words = moment_words(&v->req->moment);

    err_set(err, ERANGE,
            "%s is in front of the first moment of base %s, which can be shown from where its "
            "backup ended on; no older base leads to it",
            words, chosen(r)->id);
    free(words);
    return -ERANGE;
}

/* pg_wal of the base's directory: what it has, recovery reads where the log has it not. */
static int find_own(struct pageview *v, struct replay *r, struct err *err)
{
    struct store_base b;
    int rc = store_open_base(v->store, chosen(r)->id, &b, err);

    if (rc < 0)
        return rc;
    free(r->own);
    r->own = mem_printf("%s/pg_wal", b.directory);
    store_close_base(&b);
    wal_free(&r->all);
    wal_add_own(&r->log.list, r->own, &r->all);
    return 0;
}

static struct wal_way way_from(const struct pageview *v, const struct replay *r, uint64_t before)
{
    const struct store_base_facts *f = &chosen(r)->facts;

    return (struct wal_way){.list = &r->all,
                            .dir = r->log.dir,
                            .own = r->own,
                            .system = store_cluster(v->store)->system_identifier,
                            .timeline = f->timeline,
                            .from = f->start_lsn,
                            .before = before};
}

/* How far the log leads from the base that was chosen, and whether that is far enough. What a
 * command fetches is not seen here. */
static int look_from_base(struct pageview *v, struct replay *r, struct err *err)
{
    int rc = find_own(v, r, err);
    struct wal_way way;

    r->reach = (struct wal_reach){0};
    if (rc < 0 || r->log.command)
        return rc;
    way = way_from(v, r, UINT64_MAX);
    rc = pagewal_reach(v->store, &way, &r->reach, err);
    return rc < 0 ? rc : moment_check_wal(&v->req->moment, chosen(r), &r->all, &r->reach, err);
}

static int replay(struct pageview *v, struct replay *r, struct err *err)
{
    int rc, older;

    for (;;) {
        rc = replay_from(v, r, err);
        if (rc == 0 || !may_be_older(v, r))
            return rc;
        older = moment_choose(&v->req->moment, r->bases, r->n_bases, r->base);
        if (older < 0)
            return r->reached.too_early ? refuse_early(v, r, err) : rc;
        r->base = (unsigned)older;
        rc = look_from_base(v, r, err);
        if (rc < 0)
            return rc;
    }
}

/* What was asked for; else the newest time that is known to lie in front. */
static struct pageview_shown shown_by(const struct pageview *v, const struct replay *r)
{
    const struct moment *m = &v->req->moment;
    struct wal_way way = way_from(v, r, r->reached.end);
    int64_t us = chosen(r)->facts.start_time * INT64_C(1000000);
    struct wal_reach reach = {0};
    struct err ignored;

    if (m->kind != MOMENT_TIME && !r->log.command)
        wal_reach(&way, &reach, &ignored);
    if (reach.time_us > us)
        us = reach.time_us;
    if (r->reached.commit_us > us)
        us = r->reached.commit_us;
    return (struct pageview_shown){.lsn = r->reached.end,
                                   .time_us = m->kind == MOMENT_TIME ? m->time_us : us};
}

/* Everything on disk, then said so. */
static int complete(struct pageview *v, const struct pageview_shown *shown, struct err *err)
{
    char *words = moment_words(&v->req->moment);
    struct store_view_facts f = {
        .complete = true, .target = words, .lsn = shown->lsn, .time_us = shown->time_us};
    int rc;

    rc = making_sync_view(v->store, v->name, err);
    if (rc == 0)
        rc = store_set_view_facts(v->store, v->name, &f, err);
    if (rc < 0)
        making_hint_full(v->store, err);
    v->made &= rc < 0;
    free(words);
    return rc;
}

static int look_at_wal(struct pageview *v, struct replay *r, struct err *err)
{
    int rc = pagewal_read(v->store, v->req->log, v->req->restore_command, &r->log, err);
    unsigned n = r->n_bases;

    if (rc < 0)
        return rc;
    r->n_bases = moment_leave_branches(r->bases, n, &r->log.list);
    r->n_left = n - r->n_bases;
    return 0;
}

static int choose_base(struct pageview *v, struct replay *r, struct err *err)
{
    int i = moment_choose(&v->req->moment, r->bases, r->n_bases, r->n_bases);

    if (i < 0)
        return before_first(v, r, err);
    r->base = (unsigned)i;
    return look_from_base(v, r, err);
}

/* Whether the log ends there, or could not be had, is for who reads it to judge. */
static void tell_fetcher(const struct pageview *v, const struct replay *r, int rc, struct err *err)
{
    char lsn[LSN_TEXT_MAX];

    if (rc < 0)
        making_hint_fetcher(r->fetcher, err);
    else if (v->req->moment.kind == MOMENT_LATEST)
        log_note("the log was replayed to %s, where the command that fetches it failed with:\n%s",
                 lsn_text(r->reached.end, lsn), r->fetcher);
}

static int make_view(struct pageview *v, struct err *err)
{
    struct replay r = {0};
    int64_t started = clock_ms();
    char **ids = NULL;
    int rc = store_bases(v->store, &ids, err);

    if (rc == 0)
        rc = making_read_bases(v->store, ids, &r.bases, &r.n_bases, err);
    if (rc == 0)
        rc = look_at_wal(v, &r, err);
    if (rc == 0)
        rc = choose_base(v, &r, err);
    if (rc == 0)
        rc = replay(v, &r, err);
    if (r.fetcher)
        tell_fetcher(v, &r, rc, err);
    if (rc == 0)
        v->shown = shown_by(v, &r);
    if (rc == 0 && is_completed(v))
        rc = complete(v, &v->shown, err);
    if (rc == 0)
        log_debug("base %s replayed in %.2f s", chosen(&r)->id,
                  (double)(clock_ms() - started) / 1000);
    free(r.fetcher);
    wal_free(&r.log.list);
    wal_free(&r.all);
    free(r.own);
    free(r.bases);
    if (ids)
        store_names_free(ids);
    return rc;
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

    v->shown = (struct pageview_shown){.lsn = f->lsn, .time_us = f->time_us};
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
    if (rc == 0)
        rc = f.complete ? 1 : drop_view(v, err); /* it was not completed: discarded */
    store_view_facts_free(&f);
    return rc;
}

static int find_or_make(struct pageview *v, struct err *err)
{
    int rc;

    v->name = v->req->view ? mem_strdup(v->req->view) : making_temporary_name("mount");
    serverdir_clear(&v->programs.as);
    making_clear_leftovers(v->store);
    rc = lock_name(v, err);
    if (rc == 0)
        rc = look_for_view(v, err);
    if (rc == 0)
        rc = make_view(v, err);
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
    if (rc < 0 && needs_more_prepared(v, err)) {
        req.max_prepared = v->prepared;
        rc = pageserver_start(&req, &v->server, NULL, err);
    }
    if (rc < 0)
        making_hint_full(v->store, err);
    return rc;
}

static int start_reading(struct pageview *v, struct err *err)
{
    int rc = v->server ? 0 : start_reader(v, err);

    if (rc == 0 && v->req->pages)
        rc = making_open_pages(v->store, v->name, &v->pages, err);
    return rc;
}

int pageview_open(const struct pageview_request *req, struct pageview **result, struct err *err)
{
    struct pageview *v = mem_alloc(sizeof(*v));
    int rc;

    v->req = req;
    v->making_fd = -1;
    v->prepared = FEW_PREPARED;
    rc = owner_open_store(req->store, req->run_as, req->bindir, &v->store, &v->programs, err);
    if (rc == 0)
        rc = find_or_make(v, err);
    if (rc == 0)
        rc = start_reading(v, err);
    owner_leave(&v->programs);
    if (rc < 0) {
        pageview_close(v);
        return rc;
    }
    *result = v;
    return 0;
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

struct pageview_shown pageview_shown(const struct pageview *v)
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

static void release(struct pageview *v)
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
    release(v);
    if (v->pages)
        store_close_view(v->pages, NULL);
    if (v->name && (v->made || !v->req->view) && store_has_view(v->store, v->name))
        drop_quietly(v, v->name);
    unlock_name(v);
}

/* As the owner, or, if we cannot become him, not at all: the next mount does. */
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
        do_entered(v, release);
}

void pageview_close(struct pageview *v)
{
    if (!v)
        return;
    do_entered(v, clear_up);
    free(v->scratch);
    free(v->name);
    pg_programs_free(&v->programs);
    if (v->store)
        store_close(v->store);
    free(v);
}
