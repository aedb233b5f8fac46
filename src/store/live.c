/* The live base of a store, and freezes of it that are bases. What a freeze is, and how one is made, is
 * for live/; when one becomes a base, for replay/. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/mem.h"

#define STORE_FREEZING "freezing"

void store_live_free(struct store_live *l)
{
    free(l->id);
    free(l->directory);
    free(l->mount);
    *l = (struct store_live){0};
}

static bool is_kind(const struct store_description *d, const char *kind)
{
    return d->kind && strcmp(d->kind, kind) == 0;
}

static void take_live(struct store_live *l, const char *id, struct store_description *d)
{
    *l = (struct store_live){.id = mem_strdup(id), .directory = d->path};
    d->path = NULL;
}

int store_find_live_base(struct store *s, struct store_live *l, struct err *err)
{
    struct store_description d = {0};
    char **ids, **id;
    int rc = store_all_bases(s, &ids, err);

    *l = (struct store_live){0};
    if (rc < 0)
        return rc;
    for (id = ids; *id && rc == 0 && !l->id; id++) {
        if (store_is_making(s, *id))
            continue;
        rc = store_load_base(s, *id, &d, err);
        if (rc == 0 && is_kind(&d, "live"))
            take_live(l, *id, &d);
        store_description_free(&d);
    }
    store_names_free(ids);
    return rc < 0 ? rc : l->id != NULL;
}

int store_find_live(struct store *s, struct store_live *l, struct err *err)
{
    int rc = store_find_live_base(s, l, err);

    if (rc == 1)
        l->mount = store_mount(s);
    return rc;
}

static int add_live(struct store *s, const char *directory, char **id, struct err *err)
{
    struct store_live other;
    int lock, rc = store_begin_change(s, &lock, err);

    if (rc < 0)
        return rc;
    rc = store_find_live_base(s, &other, err);
    if (rc == 1)
        rc = err_set(err, EEXIST,
                     "base %s of %s is live already (%s): another live base needs a "
                     "store of its own",
                     other.id, s->path, other.directory);
    if (rc == 0)
        rc = store_next_id(s, id, err);
    if (rc == 0)
        rc = store_fill_base(s, *id, store_describe_live(directory), NULL, err);
    store_live_free(&other);
    close(lock);
    return rc;
}

int store_add_live(struct store *s, const char *directory, char **id, struct err *err)
{
    char *real = realpath(directory, NULL);
    int rc = real ? store_check_apart(s, real, err) : err_errno(err, "cannot open %s", directory);

    *id = NULL;
    if (rc == 0)
        rc = add_live(s, real, id, err);
    if (rc < 0) {
        free(*id);
        *id = NULL;
    }
    free(real);
    return rc;
}

char *store_freeze_path(const struct store_live *l, uint64_t number)
{
    return mem_printf("%s/" STORE_FREEZES "/%" PRIu64, l->mount, number);
}

int store_next_freeze(const struct store_live *l, uint64_t *number)
{
    json_t *status;
    int rc = store_read_status(l->mount, &status, NULL);
    json_int_t next = json_integer_value(json_object_get(status, "next"));

    if (rc == 0 && next < 1)
        rc = -EIO;
    *number = rc == 0 ? (uint64_t)next : 0;
    json_decref(status);
    return rc;
}

static bool is_given_up(const json_t *status, uint64_t number)
{
    json_t *freeze;
    size_t i;

    json_array_foreach(json_object_get(status, "freezes"), i, freeze)
    {
        const char *state = json_string_value(json_object_get(freeze, "state"));

        if (json_integer_value(json_object_get(freeze, "number")) == (json_int_t)number)
            return state && strcmp(state, "given up") == 0;
    }
    return false;
}

bool store_is_lost(struct store *s, const char *id)
{
    char *mount = store_mount(s), *view = NULL;
    json_t *status = NULL;
    uint64_t number;
    bool lost = mount && store_is_frozen(s, id, &number, &view, NULL) == 1 && store_is_served(s) &&
                store_read_status(mount, &status, NULL) == 0 && is_given_up(status, number);

    json_decref(status);
    free(view);
    free(mount);
    return lost;
}

/* The live base, which is served. */
static int require_served(struct store *s, struct store_live *l, struct err *err)
{
    int rc = store_find_live(s, l, err);

    if (rc == 0)
        return err_set(err, ENOENT, "%s has no live base (asofs base add --live)", s->path);
    if (rc == 1 && !l->mount)
        return err_set(err, ENOTCONN, "base %s of %s, %s, is not served now: serve it (asofs live)",
                       l->id, s->path, l->directory);
    return rc < 0 ? rc : 0;
}

static int add_frozen(struct store *s, const struct store_live *l, const struct store_freeze *z,
                      const struct store_base_facts *f, char **id, struct err *err)
{
    char *tree = store_freeze_path(l, z->number);
    int lock, rc = store_begin_change(s, &lock, err);

    if (rc == 0) {
        rc = store_next_id(s, id, err);
        if (rc == 0)
            rc = store_fill_base(s, *id, store_describe_frozen(l->id, z, f), tree, err);
        close(lock);
    }
    free(tree);
    return rc;
}

int store_add_frozen(struct store *s, const struct store_freeze *z,
                     const struct store_base_facts *f, char **id, struct err *err)
{
    struct store_live l;
    int rc = require_served(s, &l, err);

    *id = NULL;
    if (rc == 0)
        rc = add_frozen(s, &l, z, f, id, err);
    if (rc < 0) {
        free(*id);
        *id = NULL;
    }
    store_live_free(&l);
    return rc;
}

int store_is_frozen(struct store *s, const char *id, uint64_t *number, char **view, struct err *err)
{
    struct store_description d = {0};
    int rc = store_require_base(s, id, err);

    *number = 0;
    *view = NULL;
    if (rc == 0)
        rc = store_load_base(s, id, &d, err);
    if (rc == 0 && is_kind(&d, "frozen")) {
        *number = (uint64_t)d.epoch;
        *view = d.view;
        d.view = NULL;
        rc = 1;
    }
    store_description_free(&d);
    return rc;
}

bool store_is_rung(struct store *s, const char *id)
{
    struct store_description d = {0};
    bool rung = store_load_base(s, id, &d, NULL) == 0 && is_kind(&d, "frozen") && d.rung;

    store_description_free(&d);
    return rung;
}

int store_lock_freezes(struct store *s, int *fd, struct err *err)
{
    char *path = mem_printf("%s/" STORE_FREEZING, s->path);
    int rc = store_lock_file(path, LOCK_EX, fd);

    if (rc < 0)
        rc = err_set(err, -rc, "cannot lock %s: %s", path, strerror(-rc));
    free(path);
    return rc;
}
