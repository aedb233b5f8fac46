#include "replay/choice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "replay/making.h"

/* Of the bases on branches that were left, one that is early enough. */
static int find_left(const struct choice *c)
{
    return moment_choose(c->moment, c->bases + c->n_bases, c->n_left, c->n_left);
}

static int refuse_left(const struct choice *c, struct err *err)
{
    const struct moment_base *base = &c->bases[c->n_bases + (unsigned)find_left(c)];
    char *moment = moment_words(c->moment);
    char *words = mem_printf("%s cannot be shown", moment);
    int rc = moment_refuse_left(words, base, &c->log.list, err);

    free(moment);
    free(words);
    return rc;
}

/* As whoever opens it is told. */
static int refuse_lost(const struct choice *c, struct err *err)
{
    struct store_base b;
    int rc = store_open_base(c->store, c->lost, &b, err);

    if (rc == 0) {
        store_close_base(&b);
        rc = err_set(err, ESTALE, "base %s of %s was given up", c->lost, store_path(c->store));
    }
    return rc;
}

static int before_first(const struct choice *c, struct err *err)
{
    const struct store_base_facts *f = c->n_bases ? &c->bases[0].facts : NULL;
    char lsn[LSN_TEXT_MAX], time[MOMENT_TIME_MAX], *words;

    if (find_left(c) >= 0)
        return refuse_left(c, err);
    if (c->lost)
        return refuse_lost(c, err);
    words = moment_words(c->moment);
    if (f)
        err_set(err, ERANGE, "%s is before the first base, which can be shown from %s (%s) on",
                words, lsn_text(moment_first_lsn(f), lsn),
                moment_time_text(moment_first_time(f) * 1000000, time));
    else
        err_set(err, ENOENT, "the store %s has no base that can be replayed", store_path(c->store));
    free(words);
    return -err->code;
}

static bool is_frozen(const struct choice *c)
{
    uint64_t number;
    char *view;
    bool frozen = store_is_frozen(c->store, choice_base(c)->id, &number, &view, NULL) == 1;

    free(view);
    return frozen;
}

/* pg_wal of the base's directory: what it has, recovery reads where the log has it not. */
static int find_own(struct choice *c, struct err *err)
{
    struct store_base b;
    int rc = store_open_base(c->store, choice_base(c)->id, &b, err);

    if (rc == -ENOENT && !store_has_base(c->store, choice_base(c)->id))
        return err_set(err, ESTALE, "base %s was dropped just now", choice_base(c)->id);
    if (rc < 0)
        return rc;
    free(c->own);
    c->own = mem_printf("%s/pg_wal", b.directory);
    store_close_base(&b);
    wal_free(&c->all);
    wal_add_own(&c->log.list, c->own, choice_base(c)->facts.timeline, &c->all);
    c->gap = is_frozen(c) && wal_end_with_own(&c->all, choice_base(c)->facts.consistent_lsn,
                                              &c->missing, &c->there);
    return 0;
}

static int refuse_gap(const struct choice *c, struct err *err)
{
    uint32_t bytes = c->all.segment_bytes;
    char missing[25], there[25], *words = moment_words(c->moment);

    wal_segment_name(c->missing.timeline, c->missing.number, bytes, missing);
    wal_segment_name(c->there.timeline, c->there.number, bytes, there);
    err_set(err, ERANGE,
            "%s is not reached from base %s: the log has a gap: segment %s is missing, and there "
            "is %s",
            words, choice_base(c)->id, missing, there);
    free(words);
    return -ERANGE;
}

struct wal_way choice_way(const struct choice *c, uint64_t before)
{
    const struct store_base_facts *f = &choice_base(c)->facts;

    return (struct wal_way){.list = &c->all,
                            .dir = c->log.dir,
                            .own = c->own,
                            .system = store_cluster(c->store)->system_identifier,
                            .timeline = f->timeline,
                            .from = f->start_lsn,
                            .before = before};
}

/* How far the log leads from the base that was chosen, and whether that is far enough. What a
 * command fetches is not seen here. */
static int look_from_base(struct choice *c, struct err *err)
{
    int rc = find_own(c, err);
    struct wal_way way;

    c->reach = (struct wal_reach){0};
    if (rc < 0 || c->log.command)
        return rc;
    way = choice_way(c, UINT64_MAX);
    rc = pagewal_reach(c->store, &way, &c->reach, err);
    if (rc == 0)
        rc = moment_check_wal(c->moment, choice_base(c), &c->all, &c->reach, err);
    return rc == -ERANGE && c->gap ? refuse_gap(c, err) : rc;
}

