#include "live/past.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pages/layer.h"
#include "pages/page.h"

/* ---- all of them ---- */

void pasts_init(struct pasts *all, struct phase *phase)
{
    *all = (struct pasts){.phase = phase};
    pthread_mutex_init(&all->lock, NULL);
    held_init(&all->held);
}

static void shut_file(struct held *h)
{
    struct past *p = (struct past *)((char *)h - offsetof(struct past, held));

    close(p->fd);
}

static void free_past(struct past *p)
{
    held_shut(&p->all->held, &p->held);
    pthread_mutex_destroy(&p->touching);
    free(atomic_load(&p->files));
    free(p);
}

static void free_with_files(struct past *p)
{
    struct old_files *files = atomic_load(&p->files);
    size_t i;

    for (i = 0; files && i < files->n; i++)
        old_file_release(p, files->of[i]);
    if (p->kept)
        epoch_release(p->kept);
    free_past(p);
}

void pasts_end(struct pasts *all)
{
    struct table_link *link, *next;

    for (link = table_next(&all->by_id, NULL); link; link = next) {
        next = table_next(&all->by_id, link);
        free_with_files(table_item(link, struct past, by_id));
    }
    table_free(&all->by_id);
    held_end(&all->held);
    pthread_mutex_destroy(&all->lock);
}

static struct past *make_past(struct pasts *all, uint64_t id)
{
    struct past *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->all = all;
    p->held.shut = shut_file;
    pthread_mutex_init(&p->touching, NULL);
    table_add(&all->by_id, &p->by_id, id);
    return p;
}

struct past *past_get(struct pasts *all, uint64_t id, bool make)
{
    struct past *p;

    pthread_mutex_lock(&all->lock);
    p = table_item(table_find(&all->by_id, id), struct past, by_id);
    if (!p && make)
        p = make_past(all, id);
    if (p)
        p->refs++;
    pthread_mutex_unlock(&all->lock);
    return p;
}

struct past *past_hold(struct past *p)
{
    pthread_mutex_lock(&p->all->lock);
    p->refs++;
    pthread_mutex_unlock(&p->all->lock);
    return p;
}

void past_put(struct past *p)
{
    struct pasts *all;
    bool last;

    if (!p)
        return;
    all = p->all;
    pthread_mutex_lock(&all->lock);
    last = --p->refs == 0;
    if (last)
        table_remove(&all->by_id, &p->by_id);
    pthread_mutex_unlock(&all->lock);
    if (last)
        free_past(p);
}

struct past **pasts_select(struct pasts *all, bool (*wanted)(const struct past *p, void *arg),
                           void *arg, size_t *n)
{
    struct table_link *link = NULL;
    struct past **list;

    *n = 0;
    pthread_mutex_lock(&all->lock);
    list = malloc((all->by_id.count + 1) * sizeof(*list));
    while (list && (link = table_next(&all->by_id, link))) {
        struct past *p = table_item(link, struct past, by_id);

        if (!wanted(p, arg))
            continue;
        p->refs++;
        list[(*n)++] = p;
    }
    pthread_mutex_unlock(&all->lock);
    return list;
}

void past_set_kept(struct past *p, struct epoch *e)
{
    struct epoch *before = p->kept;

    if (e && !before)
        past_hold(p);
    p->kept = e ? epoch_hold(e) : NULL;
    epoch_release(before);
    if (!e && before)
        past_put(p);
}

/* ---- one file in one epoch ---- */

static struct old_file *old_file_of(struct held *h)
{
    return (struct old_file *)((char *)h - offsetof(struct old_file, held));
}

static void shut_storage(struct held *h)
{
    struct old_file *x = old_file_of(h);

    side_close(x->side);
    x->old->ops->close(x->old);
    x->side = NULL;
    x->old = NULL;
}

static struct old_file *new_old_file(uint64_t id, struct epoch *e, uint64_t size,
                                     enum old_storage storage)
{
    struct old_file *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->epoch = epoch_hold(e);
    x->id = id;
    x->size = size;
    x->held.shut = shut_storage;
    atomic_init(&x->refs, 1);
    atomic_init(&x->storage, (int)storage);
    return x;
}

/* Nobody has it pinned any more; it may be among those that stay open. */
void old_file_release(struct past *p, struct old_file *x)
{
    if (atomic_fetch_sub(&x->refs, 1) > 1)
        return;
    held_shut(&p->all->held, &x->held);
    epoch_release(x->epoch);
    free(x);
}

