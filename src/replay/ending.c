#include "replay/ending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "pg/serverlog.h"
#include "replay/making.h"
#include "replay/segment.h"

#define MORE_LOG                                                                                   \
    "the log is damaged: recovery found its end after %s, and there is more of it at %s"

static char *segment_path(const struct choice *c, const struct wal_segment *s)
{
    char name[25];

    wal_segment_name(s->timeline, s->number, c->log.list.segment_bytes, name);
    return mem_printf("%s/%s%s", s->own ? c->own : c->log.dir, name, s->partial ? ".partial" : "");
}

/* Log in one segment, after where recovery found no more: it could not be read, or is damaged. */
static int check_segment(const struct ending *e, const struct wal_segment *s, struct err *err)
{
    uint64_t start = s->number * e->from->log.list.segment_bytes, at = 0;
    uint64_t from = (e->reached.last / SEGMENT_PAGE + 1) * SEGMENT_PAGE;
    char *path = segment_path(e->from, s), lsn[LSN_TEXT_MAX], there[LSN_TEXT_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int rc = fd < 0 && errno != ENOENT ? err_errno(err, "cannot read the log segment %s", path) : 0;

    if (from < start)
        from = start;
    if (fd >= 0) {
        at = segment_find_page(fd, start, start + e->from->log.list.segment_bytes, &from);
        close(fd);
    }
    if (at)
        rc = pagewal_check_readable(e->programs, path, err);
    if (at && rc == 0)
        rc = err_set(err, EIO, MORE_LOG, lsn_text(e->reached.last, lsn), lsn_text(at, there));
    free(path);
    return rc;
}

/* Why recovery did not get to the end that the log had when it began. */
static int check_segments(const struct ending *e, uint64_t from, struct err *err)
{
    const struct choice *c = e->from;
    uint32_t towards = moment_towards(&choice_base(c)->facts, &c->all);
    const struct wal_segment *s;
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < c->all.n; i++) {
        s = &c->all.segments[i];
        if ((s->number + 1) * c->all.segment_bytes > from &&
            s == wal_segment_at(&c->all, towards, s->number))
            rc = check_segment(e, s, err);
    }
    return rc;
}

int ending_check(const struct ending *e, struct err *err)
{
    const struct choice *c = e->from;
    const struct moment_base *base = choice_base(c);
    uint64_t from = e->reached.last ? e->reached.last : moment_first_lsn(&base->facts);
    uint64_t more = e->more;
    int rc = moment_check_history(base, &c->log.list, from, err);
    char lsn[LSN_TEXT_MAX], there[LSN_TEXT_MAX];

    if (c->reach.last > from)
        more = c->reach.last;
    else if (c->reach.last == from)
        more = c->reach.damaged;
    if (rc < 0 || !more)
        return rc;
    rc = check_segments(e, from, err);
    return rc < 0 ? rc : err_set(err, EIO, MORE_LOG, lsn_text(from, lsn), lsn_text(more, there));
}

int ending_refuse(const struct ending *e, struct err *err)
{
    char lsn[LSN_TEXT_MAX], *words = moment_words(e->from->moment);
    uint64_t end = e->reached.end ? e->reached.end : e->reached.last;

    err_set(err, ERANGE, "%s is not in the log, which ends at %s, from base %s on", words,
            lsn_text(end, lsn), choice_base(e->from)->id);
    free(words);
    return -ERANGE;
}

/* An end that was seen is where recovery ended again, and an LSN is no further. */
static int check_end_again(const struct ending *e, const struct ending_stop *stop, struct err *err)
{
    const struct moment *m = e->from->moment;

    if (stop->whole ? e->reached.last > stop->last : !stop->last && e->reached.last)
        return err_set(err, EAGAIN, "the log goes on, and had ended a moment ago: try again");
    if (m->kind == MOMENT_LSN &&
        !moment_reaches(e->reached.end, m->lsn, e->from->all.segment_bytes))
        return ending_refuse(e, err);
    return 0;
}

int ending_check_reached(const struct ending *e, const struct ending_stop *stop, struct err *err)
{
    const struct choice *c = e->from;

    if (!e->reached.end)
        return err_set(err, EIO, "the private server does not say where its recovery ended");
    if (c->moment->kind == MOMENT_LATEST)
        return ending_check(e, err);
    if (!e->reached.stopped && !(stop->end && (!stop->last || stop->whole)))
        return err_set(err, EIO,
                       "the private server ended recovery without saying that it reached the "
                       "moment");
    if (stop->end && check_end_again(e, stop, err) < 0)
        return -err->code;
    return moment_check_history(choice_base(c), &c->log.list, e->reached.last, err);
}

