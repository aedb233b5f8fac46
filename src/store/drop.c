/* Apart from base.c: what may stand on a base are views too, and those know bases already. */
#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_no_layer_on(struct store *s, const char *id, struct err *err)
{
    struct store_description d = {0};
    char **ids, **p;
    int rc = store_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    for (p = ids; *p && rc == 0; p++) {
        if (strcmp(*p, id) == 0)
            continue;
        rc = store_load_base(s, *p, &d, err);
        if (rc == 0 && d.parent && strcmp(d.parent, id) == 0)
            rc = err_set(err, EBUSY, "base %s of %s is needed: base %s is a layer on it", id,
                         s->path, *p);
        else if (rc == 0 && d.live && strcmp(d.live, id) == 0)
            rc = err_set(err, EBUSY, "base %s of %s is needed: base %s is a freeze of it", id,
                         s->path, *p);
        store_description_free(&d);
    }
    store_names_free(ids);
    return rc;
}

/* What cannot be read may stand on it. */
static int check_no_view_of(struct store *s, const char *id, struct err *err)
{
    char **views, **v, *base;
    int rc = store_views(s, &views, err);

    if (rc < 0)
        return rc;
    for (v = views; *v && rc == 0; v++) {
        rc = store_read_view(s, *v, &base, err);
        if (rc == 0 && strcmp(base, id) == 0)
            rc = err_set(err, EBUSY, "base %s of %s is needed: view %s stands on it", id, s->path,
                         *v);
        free(base);
    }
    store_names_free(views);
    return rc;
}

/* 1: it is the live base, and may go; 0: it is another one. */
static int check_live(struct store *s, const char *id, struct err *err)
{
    struct store_live l;
    int rc = store_find_live(s, &l, err);

    if (rc == 1 && strcmp(l.id, id) != 0)
        rc = 0;
    if (rc == 1 && store_is_served(s))
        rc = err_set(err, EBUSY, "base %s of %s is served%s%s", id, s->path, l.mount ? " at " : "",
                     l.mount ? l.mount : "");
    store_live_free(&l);
    return rc;
}

/* With the live base goes what was kept of its past. */
static int remove_base(struct store *s, const char *id, bool live, struct err *err)
{
    int rc = store_remove_base_tree(s, id);

    if (rc == 0 && live)
        store_discard(s, "epoch");
    return rc < 0 ? err_set(err, -rc, "cannot remove base %s of %s: %s", id, s->path, strerror(-rc))
                  : 0;
}

int store_drop_base(struct store *s, const char *id, struct err *err)
{
    int lock, rc = store_begin_change(s, &lock, err);

    if (rc < 0)
        return rc;
    rc = store_require_base(s, id, err);
    if (rc == 0)
        rc = check_no_layer_on(s, id, err);
    if (rc == 0)
        rc = check_no_view_of(s, id, err);
    if (rc == 0)
        rc = check_live(s, id, err);
    if (rc >= 0)
        rc = remove_base(s, id, rc == 1, err);
    close(lock);
    return rc;
}