struct retired_file {
    struct past *past;
    struct old_file *file;
};

static void release_retired(void *arg)
{
    struct retired_file *r = arg;

    old_file_release(r->past, r->file);
    past_put(r->past);
    free(r);
}

struct old_file *past_first(const struct past *p, uint64_t number)
{
    const struct old_files *files = atomic_load(&p->files);
    size_t i;

    for (i = 0; files && i < files->n; i++)
        if (files->of[i]->epoch->number >= number)
            return files->of[i];
    return NULL;
}

struct old_file *past_of_epoch(const struct past *p, const struct epoch *e)
{
    struct old_file *x = past_first(p, e->number);

    return x && x->epoch == e ? x : NULL;
}

/* ---- the list ---- */

static void replace_list(struct past *p, struct old_files *by)
{
    struct old_files *before = atomic_exchange(&p->files, by);

    if (!before && by)
        past_hold(p);
    if (before)
        phase_retire(p->all->phase, free, before);
    if (before && !by)
        past_put(p);
}

static struct old_files *room_for(size_t n)
{
    struct old_files *files = malloc(sizeof(*files) + n * sizeof(files->of[0]));

    if (files)
        files->n = n;
    return files;
}

int past_add(struct past *p, struct epoch *e, uint64_t size, enum old_storage storage,
             struct old_file **x)
{
    const struct old_files *before = atomic_load(&p->files);
    size_t n = before ? before->n : 0, i, at = 0;
    struct old_files *files = room_for(n + 1);

    *x = files ? new_old_file(p->by_id.key, e, size, storage) : NULL;
    if (!*x) {
        free(files);
        return -ENOMEM;
    }
    while (at < n && before->of[at]->epoch->number < e->number)
        at++;
    for (i = 0; i < n; i++)
        files->of[i + (i >= at)] = before->of[i];
    files->of[at] = *x;
    replace_list(p, files);
    return 0;
}

static void retire_file(struct past *p, struct old_file *x)
{
    struct retired_file *r = malloc(sizeof(*r));

    if (!r)
        return;
    r->past = past_hold(p);
    r->file = x;
    phase_retire(p->all->phase, release_retired, r);
}

void past_drop(struct past *p, struct old_file *x)
{
    const struct old_files *before = atomic_load(&p->files);
    struct old_files *files = before->n > 1 ? room_for(before->n - 1) : NULL;
    size_t i, to = 0;

    if (before->n > 1 && !files)
        return; /* it stays to be found, and is the owner's until the end */
    for (i = 0; i < before->n; i++)
        if (before->of[i] != x)
            files->of[to++] = before->of[i];
    replace_list(p, files);
    retire_file(p, x);
}

int past_replace(struct past *p, struct old_file *x, struct epoch *e, struct old_file **by)
{
    const struct old_files *before = atomic_load(&p->files);
    struct old_files *files = room_for(before->n);
    size_t i;

    *by = files ? new_old_file(x->id, e, x->size, STORAGE_UNKNOWN) : NULL;
    if (!*by) {
        free(files);
        return -ENOMEM;
    }
    for (i = 0; i < before->n; i++)
        files->of[i] = before->of[i] == x ? *by : before->of[i];
    replace_list(p, files);
    retire_file(p, x);
    return 0;
}

int past_touch(struct past *p, struct epoch *e, int fd, struct old_file **x)
{
    struct journal_record r = {.type = JOURNAL_SIZE, .id = p->by_id.key};
    struct stat st;
    int rc = 0;

    *x = past_of_epoch(p, e);
    if (!*x) {
        if (fstat(fd, &st) < 0)
            return -errno;
        r.size = (uint64_t)st.st_size;
        rc = epoch_say(e, &r, 1);
        if (rc == 0)
            rc = past_add(p, e, r.size, STORAGE_NONE, x);
    }
    if (rc == 0)
        atomic_fetch_add(&(*x)->refs, 1);
    return rc;
}

/* ---- storage ---- */

static int open_old(struct old_file *x, int flags)
{
    struct disk *d = x->epoch->disk;
    char path[LAYER_PATH_MAX];

    layer_path(path, "old", x->id);
    return d->ops->open(d, path, DISK_WRITE | flags, &x->old);
}

/* 0, -ENOENT: there never was one, or an error: what was there is not taken for nothing. */
static int look_for_side(struct old_file *x, char path[LAYER_PATH_MAX])
{
    struct stat st;
    int rc;

    layer_path(path, "side", x->id);
    rc = x->epoch->disk->ops->stat(x->epoch->disk, path, &st);
    return rc == -ENOENT && atomic_load(&x->storage) == STORAGE_THERE ? -EIO : rc;
}