void ending_hear(struct ending *e, struct pageserver_heard *heard)
{
    e->reached = (struct reached){0};
    if (heard->log)
        reached_read_log(heard->log, &e->reached);
    e->reached.end = heard->end;
    e->more = heard->more;
    free(e->fetcher);
    e->fetcher = heard->fetcher;
    heard->fetcher = NULL;
    pageserver_heard_free(heard);
}

int ending_explain_start(const struct ending *e, struct err *err)
{
    const struct choice *c = e->from;
    const struct store_base_facts *f = &choice_base(c)->facts;
    uint32_t bytes = c->log.list.segment_bytes, towards = moment_towards(f, &c->log.list);
    const struct wal_segment *s;
    struct err reading;
    char *path, name[25];

    if (c->log.command || !serverlog_says_no_checkpoint(err->text))
        return -err->code;
    s = wal_segment_at(&c->log.list, towards, f->start_lsn / bytes);
    wal_segment_name(wal_timeline_at(&c->log.list, towards, f->start_lsn), f->start_lsn / bytes,
                     bytes, name);
    if (!s)
        return err_set(err, ENOENT,
                       "the log in %s has no segment %s, with which the replay of base %s begins",
                       c->log.dir, name, choice_base(c)->id);
    path = segment_path(c, s);
    if (pagewal_check_readable(e->programs, path, &reading) < 0)
        *err = reading;
    free(path);
    return -err->code;
}

bool ending_may_be_moment(const struct ending *e)
{
    const struct choice *c = e->from;
    const struct moment *m = c->moment;
    uint32_t bytes = c->all.segment_bytes;
    uint64_t last = e->reached.last ? e->reached.last : moment_first_lsn(&choice_base(c)->facts);

    return (m->kind == MOMENT_TIME && m->time_us <= c->reach.time_us) ||
           (m->kind == MOMENT_LSN && m->lsn / bytes <= last / bytes + 1);
}

struct ending_stop ending_stop_at(const struct choice *c, uint64_t last)
{
    bool whole = c->reach.last == last && c->reach.end == moment_first_lsn(&choice_base(c)->facts);

    return (struct ending_stop){true, last, whole};
}

struct ending_stop ending_first_stop(const struct choice *c)
{
    const struct moment *m = c->moment;

    if (m->kind != MOMENT_LSN || !c->reach.last || m->lsn <= c->reach.last)
        return (struct ending_stop){0};
    return ending_stop_at(c, c->reach.last);
}

bool ending_may_be_older(const struct ending *e)
{
    enum moment_kind kind = e->from->moment->kind;

    return e->reached.too_early ||
           (e->reached.target_later && (kind == MOMENT_XID || kind == MOMENT_RESTORE_POINT));
}

int ending_refuse_early(const struct ending *e, struct err *err)
{
    char *words = moment_words(e->from->moment);

    err_set(err, ERANGE,
            "%s is in front of the first moment of base %s, which can be shown from where its "
            "backup ended on; no older base leads to it",
            words, choice_base(e->from)->id);
    free(words);
    return -ERANGE;
}

struct moment_shown ending_shown(const struct ending *e)
{
    const struct choice *c = e->from;
    const struct moment *m = c->moment;
    struct wal_way way = choice_way(c, e->reached.end);
    int64_t us = choice_base(c)->facts.start_time * INT64_C(1000000);
    struct wal_reach reach = {0};
    struct err ignored;

    if (m->kind != MOMENT_TIME && !c->log.command)
        wal_reach(&way, &reach, &ignored);
    if (reach.time_us > us)
        us = reach.time_us;
    if (e->reached.commit_us > us)
        us = e->reached.commit_us;
    return (struct moment_shown){.lsn = e->reached.end,
                                 .time_us = m->kind == MOMENT_TIME ? m->time_us : us};
}

void ending_tell_fetcher(const struct ending *e, int rc, struct err *err)
{
    char lsn[LSN_TEXT_MAX];

    if (rc < 0)
        making_hint_fetcher(e->fetcher, err);
    else if (e->from->moment->kind == MOMENT_LATEST)
        log_note("the log was replayed to %s, where the command that fetches it failed with:\n%s",
                 lsn_text(e->reached.end, lsn), e->fetcher);
}

void ending_free(struct ending *e)
{
    free(e->fetcher);
}
