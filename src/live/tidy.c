/*
 * The storage of freezes that were dropped or given up. One that was given up is emptied. A dropped
 * one goes; but if an older freeze is wanted, what that one needs of it is merged into the nearest
 * older epoch first: pages, sizes and names that this one does not say itself, of files that it
 * sees. The newest stays, hollow, until there is a newer one.
 *
 * Readers of older freezes go on. What they look for is in the older epoch before it is taken from
 * the dropped one's list, and storage is freed when those that began before are over. A merge that
 * was cut short is done again: each step finds what was done already.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "live/livestate.h"
#include "pages/layer.h"
#include "pages/page.h"

#define WAIT_MS 60000
#define NAMES_AT_ONCE 256

/* ---- forgetting ---- */

static bool has_file_of(const struct past *p, void *e)
{
    return past_of_epoch(p, e);
}

static bool is_kept_in(const struct past *p, void *e)
{
    return p->kept == e;
}

static struct past **select_files(struct livedir *l, struct epoch *e, size_t *n)
{
    unsigned entered = phase_enter(&l->phase);
    struct past **list = pasts_select(&l->pasts, has_file_of, e, n);

    phase_leave(&l->phase, entered);
    return list;
}

static struct past **select_kept(struct livedir *l, struct epoch *e, size_t *n)
{
    struct past **list;

    pthread_rwlock_rdlock(&l->tree);
    list = pasts_select(&l->pasts, is_kept_in, e, n);
    pthread_rwlock_unlock(&l->tree);
    return list;
}

static void forget_names(struct livedir *l, struct epoch *e)
{
    bool more = true;

    while (more) {
        pthread_rwlock_wrlock(&l->tree);
        more = past_names_forget(&l->names, e->number, NAMES_AT_ONCE);
        pthread_rwlock_unlock(&l->tree);
    }
}

static void forget_file(struct past *p, struct epoch *e)
{
    struct old_file *x;

    pthread_mutex_lock(&p->touching);
    x = past_of_epoch(p, e);
    if (x)
        past_drop(p, x);
    pthread_mutex_unlock(&p->touching);
}

static void forget_kept(struct livedir *l, struct past *p)
{
    pthread_rwlock_wrlock(&l->tree);
    past_set_kept(p, NULL);
    pthread_rwlock_unlock(&l->tree);
    held_shut(&l->pasts.held, &p->held);
}

/* Nothing in memory leads to what the epoch has. */
static int forget(struct livedir *l, struct epoch *e)
{
    struct past **files, **kept;
    size_t n, i;

    live_let_go(l);
    forget_names(l, e);
    files = select_files(l, e, &n);
    for (i = 0; files && i < n; i++) {
        forget_file(files[i], e);
        past_put(files[i]);
    }
    kept = select_kept(l, e, &n);
    for (i = 0; kept && i < n; i++) {
        forget_kept(l, kept[i]);
        past_put(kept[i]);
    }
    i = files && kept;
    free(files);
    free(kept);
    return i ? phase_wait(&l->phase, WAIT_MS) : -ENOMEM;
}

static int empty(struct livedir *l, struct epoch *e)
{
    int rc = forget(l, e);

    if (rc == 0)
        rc = epoch_empty(e);
    if (rc == 0)
        e->emptied = true;
    return rc;
}

static int remove_epoch(struct livedir *l, struct epoch *e)
{
    int rc = forget(l, e);

    if (rc == 0)
        rc = epoch_remove(l->epochs, e);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&l->list);
    live_remove_epoch(l, e);
    pthread_mutex_unlock(&l->list);
    epoch_release(e);
    return 0;
}

/* ---- merging ---- */

struct merge {
    struct livedir *l;
    struct epoch *from, *into;
    uint64_t *born; /* what `into` does not see: made in it or in `from`; sorted */
    size_t n, room;
    struct journal_record batch[NAMES_AT_ONCE];
    char names[NAMES_AT_ONCE][NAME_MAX + 1];
    size_t in_batch;
};

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool is_born(const struct merge *m, uint64_t id)
{
    return m->n && bsearch(&id, m->born, m->n, sizeof(id), by_value);
}

