#include "pages/stack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pages/layer.h"
#include "pages/names.h"

#define NAMES_MAX ((size_t)1 << 32) /* bytes of a journal */

struct disk *stack_newest(const struct stack *s)
{
    return s->layers[s->n_layers - 1];
}

void stack_complain(struct stack *s, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    if (!s->complain)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    s->complain(s->arg, text);
}

int stack_open_base(struct stack *s, uint32_t entry, struct basefile **b, struct err *err)
{
    return (s->open_base ? s->open_base : basefile_still)(s->base, s->manifest, entry, b, err);
}

bool stack_has_storage(const struct stack *s, const struct dirtree_node *node)
{
    return node->layers & 1u << (s->n_layers - 1);
}

int stack_remove_storage(struct stack *s, uint64_t id)
{
    char path[LAYER_PATH_MAX];
    int rc, rc2;

    layer_path(path, LAYER_DIFF, id);
    rc = stack_newest(s)->ops->remove(stack_newest(s), path);
    layer_path(path, LAYER_SIDE, id);
    rc2 = stack_newest(s)->ops->remove(stack_newest(s), path);
    return rc < 0 ? rc : rc2;
}

/* ---- opening ---- */

/*
 * So much of the journal must be there when it is next opened. Where fsync is real, a power failure
 * may take what was not synced, so only what was counts (stack_sync_names); a journal that became
 * shorter counts at once.
 */
static void names_appended(void *arg, uint64_t size)
{
    struct stack *s = arg;

    atomic_store(&s->names_bytes, size);
    if (!atomic_load(&s->durable) || size < inflight_names_bytes(s->inflight))
        inflight_set_names_bytes(s->inflight, size);
}

/* The journal of one layer into the tree. */
static int apply_names(struct stack *s, unsigned i, uint64_t acknowledged, uint64_t *good,
                       struct err *err)
{
    char *bytes;
    size_t len;
    int rc = disk_read_file(s->layers[i], LAYER_NAMES, NAMES_MAX, &bytes, &len);

    if (rc < 0)
        return err_set(err, EIO, "cannot read the journal of names of layer %u: %s", i,
                       strerror(-rc));
    rc = dirtree_apply(s->tree, i, bytes, len, good, err);
    free(bytes);
    if (rc == 0 && *good < acknowledged)
        rc = err_set(err, EIO,
                     "the journal of names of layer %u is damaged: %" PRIu64 " bytes of %" PRIu64
                     " are left",
                     i, *good, acknowledged);
    return rc;
}

static int open_lower_layer(struct stack *s, unsigned i, struct err *err)
{
    struct inflight *f;
    uint64_t good;
    int rc = inflight_open(s->layers[i], LAYER_INFLIGHT, false, &f, err);

    if (rc < 0)
        return rc;
    if (inflight_was_clean(f))
        rc = apply_names(s, i, inflight_names_bytes(f), &good, err);
    else
        rc = err_set(err, EIO, "layer %u of the base was not completed", i);
    inflight_close(f, false);
    return rc;
}

/* That the layer is open must be on disk before anything else of it is. */
static int sync_inflight(struct stack *s, struct err *err)
{
    int rc = inflight_sync(s->inflight);

    return rc < 0
               ? err_set(err, -rc, "cannot sync the table of writes in flight: %s", strerror(-rc))
               : 0;
}

static int open_newest_layer(struct stack *s, bool *unclean, struct err *err)
{
    unsigned i = s->n_layers - 1;
    struct names *names;
    uint64_t good;
    int rc = inflight_open(s->layers[i], LAYER_INFLIGHT, !s->read_only, &s->inflight, err);

    if (rc < 0)
        return rc;
    *unclean = !inflight_was_clean(s->inflight);
    if (*unclean && s->read_only)
        return err_set(err, EBUSY,
                       "it was not closed; it is put right when it is opened for writing");
    rc = apply_names(s, i, inflight_names_bytes(s->inflight), &good, err);
    if (rc < 0 || s->read_only)
        return rc;
    rc = names_open(s->layers[i], LAYER_NAMES, good, &names, err);
    if (rc < 0)
        return rc;
    inflight_begin(s->inflight);
    inflight_set_names_bytes(s->inflight, good);
    atomic_store(&s->names_bytes, good);
    dirtree_begin(s->tree, i, names, names_appended, s);
    return atomic_load(&s->durable) ? sync_inflight(s, err) : 0;
}

static int open_layers(struct stack *s, bool *unclean, struct err *err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; rc == 0 && i + 1 < s->n_layers; i++)
        rc = open_lower_layer(s, i, err);
    return rc < 0 ? rc : open_newest_layer(s, unclean, err);
}

int stack_open(struct stack *s, bool *unclean, struct err *err)
{
    unsigned i;

    for (i = 0; i < STRIPES; i++)
        pthread_mutex_init(&s->stripes[i], NULL);
    s->tree = dirtree_new(s->manifest);
    return s->tree ? open_layers(s, unclean, err) : err_set(err, ENOMEM, "no memory");
}

/* ---- syncing and closing ---- */

int stack_sync_names(struct stack *s)
{
    uint64_t size = atomic_load(&s->names_bytes);
    int rc;

    if (!atomic_load(&s->durable) || size == inflight_names_bytes(s->inflight))
        return 0; /* nothing was appended since it was last synced */
    rc = dirtree_sync(s->tree);
    if (rc == 0 && size > inflight_names_bytes(s->inflight))
        inflight_set_names_bytes(s->inflight, size);
    if (atomic_load(&s->names_bytes) < inflight_names_bytes(s->inflight)) /* compacted meanwhile */
        inflight_set_names_bytes(s->inflight, atomic_load(&s->names_bytes));
    return rc;
}

static int sync_layer(struct stack *s)
{
    int rc = dirtree_sync(s->tree);

    if (rc == 0)
        rc = stack_newest(s)->ops->sync_all(stack_newest(s));
    if (rc == 0)
        rc = inflight_sync(s->inflight);
    return rc;
}

int stack_complete(struct stack *s)
{
    int rc = dirtree_compact(s->tree, true);

    if (rc == 0)
        rc = sync_layer(s);
    if (rc == 0)
        atomic_store(&s->durable, true);
    return rc;
}

int stack_close(struct stack *s, struct err *err)
{
    int rc = dirtree_compact(s->tree, false);

    if (rc < 0)
        err_set(err, -rc, "cannot write the journal of names anew: %s", strerror(-rc));
    dirtree_free(s->tree); /* the journal is closed before the layer counts as closed */
    s->tree = NULL;
    inflight_set_names_bytes(s->inflight, s->names_bytes);
    inflight_close(s->inflight, true);
    s->inflight = NULL;
    return rc;
}

void stack_free(struct stack *s)
{
    unsigned i;

    dirtree_free(s->tree);
    inflight_close(s->inflight, false);
    for (i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&s->stripes[i]);
}
