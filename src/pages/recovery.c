#include "pages/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pages/layer.h"
#include "pages/pagefile.h"
#include "pages/stack.h"

struct orphans {
    struct stack *s;
    const char *kind; /* LAYER_DIFF or LAYER_SIDE */
    uint64_t removed;
};

static int remove_orphan(void *arg, const char *name)
{
    struct orphans *o = arg;
    char path[LAYER_PATH_MAX], *end;
    uint64_t id = strtoull(name, &end, 16);
    struct dirtree_node node;
    int rc;

    if (*end || strlen(name) != 16)
        return 0; /* not ours */
    rc = dirtree_stat(o->s->tree, id, &node);
    if (rc == 0 && node.links && stack_has_storage(o->s, &node))
        return 0;
    layer_path(path, o->kind, id);
    rc = stack_newest(o->s)->ops->remove(stack_newest(o->s), path);
    o->removed += rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

static int remove_orphans(struct stack *s, struct datadir_recovery *recovery)
{
    struct orphans o = {.s = s, .kind = LAYER_DIFF};
    int rc = stack_newest(s)->ops->list(stack_newest(s), LAYER_DIFF, remove_orphan, &o);

    recovery->orphans = o.removed;
    o.kind = LAYER_SIDE;
    return rc < 0 ? rc : stack_newest(s)->ops->list(stack_newest(s), LAYER_SIDE, remove_orphan, &o);
}

/* A file as it was left, its side page table not rebuilt yet. NULL: it has no storage any more. */
static int open_left(struct stack *s, uint64_t id, struct pagefile **f, struct side_findings *found,
                     struct err *err)
{
    struct dirtree_node node;

    *f = NULL;
    if (dirtree_stat(s->tree, id, &node) < 0 || !node.links || !stack_has_storage(s, &node))
        return 0;
    return pagefile_open(s, &node, f, found, err);
}

static int settle_slot(struct stack *s, const struct inflight_slot *slot,
                       struct datadir_recovery *recovery, struct err *err)
{
    struct pagefile *f;
    int rc = open_left(s, slot->file, &f, NULL, err);

    if (rc < 0 || !f)
        return rc;
    if (slot->kind == INFLIGHT_WRITE) {
        recovery->writes++;
        rc = pagefile_settle(f, slot->where, slot->pages, slot->crc, &recovery->writes_lost);
    } else {
        recovery->truncations++;
        rc = pagefile_truncate(f, slot->where);
    }
    pagefile_close(f);
    return rc < 0 ? err_set(err, -rc, "cannot put file %" PRIx64 " right: %s", slot->file,
                            strerror(-rc))
                  : 0;
}

/* Writes first: a truncation reads the page that it cuts. */
static int settle_slots(struct stack *s, enum inflight_kind kind, struct datadir_recovery *recovery,
                        struct err *err)
{
    const struct inflight_slot *slot;
    struct inflight_slot copy;
    unsigned i;
    int rc = 0;

    for (i = 0; rc == 0 && i < INFLIGHT_SLOTS; i++) {
        slot = inflight_slot(s->inflight, i);
        if (!slot || slot->kind != kind)
            continue;
        copy = *slot;
        rc = settle_slot(s, &copy, recovery, err);
        if (rc == 0)
            inflight_end(s->inflight, i);
    }
    return rc;
}

struct touched {
    size_t n, room;
    uint64_t *ids;
};

static int note_touched(void *arg, const struct dirtree_node *node)
{
    struct touched *t = arg;
    uint64_t *ids;

    if (!node->links)
        return 0;
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 256;
        ids = reallocarray(t->ids, t->room, sizeof(*ids));
        if (!ids)
            return -ENOMEM;
        t->ids = ids;
    }
    t->ids[t->n++] = node->id;
    return 0;
}

/* Calls `each` with every file that has storage in the newest layer, outside the tree's lock. */
static int each_touched(struct stack *s, int (*each)(struct stack *s, uint64_t id, void *arg),
                        void *arg)
{
    struct touched t = {0};
    int rc = dirtree_each_touched(s->tree, note_touched, &t);
    size_t i;

    for (i = 0; rc == 0 && i < t.n; i++)
        rc = each(s, t.ids[i], arg);
    free(t.ids);
    return rc;
}

struct rebuilding {
    struct side_findings *found;
    struct err *err;
};

static int rebuild_file(struct stack *s, uint64_t id, void *arg)
{
    struct rebuilding *r = arg;
    struct pagefile *f;
    int rc = open_left(s, id, &f, r->found, r->err);

    if (rc == 0 && f)
        pagefile_close(f);
    return rc;
}

int recovery_run(struct stack *s, struct datadir_recovery *recovery, struct err *err)
{
    struct rebuilding r = {&recovery->sides, err};
    int rc = remove_orphans(s, recovery);

    if (rc < 0)
        return err_set(err, -rc, "cannot remove files without a name: %s", strerror(-rc));
    rc = settle_slots(s, INFLIGHT_WRITE, recovery, err);
    if (rc == 0)
        rc = settle_slots(s, INFLIGHT_TRUNCATE, recovery, err);
    return rc < 0 ? rc : each_touched(s, rebuild_file, &r);
}