static int collect_born(void *arg, const struct journal_record *r)
{
    struct merge *m = arg;
    uint64_t *more;

    if (r->type != JOURNAL_BORN)
        return 0;
    if (m->n == m->room) {
        more = realloc(m->born, (m->room * 2 + 64) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        m->born = more;
        m->room = m->room * 2 + 64;
    }
    m->born[m->n++] = r->id;
    return 0;
}

static int read_born(struct merge *m)
{
    uint64_t good;
    int rc = journal_read(m->into->dir, m->into->number, collect_born, m, &good, NULL);

    if (rc == 0)
        rc = journal_read(m->from->dir, m->from->number, collect_born, m, &good, NULL);
    if (m->n)
        qsort(m->born, m->n, sizeof(*m->born), by_value);
    return rc;
}

/* Said in the older epoch first, then found there. */
static int flush(struct merge *m)
{
    struct journal_record *r;
    int rc = m->in_batch ? epoch_say(m->into, m->batch, m->in_batch) : 0;

    pthread_rwlock_wrlock(&m->l->tree);
    for (r = m->batch; rc == 0 && r < m->batch + m->in_batch; r++)
        if (r->type == JOURNAL_ENTRY)
            past_names_relabel(&m->l->names, m->from->number, m->into->number, r->dir, r->name);
    pthread_rwlock_unlock(&m->l->tree);
    m->in_batch = 0;
    return rc;
}

static bool is_needed(struct merge *m, const struct journal_record *r)
{
    bool said;

    if (r->type != JOURNAL_ENTRY)
        return r->type == JOURNAL_BORN;
    if (is_born(m, r->dir))
        return false;
    pthread_rwlock_rdlock(&m->l->tree);
    said = past_names_said(&m->l->names, m->into->number, r->dir, r->name);
    pthread_rwlock_unlock(&m->l->tree);
    return !said;
}

static int take_record(void *arg, const struct journal_record *r)
{
    struct merge *m = arg;
    struct journal_record *to = &m->batch[m->in_batch];

    if (!is_needed(m, r))
        return 0;
    *to = *r;
    to->name = strcpy(m->names[m->in_batch], r->name && r->type == JOURNAL_ENTRY ? r->name : "");
    m->in_batch++;
    return m->in_batch == NAMES_AT_ONCE ? flush(m) : 0;
}

static int merge_names(struct merge *m)
{
    uint64_t good;
    int rc = journal_read(m->from->dir, m->from->number, take_record, m, &good, NULL);

    return rc < 0 ? rc : flush(m);
}

/* Also one whose checksum does not hold goes as it is: reading it stays an error. */
static int copy_page(struct old_file *from, struct old_file *into, uint64_t page)
{
    char bytes[PAGE_BYTES];
    int64_t n;

    if (!side_stored(from->side, page) || side_stored(into->side, page))
        return 0;
    n = from->old->ops->read(from->old, bytes, sizeof(bytes), page * PAGE_BYTES);
    if (n < 0)
        return (int)n;
    return old_file_put(into, page, bytes, (size_t)n, side_crc(from->side, page));
}

static int copy_pages(struct past *p, struct old_file *from, struct old_file *into)
{
    uint64_t page, end = page_count(into->size);
    int rc = old_file_pin(p, from, false);

    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    pthread_mutex_lock(&p->touching);
    rc = old_file_make(p, into);
    pthread_mutex_unlock(&p->touching);
    if (rc == 0) {
        rc = side_cover(into->side, end);
        for (page = 0; rc == 0 && page < end; page++)
            rc = copy_page(from, into, page);
        old_file_unpin(p, into);
    }
    old_file_unpin(p, from);
    return rc;
}

static int synced(struct merge *m, const char *kind)
{
    return m->into->durable ? m->into->disk->ops->sync_dir(m->into->disk, kind) : 0;
}

/* Old pages in both epochs, until one of them is removed: whichever has the side page table has them.
 * What is there already is what a merge that was cut short has left. */
static int link_pages(struct merge *m, uint64_t id)
{
    char path[LAYER_PATH_MAX];

    layer_path(path, "old", id);
    if (unlinkat(m->into->dir, path, 0) < 0 && errno != ENOENT)
        return -errno;
    if (linkat(m->from->dir, path, m->into->dir, path, 0) < 0)
        return -errno;
    return synced(m, "old");
}

static int move_side(struct merge *m, uint64_t id)
{
    char path[LAYER_PATH_MAX];

    layer_path(path, "side", id);
    if (renameat(m->from->dir, path, m->into->dir, path) < 0)
        return -errno;
    return synced(m, "side");
}

/* The storage as a whole; the side page table last, without which there is none. Who has it open
 * goes on with it: it stays pinned for as long as it can be found. `touching` is locked. */
static int move_storage(struct merge *m, struct past *p, struct old_file *x)
{
    struct journal_record r = {.type = JOURNAL_SIZE, .id = x->id, .size = x->size};
    struct old_file *by;
    int rc = epoch_say(m->into, &r, 1), pinned = old_file_pin(p, x, true);

    if (pinned < 0 && pinned != -ENOENT)
        return pinned;
    if (rc == 0 && pinned == 0)
        rc = link_pages(m, x->id);
    live_step("merge: pages are in both");
    if (rc == 0 && pinned == 0)
        rc = move_side(m, x->id);
    return rc < 0 ? rc : past_replace(p, x, m->into, &by);
}

/* A merge that was cut short may have said the size, and not moved the storage. */
static bool has_no_storage(struct past *p, struct old_file *y)
{
    int rc = old_file_pin(p, y, false);

    if (rc == 0)
        old_file_unpin(p, y);
    return rc == -ENOENT;
}

static int merge_file(struct merge *m, struct past *p)
{
    struct old_file *x, *y;
    int rc = 0;

    if (is_born(m, p->by_id.key))
        return 0;
    pthread_mutex_lock(&p->touching);
    x = past_of_epoch(p, m->from);
    y = past_of_epoch(p, m->into);
    if (x && !y)
        rc = move_storage(m, p, x);
    pthread_mutex_unlock(&p->touching);
    if (x && y && !(has_no_storage(p, y) && has_no_storage(p, x)))
        rc = copy_pages(p, x, y);
    live_step("merge: a file");
    return rc;
}

static int merge_files(struct merge *m)
{
    size_t n, i;
    struct past **list = select_files(m->l, m->from, &n);
    int rc = list ? 0 : -ENOMEM;

    for (i = 0; list && i < n; i++) {
        if (rc == 0)
            rc = merge_file(m, list[i]);
        past_put(list[i]);
    }
    free(list);
    return rc;
}

static int merge_kept_file(struct merge *m, struct past *p)
{
    char path[EPOCH_KEPT_MAX];
    int rc = 0;

    if (is_born(m, p->by_id.key))
        return 0;
    epoch_kept_path(path, p->by_id.key);
    pthread_rwlock_wrlock(&m->l->tree);
    if (renameat(m->from->dir, path, m->into->dir, path) < 0)
        rc = -errno;
    else
        past_set_kept(p, m->into);
    pthread_rwlock_unlock(&m->l->tree);
    return rc;
}

static int merge_kept(struct merge *m)
{
    size_t n, i;
    struct past **list = select_kept(m->l, m->from, &n);
    int rc = list ? 0 : -ENOMEM;

    for (i = 0; list && i < n; i++) {
        if (rc == 0)
            rc = merge_kept_file(m, list[i]);
        past_put(list[i]);
    }
    free(list);
    return rc;
}

/* What comes from an epoch that was not durable is not on the disk: into, too, is none from now on. */
static int agree_on_durable(struct epoch *from, struct epoch *into)
{
    int rc;

    if (!into->durable || from->durable)
        return 0;
    pthread_mutex_lock(&into->lock);
    into->header.durable = 0;
    rc = header_write(into->dir, &into->header, true);
    into->durable = rc < 0;
    pthread_mutex_unlock(&into->lock);
    return rc;
}

static int merge(struct livedir *l, struct epoch *from, struct epoch *into)
{
    struct merge *m = calloc(1, sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    m->l = l;
    m->from = from;
    m->into = into;
    rc = agree_on_durable(from, into);
    if (rc == 0)
        rc = read_born(m);
    if (rc == 0)
        rc = merge_names(m);
    if (rc == 0)
        rc = merge_files(m);
    if (rc == 0)
        rc = merge_kept(m);
    if (rc == 0)
        epoch_measure(into);
    free(m->born);
    free(m);
    return rc;
}

/* ---- what is to be done ---- */

struct work {
    enum { NOTHING, EMPTY, REMOVE, MERGE } what;
    struct epoch *e, *into;
};

static struct epoch *older_wanted(struct epoch *e)
{
    for (e = e->older; e && atomic_load(&e->state) != HEADER_OPEN; e = e->older)
        ;
    return e;
}

/* Not the newest, as those who change something see it. */
static struct work work_on(struct livedir *l, struct epoch *e)
{
    int state = atomic_load(&e->state);
    bool newest = e == atomic_load(&l->newest);
    struct epoch *into;

    if (state == HEADER_GIVEN_UP && !e->emptied && !(newest && atomic_load(&e->saving)))
        return (struct work){EMPTY, e, NULL};
    if (state != HEADER_DROPPED || (newest && (atomic_load(&e->saving) || e->emptied)))
        return (struct work){NOTHING, NULL, NULL};
    if (newest)
        return (struct work){EMPTY, e, NULL};
    into = older_wanted(e);
    return (struct work){into ? MERGE : REMOVE, e, into};
}

static struct work find_work(struct livedir *l)
{
    struct work w = {NOTHING, NULL, NULL};
    struct epoch *e;

    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e && w.what == NOTHING; e = e->newer)
        w = work_on(l, e);
    pthread_mutex_unlock(&l->list);
    return w;
}

static int merge_or_give_up(struct livedir *l, const struct work *w)
{
    char why[256];
    int rc = merge(l, w->e, w->into);

    if (rc < 0) {
        snprintf(why, sizeof(why), "what freeze %" PRIu64 " had could not be merged: %s",
                 w->e->number, strerror(-rc));
        livedir_give_up(l, w->into->number, why);
    }
    return remove_epoch(l, w->e);
}

static int do_work(struct livedir *l, const struct work *w)
{
    int rc = phase_wait(&l->phase, WAIT_MS);

    live_step("tidy: waited");
    if (rc < 0)
        return rc;
    switch (w->what) {
    case EMPTY:
        return empty(l, w->e);
    case REMOVE:
        return remove_epoch(l, w->e);
    case MERGE:
        return merge_or_give_up(l, w);
    case NOTHING:
        break;
    }
    return 0;
}

int live_tidy(struct livedir *l)
{
    struct work w;
    int rc = 0;

    pthread_mutex_lock(&l->tidying);
    while (rc == 0 && (w = find_work(l)).what != NOTHING)
        rc = do_work(l, &w);
    pthread_mutex_unlock(&l->tidying);
    return rc;
}