static int look_at_wal(struct choice *c, const struct choice_request *req, struct err *err)
{
    int rc = pagewal_read(c->store, req->log, req->restore_command, &c->log, err);
    unsigned n = c->n_bases;

    if (rc < 0)
        return rc;
    c->n_bases = moment_leave_branches(c->bases, n, &c->log.list);
    c->n_left = n - c->n_bases;
    return 0;
}

/* Of a freeze: it was given up, or dropped, or is not served now. */
static bool is_away(int rc)
{
    return rc == -ESTALE || rc == -ENOTCONN;
}

static void tell_away(const struct choice *c, const struct err *away)
{
    const char *id = choice_base(c)->id;

    if (*away->text)
        log_note("%s\nit is reached from base %s instead, with more log", away->text, id);
    else if (c->lost && strtol(c->lost, NULL, 10) > strtol(id, NULL, 10))
        log_note("base %s is a freeze that was given up: it is reached from base %s instead, with "
                 "more log",
                 c->lost, id);
}

/* What was nearer, and why it is of no use. */
static int hint_away(const struct err *away, int rc, struct err *err)
{
    return *away->text ? err_hint(err, "a base that is nearer is of no use: %s", away->text) : rc;
}

/* 1: the newest that is early enough, older than `before` of them and there; 0: there is none, and
 * *away says what is not there, if anything. */
static int choose(struct choice *c, unsigned before, struct err *away, struct err *err)
{
    int i, rc;

    *away->text = '\0';
    while ((i = moment_choose(c->moment, c->bases, c->n_bases, before)) >= 0) {
        c->base = before = (unsigned)i;
        rc = look_from_base(c, err);
        if (rc == 0) {
            tell_away(c, away);
            return 1;
        }
        if (!is_away(rc))
            return hint_away(away, rc, err);
        if (!*away->text)
            *away = *err;
    }
    return 0;
}

static int choose_newest(struct choice *c, struct err *err)
{
    struct err away;
    int rc = choose(c, c->n_bases, &away, err);

    if (rc == 0 && *away.text) {
        *err = away;
        return -away.code;
    }
    return rc < 0 ? rc : rc == 1 ? 0 : before_first(c, err);
}

/* Only one of the bases counts; 0 of them are left where that is gone. */
static void leave_others(struct choice *c, const char *only)
{
    unsigned i, n = 0;

    for (i = 0; i < c->n_bases; i++)
        if (strcmp(c->bases[i].id, only) == 0)
            c->bases[n++] = c->bases[i];
    c->n_bases = n;
}

/* From a freeze that was given up nothing is reached; from an older base it may be. */
static void leave_lost(struct choice *c)
{
    unsigned i, n = 0;

    for (i = 0; i < c->n_bases; i++)
        if (!store_is_lost(c->store, c->bases[i].id))
            c->bases[n++] = c->bases[i];
        else if (moment_is_after(c->moment, &c->bases[i].facts))
            c->lost = c->bases[i].id;
    c->n_bases = n;
}

int choice_make(struct choice *c, const struct choice_request *req, struct err *err)
{
    int rc;

    *c = (struct choice){.store = req->store, .moment = req->moment};
    rc = store_bases(c->store, &c->ids, err);
    if (rc == 0)
        rc = making_read_bases(c->store, c->ids, &c->bases, &c->n_bases, err);
    if (rc == 0 && req->only)
        leave_others(c, req->only);
    if (rc == 0)
        leave_lost(c);
    if (rc == 0)
        rc = look_at_wal(c, req, err);
    return rc == 0 ? choose_newest(c, err) : rc;
}

int choice_make_older(struct choice *c, struct err *err)
{
    struct err away, refusal;
    unsigned base = c->base;
    int rc = choose(c, base, &away, &refusal);

    if (rc < 0)
        *err = refusal;
    if (rc == 0)
        c->base = base;
    return rc;
}

const struct moment_base *choice_base(const struct choice *c)
{
    return &c->bases[c->base];
}

void choice_free(struct choice *c)
{
    wal_free(&c->log.list);
    wal_free(&c->all);
    free(c->own);
    free(c->bases);
    if (c->ids)
        store_names_free(c->ids);
}