static int open_storage(struct old_file *x)
{
    char path[LAYER_PATH_MAX];
    int rc = look_for_side(x, path);

    if (rc < 0)
        return rc;
    rc = open_old(x, 0);
    if (rc < 0)
        return rc == -ENOENT ? -EIO : rc;
    rc = side_open(x->epoch->disk, path, x->id, 0, true, &x->side, NULL);
    if (rc == 0)
        rc = side_accept(x->side, x->old, page_count(x->size), x->epoch->suspect);
    if (rc < 0) {
        side_abandon(x->side);
        x->side = NULL;
        x->old->ops->close(x->old);
        x->old = NULL;
    }
    return rc;
}

/* Others may wait for the same. */
static int pin_locked(struct past *p, struct old_file *x)
{
    int rc;

    if (atomic_load(&x->storage) == STORAGE_NONE)
        return -ENOENT;
    if (held_pin(&p->all->held, &x->held))
        return 0;
    rc = open_storage(x);
    if (rc == -ENOENT)
        atomic_store(&x->storage, STORAGE_NONE);
    if (rc < 0)
        return rc;
    atomic_store(&x->storage, STORAGE_THERE);
    held_opened(&p->all->held, &x->held);
    return 0;
}

int old_file_pin(struct past *p, struct old_file *x, bool locked)
{
    int rc;

    if (atomic_load(&x->storage) == STORAGE_NONE)
        return -ENOENT;
    if (held_pin(&p->all->held, &x->held))
        return 0;
    if (!locked)
        pthread_mutex_lock(&p->touching);
    rc = pin_locked(p, x);
    if (!locked)
        pthread_mutex_unlock(&p->touching);
    return rc;
}

void old_file_unpin(struct past *p, struct old_file *x)
{
    held_unpin(&p->all->held, &x->held);
}

static int sync_making(struct old_file *x)
{
    struct disk *d = x->epoch->disk;
    int rc = side_sync(x->side);

    if (rc == 0)
        rc = d->ops->sync_dir(d, "side");
    return rc < 0 ? rc : d->ops->sync_dir(d, "old");
}

/* It has its name only when it is whole: what a kill left of another one is none. */
static int make_side(struct old_file *x)
{
    struct disk *d = x->epoch->disk;
    char path[LAYER_PATH_MAX], unfinished[LAYER_PATH_MAX + sizeof(".new")];
    int rc;

    layer_path(path, "side", x->id);
    snprintf(unfinished, sizeof(unfinished), "%s.new", path);
    rc = d->ops->remove(d, unfinished);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    rc = side_create(d, unfinished, x->id, SIDE_NO_LIMIT, page_count(x->size), &x->side, NULL);
    if (rc < 0)
        return rc;
    rc = d->ops->rename(d, unfinished, path);
    if (rc == 0 && x->epoch->durable)
        rc = sync_making(x);
    if (rc < 0)
        side_abandon(x->side);
    return rc;
}

/* The side page table comes last: without it there is no storage. */
static int make_storage(struct old_file *x)
{
    int rc = open_old(x, DISK_CREATE);

    if (rc < 0)
        return rc;
    rc = make_side(x);
    if (rc < 0) {
        x->side = NULL;
        x->old->ops->close(x->old);
        x->old = NULL;
    }
    return rc;
}

int old_file_make(struct past *p, struct old_file *x)
{
    int rc = pin_locked(p, x);

    if (rc != -ENOENT)
        return rc;
    rc = make_storage(x);
    if (rc < 0)
        return rc;
    held_opened(&p->all->held, &x->held);
    atomic_store(&x->storage, STORAGE_THERE);
    return 0;
}

int old_file_put(struct old_file *x, uint64_t page, const void *bytes, size_t len, uint32_t crc)
{
    int rc = side_prepare(x->side, page, 1);

    if (rc == 0)
        rc = x->old->ops->write(x->old, bytes, len, page * PAGE_BYTES);
    if (rc == 0 && x->epoch->durable)
        rc = x->old->ops->sync(x->old);
    if (rc < 0)
        return rc;
    side_set(x->side, page, crc);
    atomic_fetch_add(&x->epoch->bytes, PAGE_BYTES);
    if (x->epoch->durable)
        rc = side_sync_page(x->side, page);
    atomic_thread_fence(memory_order_seq_cst);
    return rc;
}
